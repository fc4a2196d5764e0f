"""What the commands share: exit statuses, and a wrong argument as one line."""

from __future__ import annotations

import argparse
from typing import NoReturn

DONE, FAILED, BAD_ARGUMENTS, TOO_MANY_FAILED = 0, 1, 2, 3


class OneLineParser(argparse.ArgumentParser):
    """An ArgumentParser that tells an error in one line."""

    def error(self, message: str) -> NoReturn:
        """One line and status 2."""
        self.exit(BAD_ARGUMENTS, f"{self.prog}: {message} (--help shows all options)\n")

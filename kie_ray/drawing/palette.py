"""One colour a label, the same on every page.

Colours are those of Okabe and Ito (2008), which people with the common forms of colour blindness tell apart.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from kie_ray.records import OTHER

Colour = tuple[int, int, int]
"""Red, green, blue, 0..255."""

LINK_COLOUR: Colour = (0, 158, 115)
_OTHER_COLOUR: Colour = (127, 127, 127)
_KNOWN: dict[str, Colour] = {
    OTHER: _OTHER_COLOUR,
    "QUESTION": (0, 114, 178),
    "ANSWER": (213, 94, 0),
    "HEADER": (204, 121, 167),
}
_SPARE: tuple[Colour, ...] = ((86, 180, 233), (230, 159, 0), (240, 228, 66), (148, 103, 189), (140, 86, 75))


class Palette:
    """Colours by label.

    Args:
        classes: the label set of a bundle; its labels without a fixed colour take the spare ones in this order. A label
            that is not named gets a spare colour by its checksum, so it keeps it from page to page.
    """

    def __init__(self, classes: Sequence[str] = ()) -> None:
        self._colours = dict(_KNOWN)
        for index, label in enumerate(name for name in classes if name not in _KNOWN):
            self._colours[label] = _SPARE[index % len(_SPARE)]

    def __getitem__(self, label: str) -> Colour:
        return self._colours.get(label) or _SPARE[zlib.crc32(label.encode()) % len(_SPARE)]

    def css(self, label: str) -> str:
        """The colour as `#rrggbb`."""
        return "#{:02x}{:02x}{:02x}".format(*self[label])

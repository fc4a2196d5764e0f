"""`python -m kie_ray.client URL FILE...`: send files to an endpoint and print their fields.

--json            one record a line, as a row of documents/, in place of the table
--model NAME      a bundle that the endpoint serves
--min-score X     leave out fields and links below X (0 to 1)
--concurrency N   files at a time (8)

A key for the endpoint is taken from the environment: KIE_RAY_API_KEY.
Exit status: 0 every file has a result, 1 some have not, 2 bad arguments, key or address.
"""

from __future__ import annotations

import getopt
import io
import json
import sys
from collections.abc import Iterable

from kie_ray.client.errors import ApiError
from kie_ray.client.synchronous import Client
from kie_ray.records import Document
from kie_ray.schemas import document_to_row
from kie_ray.text_table import table

HEAD = ("document", "page", "key", "value", "score")
WIDTHS = (24, 4, 30, 44, 5)


def main(arguments: list[str]) -> int:
    """Run one command line and return its exit status, see the module."""
    try:
        pairs, rest = getopt.gnu_getopt(arguments, "h", ["help", "json", "model=", "min-score=", "concurrency="])
        options = dict(pairs)
        if {"-h", "--help"} & options.keys():
            print(__doc__)
            return 0
        if len(rest) < 2:
            raise getopt.GetoptError("needs the URL of an endpoint and one FILE or more; --help tells more")
        url, *files = rest
        with Client(url) as client:
            results = client.extract_many(
                files,
                concurrency=max(1, int(_number(options, "--concurrency", 8))),
                model=options.get("--model"),
                min_score=_number(options, "--min-score", 0),
            )
            documents = (document for _, document in results)
            return print_records(documents) if "--json" in options else print_table(documents)
    except (getopt.GetoptError, ValueError, ApiError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def print_records(documents: Iterable[Document]) -> int:
    """One line of JSON each, as they come; exit status, see the module."""
    status = 0
    for document in documents:
        row = document_to_row(document, {"row_id": document.doc_id, "doc_id": document.doc_id, "uri": document.uri})
        print(json.dumps(row, ensure_ascii=False), flush=True)
        status |= document.status == "failed"
    return status


def print_table(documents: Iterable[Document]) -> int:
    """The fields of all; what failed on the standard error; exit status, see the module."""
    rows, status = [HEAD], 0
    for document in documents:
        for page in document.pages:
            rows += [(document.uri, str(page.index), item.key, item.value, f"{item.score:.2f}") for item in page.fields]
        if document.error is not None:
            print(f"{document.uri}: {document.error.category}: {document.error.message}", file=sys.stderr)
        status |= document.status == "failed"
    print(table(rows, WIDTHS))
    return status


def _number(options: dict[str, str], name: str, default: float) -> float:
    try:
        return float(options.get(name, default))
    except ValueError:
        raise getopt.GetoptError(f"{name} {options[name]!r} should be a number") from None


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names and fields may be in any script, terminals are not
    sys.exit(main(sys.argv[1:]))

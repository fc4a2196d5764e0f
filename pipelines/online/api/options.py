"""Query options: typed, and refused with the nearest right value where they are wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from starlette.datastructures import QueryParams

from pipelines.online.api.problems import Problem, invalid

PARTS = ("lines", "links", "fields", "pictures")
_ONE_PART = "|".join(PARTS)
_WIDEST = 200  # characters of a value that an error quotes

T = TypeVar("T", bound=BaseModel)


class Options(BaseModel):
    """What every request about a document may say."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="name of a bundle that `/v1/models` lists; without it the default one", examples=["default"]
    )
    name: Annotated[str, Field(max_length=2_000)] | None = Field(
        None,
        description="what to call the document, in place of the name that the body has; directories are cut off",
        examples=["form.jpg"],
    )


class ExtractOptions(Options):
    """Options of `/v1/extract`."""

    min_score: float = Field(
        0.0, ge=0, le=1, allow_inf_nan=False, description="fields and links with a lower score are left out"
    )
    include: str = Field(
        "lines,links,fields",
        description="comma separated, what the record holds: lines, links, fields, pictures (every page as a JPEG)",
        json_schema_extra={"pattern": f"^({_ONE_PART})(,({_ONE_PART}))*$"},
        examples=["lines,links,fields", "fields", "fields,pictures"],
    )

    @field_validator("include")
    @classmethod
    def _known(cls, value: str) -> str:
        for part in value.split(","):
            if part not in PARTS:
                raise PydanticCustomError(
                    "unknown_part",
                    "{part} is none of lines, links, fields, pictures (comma separated, without spaces)",
                    {"part": repr(part[:_WIDEST])},
                )
        return value

    @property
    def parts(self) -> frozenset[str]:
        """What `include` names."""
        return frozenset(self.include.split(","))


class PreviewOptions(Options):
    """Options of `/v1/preview`."""

    page: int = Field(0, ge=0, lt=2**31, description="which page to draw, the first one is 0")


class NoOptions(BaseModel):
    """For routes without a query."""

    model_config = ConfigDict(extra="forbid")


def parse_options(kind: type[T], query: QueryParams) -> T:
    """The options of a request's query.

    Raises:
        Problem: 422 that names the parameter, the value and what would be right.
    """
    given: dict[str, Any] = {}
    for name, value in query.multi_items():
        if name in given:
            raise invalid(f"query parameter {shown(name)} is given twice")
        given[name] = value
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise wrong_option(error.errors(include_url=False)[0], list(kind.model_fields)) from error


def wrong_option(error: ErrorDetails, known: Sequence[str]) -> Problem:
    """The problem of the first wrong option."""
    name = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        return invalid(f"unknown query parameter {shown(name)}; {nearest(name, known)}")
    return invalid(f"query parameter {name} = {shown(error.get('input'))}: {error['msg']}")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at what was meant."""
    names = list(known)
    if not names:
        return "there are none here"
    close = difflib.get_close_matches(name[:_WIDEST], names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(names)}"


def shown(value: object) -> str:
    """A client's value as an error may quote it: one line, not too long."""
    text = repr(value[: _WIDEST + 1] if isinstance(value, str | bytes) else value)
    return text if len(text) <= _WIDEST else f"{text[:_WIDEST]}..."

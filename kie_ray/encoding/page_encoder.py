"""A page to model inputs: windows of token ids and boxes that cover every token of a page of any length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kie_ray.encoding.labels import LabelSet
from kie_ray.encoding.reading_order import integer_box, order_lines
from kie_ray.encoding.tokenizer import PageTokenizer
from kie_ray.encoding.windows import plan_windows
from kie_ray.errors import ConfigError
from kie_ray.records import Page

Int64Array = NDArray[np.int64]

BOX_SCALE = 1000
"""Model coordinates run from 0 to 1000 over the width and over the height of a page."""


@dataclass(slots=True)
class Window:
    """One model input of T tokens.

    `input_ids` int64 [T]; `bbox` int64 [T, 4] in 0..1000; `line_index` int64 [T], index into `page.lines`; `labels`
    int64 [T] token label ids of a gold page, else None. `page`: number that the caller gave the page; `index`: which
    window of the page; `start`: offset of the first token within the page's token run.
    """

    input_ids: Int64Array
    bbox: Int64Array
    line_index: Int64Array
    labels: Int64Array | None = None
    page: int = 0
    index: int = 0
    start: int = 0

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(slots=True)
class EncodedPage:
    """Windows of one page.

    `order`: line indices in reading order, blank lines included. `line_index` int64 [N]: line of every token of the
    whole page. `first_token`: offset in the page's token run of the first token of each line, by line index; a blank
    line has none. `uncovered_lines`: line indices with a token in no window; only the first-window mode has any.
    """

    windows: list[Window]
    order: list[int]
    line_index: Int64Array
    first_token: dict[int, int]
    num_lines: int
    uncovered_lines: list[int] = field(default_factory=list)

    @property
    def num_tokens(self) -> int:
        return len(self.line_index)

    def entity_positions(self, line: int) -> list[tuple[int, int]]:
        """(window, token) of the line's first token in every window that holds it; empty for a blank line."""
        first = self.first_token.get(line)
        if first is None:
            return []
        return [(w.index, first - w.start) for w in self.windows if w.start <= first < w.start + len(w)]


class PageEncoder:
    """Encodes pages for one bundle. Holds no state between pages; picklable when its tokenizer is.

    Args:
        tokenizer: token ids of a line.
        labels: needed for gold labels only.
        reading_order: tb-yx, tb-yx-paddle or none.
        max_tokens: longest window (512 positions for LayoutXLM).
        overlap_tokens: tokens that neighbouring windows share.
        clamp: keep boxes within 0..1000 and pixels as given. False: PaddleOCR's rule, whole pixels, nothing clamped.
        first_window_only: PaddleOCR's rule: tokens 0..max_tokens-1, cut anywhere; the rest is reported in
            `EncodedPage.uncovered_lines`.
    """

    def __init__(
        self,
        tokenizer: PageTokenizer,
        labels: LabelSet | None = None,
        reading_order: str = "tb-yx",
        max_tokens: int = 512,
        overlap_tokens: int = 128,
        clamp: bool = True,
        first_window_only: bool = False,
    ) -> None:
        plan_windows([], max_tokens, overlap_tokens)  # refuses a bad pair now, not on the first long page
        self.tokenizer = tokenizer
        self.labels = labels
        self.reading_order = reading_order
        self.max_tokens = max_tokens
        self.overlap_tokens = overlap_tokens
        self.clamp = clamp
        self.first_window_only = first_window_only

    def tokenize(self, pages: Sequence[Page]) -> list[list[list[int]]]:
        """Token ids by page and line, in one call of the tokenizer; may be cached and given to `encode`."""
        ids = iter(self.tokenizer.encode_lines([line.text for page in pages for line in page.lines]))
        return [[next(ids) for _ in page.lines] for page in pages]

    def encode_pages(self, pages: Sequence[Page], gold: bool = False) -> list[EncodedPage]:
        """Encode several pages; `Window.page` is the index into `pages`."""
        return [
            self.encode(page, gold, token_ids=ids, page_number=number)
            for number, (page, ids) in enumerate(zip(pages, self.tokenize(pages), strict=True))
        ]

    def encode(
        self,
        page: Page,
        gold: bool = False,
        *,
        token_ids: Sequence[Sequence[int]] | None = None,
        offset: int = 0,
        page_number: int = 0,
    ) -> EncodedPage:
        """Encode one page.

        Args:
            gold: the page's labels are gold; fill `Window.labels` with BIO ids, every line starting with B-.
            token_ids: ids by line from `tokenize`, else the lines are tokenised here.
            offset: shift of the cuts of a long page, see `plan_windows`.
            page_number: copied to `Window.page`.

        Raises:
            ConfigError: the page has lines but no size, or a gold label is in no class.
        """
        by_line = self.tokenizer.encode_lines([line.text for line in page.lines]) if token_ids is None else token_ids
        if len(by_line) != len(page.lines):
            raise ValueError(f"{page.source}: token ids of {len(by_line)} lines for a page of {len(page.lines)} lines")
        order = order_lines(page.lines, self.reading_order)
        spoken = [line for line in order if len(by_line[line])]
        lengths = np.array([len(by_line[line]) for line in spoken], np.int64)
        ends = np.cumsum(lengths)
        starts = ends - lengths
        line_index = np.repeat(np.array(spoken, np.int64), lengths)
        input_ids = np.array([token for line in spoken for token in by_line[line]], np.int64)
        bbox = np.repeat(self._boxes(page, spoken), lengths, axis=0)
        token_labels = self._gold_labels(page, spoken, lengths, starts) if gold else None

        total = len(input_ids)
        if self.first_window_only:
            plan = [(0, min(total, self.max_tokens))] if total else []
        else:
            plan = plan_windows(ends.tolist(), self.max_tokens, self.overlap_tokens, offset)
        windows = [
            Window(
                input_ids[start:end],
                bbox[start:end],
                line_index[start:end],
                None if token_labels is None else token_labels[start:end],
                page_number,
                index,
                start,
            )
            for index, (start, end) in enumerate(plan)
        ]
        covered = plan[-1][1] if plan else 0
        return EncodedPage(
            windows,
            order,
            line_index,
            dict(zip(spoken, starts.tolist(), strict=True)),
            len(page.lines),
            [line for line, end in zip(spoken, ends.tolist(), strict=True) if end > covered],
        )

    def _boxes(self, page: Page, lines: Sequence[int]) -> Int64Array:
        if not lines:
            return np.empty((0, 4), np.int64)
        if page.width <= 0 or page.height <= 0:
            raise ConfigError(
                f"page {page.source or page.index} is {page.width} x {page.height}: its size in pixels must be known"
            )
        if self.clamp:
            boxes = np.array([page.lines[line].box for line in lines], np.float64)
        else:
            boxes = np.array([integer_box(page.lines[line].points) for line in lines], np.float64)
        size = np.array([page.width, page.height, page.width, page.height], np.float64)
        scaled = (boxes * BOX_SCALE / size).astype(np.int64)
        return np.clip(scaled, 0, BOX_SCALE) if self.clamp else scaled

    def _gold_labels(self, page: Page, lines: Sequence[int], lengths: Int64Array, starts: Int64Array) -> Int64Array:
        if self.labels is None:
            raise ConfigError("gold labels need a LabelSet: PageEncoder(labels=...)")
        try:
            inside = [self.labels.inside_id(page.lines[line].label) for line in lines]
            begin = [self.labels.begin_id(page.lines[line].label) for line in lines]
        except ConfigError as error:
            raise ConfigError(f"{page.source or page.index}: {error}") from error
        token_labels = np.repeat(np.array(inside, np.int64), lengths)
        token_labels[starts] = begin
        return token_labels

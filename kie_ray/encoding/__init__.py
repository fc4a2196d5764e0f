"""Lines of a page to token ids, boxes, windows and batches."""

from kie_ray.encoding.batching import Batch, batches_by_tokens, collate
from kie_ray.encoding.labels import LabelSet, canonical_label
from kie_ray.encoding.page_encoder import EncodedPage, PageEncoder, Window
from kie_ray.encoding.reading_order import order_lines
from kie_ray.encoding.tokenizer import PageTokenizer, load_tokenizer
from kie_ray.encoding.train_tokenizer import train_tokenizer

__all__ = [
    "Batch",
    "EncodedPage",
    "LabelSet",
    "PageEncoder",
    "PageTokenizer",
    "Window",
    "batches_by_tokens",
    "canonical_label",
    "collate",
    "load_tokenizer",
    "order_lines",
    "train_tokenizer",
]

"""Lines of a page to token ids, boxes and windows; `batching` makes torch batches of them and is imported by itself."""

from kie_ray.encoding.labels import LabelSet, canonical_label
from kie_ray.encoding.page_encoder import EncodedPage, PageEncoder, Window
from kie_ray.encoding.reading_order import order_lines
from kie_ray.encoding.tokenizer import PageTokenizer, load_tokenizer
from kie_ray.encoding.train_tokenizer import train_tokenizer

__all__ = [
    "EncodedPage",
    "LabelSet",
    "PageEncoder",
    "PageTokenizer",
    "Window",
    "canonical_label",
    "load_tokenizer",
    "order_lines",
    "train_tokenizer",
]

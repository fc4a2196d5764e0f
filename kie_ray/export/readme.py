"""The text beside the ONNX files: what goes in, what comes out, how the files work together."""

from __future__ import annotations

import re
from pathlib import Path

from kie_ray.export.files import tensors
from kie_ray.models.runtime import IMAGE_FILE, RE_ENCODER_FILE, RE_FILE, RE_IMAGE_FILE, SER_FILE

HEADING = "## ONNX files"

_MEANING = {
    "input_ids": "token ids, padded on the right",
    "bbox": "box of each token's line, x0 y0 x1 y1 in 0..1000 of the page; zeros in padding",
    "attention_mask": "1 for a token, 0 for padding",
    "image_features": "of the page that the window belongs to",
    "image": "the page as the bundle's `image` kind says",
    "hidden": "hidden states of the tokens",
    "entity_tokens": "row of `hidden` with the first token of each entity",
    "entity_labels": "index into `entity_labels` of `bundle.json`",
    "pairs": "pairs to score, (head, tail) as indices into the page's entities",
    "pair_count": "pairs that are meant; those behind them are padding",
    "entity_boxes": "box of each entity in 0..1000 of the page",
    "entity_order": "place of each entity in the page's reading order",
    "scores": "probability of the relation, 0 for padding",
}
_LOGITS = {
    SER_FILE: "a BIO label a token, in the order of the metadata entry `labels`",
    RE_FILE: "no relation, relation",
}
_TITLES = {
    SER_FILE: "encoder and SER head",
    RE_ENCODER_FILE: "encoder of the RE model",
    RE_FILE: "RE head",
    IMAGE_FILE: "image branch, once a page",
    RE_IMAGE_FILE: "image branch of the RE model, once a page",
}


def without_section(card: str) -> str:
    """A model card without what `describe` wrote into it before."""
    return re.sub(rf"^{HEADING}\n.*?(?=^## |\Z)", "", card, flags=re.MULTILINE | re.DOTALL).rstrip()


def describe(folder: Path, opset: int, int8: bool) -> str:
    """Markdown with one row an input and output of every file in `folder`."""
    rows = ["| file | | name | type and shape | |", "|---|---|---|---|---|"]
    for name, title in _TITLES.items():
        if not (folder / name).is_file():
            continue
        for way, items in tensors(folder / name).items():
            for tensor, kind, shape in items:
                meaning = _LOGITS[name] if tensor == "logits" else _MEANING[tensor]
                rows.append(f"| `{name}` ({title}) | {way} | `{tensor}` | {kind} [{', '.join(shape)}] | {meaning} |")
    encoders = [name for name in (SER_FILE, RE_ENCODER_FILE) if (folder / name).is_file()]
    steps = [f"1. Cut the page into windows of tokens and run {' and '.join(f'`{name}`' for name in encoders)}."]
    if (folder / RE_FILE).is_file():
        steps += [
            f"2. Give `hidden` of `{encoders[-1]}` to `{RE_FILE}` with the entities (lines by their first token) and "
            "the pairs that may be linked. The numbers of entities and pairs are fixed: fill up with zeros and "
            "say in `pair_count` how many pairs are meant. More pairs go into another page of the batch.",
            "3. A page of several windows: average the states of an entity's first token over the windows that hold "
            "it, and give these as `hidden`, one row an entity, with `entity_tokens` counting from 0.",
        ]
    weights = (
        "Matrices of the encoders are int8 (dynamic quantisation): run window by window without padding, because the "
        "scales follow from all values of a tensor."
        if int8
        else "All weights are float32."
    )
    return "\n".join(
        [
            HEADING,
            "",
            f"For ONNX Runtime, any language; opset {opset} (23 needs ONNX Runtime 1.23), standard operators only. "
            f"{weights} A size that is named and not a number may be anything.",
            "",
            *rows,
            "",
            *steps,
            "",
            "`--runtime onnx` of `jobs/batch_extract.py` and `jobs/evaluate.py` runs these files.",
            "",
        ]
    )

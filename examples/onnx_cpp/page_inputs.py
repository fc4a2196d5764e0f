"""Write one annotated page as the .npy files that the C++ program reads: `python page_inputs.py --output DIR`.

Without other arguments it takes the bundled model and a form that comes with the package. In an application the lines
come from OCR and the labels of the entities from the SER logits.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # a checkout works without being installed

from kie_ray.annotator import page_encoder  # noqa: E402
from kie_ray.datasets import read_labels, with_sizes  # noqa: E402
from kie_ray.datasets.page_images import with_pixels  # noqa: E402
from kie_ray.decoding.re import candidate_pairs  # noqa: E402
from kie_ray.encoding.batching import collate  # noqa: E402
from kie_ray.encoding.page_image import model_images  # noqa: E402
from kie_ray.models.bundle import Bundle  # noqa: E402
from kie_ray.records import Page  # noqa: E402


def page_inputs(bundle: Bundle, page: Page) -> dict[str, np.ndarray]:
    """The page's W windows of at most T tokens, its E entities and P candidate pairs, by file name.

    Entities are the lines with text whose label the RE head knows, in the order of the page's lines.

    Returns:
        `input_ids`, `attention_mask` int64 [W, T], `bbox` int64 [W, T, 4]; `occurrences` int64 [K, 3]: entity, window,
        and token within the window, once for every window that holds the entity's first token; `entity_labels` int64
        [E], `entity_boxes` float32 [E, 4] in 0..1000, `entity_order` int64 [E], `pairs` int64 [P, 2]; `image` float32
        [1, 3, 224, 224] where the models look at the page.
    """
    encoder, names = page_encoder(bundle), bundle.info.entity_labels
    encoded = encoder.encode(page)
    batch = collate(encoded.windows, encoder.tokenizer.pad_id)
    lines = [index for index in sorted(encoded.first_token) if page.lines[index].label in names]
    labels = [page.lines[index].label for index in lines]
    scale = np.array([1000 / page.width, 1000 / page.height] * 2)
    occurrences = [
        (entity, window, token)
        for entity, index in enumerate(lines)
        for window, token in encoded.entity_positions(index)
    ]
    inputs = {
        "input_ids": batch.input_ids.numpy(),
        "bbox": batch.bbox.numpy(),
        "attention_mask": batch.attention_mask.numpy(),
        "occurrences": np.array(occurrences, np.int64).reshape(-1, 3),
        "entity_labels": np.array([names.index(label) for label in labels], np.int64),
        "entity_boxes": (np.array([page.lines[index].box for index in lines]).reshape(-1, 4) * scale).astype(
            np.float32
        ),
        "entity_order": np.array([encoded.order.index(index) for index in lines], np.int64),
        "pairs": candidate_pairs(labels, bundle.info.relation_pairs).astype(np.int64),
    }
    if page.pixels is not None:
        inputs["image"] = model_images([page.pixels], bundle.info.image).numpy()
    return inputs


def main(arguments: list[str] | None = None) -> int:
    samples = ROOT / "kie_ray/samples"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", metavar="BUNDLE", help="the bundled model when left out")
    parser.add_argument("--annotations", type=Path, default=samples / "labels.txt", metavar="FILE")
    parser.add_argument("--images", type=Path, default=samples, metavar="DIR")
    parser.add_argument("--page", type=int, default=0, help="which page of the file")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    options = parser.parse_args(arguments)
    bundle = Bundle.load(options.model)
    pages = with_sizes(read_labels(options.annotations)[options.page : options.page + 1], options.images)
    if not pages:
        parser.error(f"{options.annotations} has no page {options.page}")
    (page,) = with_pixels(pages, options.images, bundle.info.image)
    options.output.mkdir(parents=True, exist_ok=True)
    for name, values in page_inputs(bundle, page).items():
        np.save(options.output / f"{name}.npy", np.ascontiguousarray(values))
    return 0


if __name__ == "__main__":
    sys.exit(main())

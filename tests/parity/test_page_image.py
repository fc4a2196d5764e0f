"""The model's image against the references: PaddleOCR's recorded, Hugging Face's run beside ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kie_ray.encoding.page_image import model_images, resize_page


def test_paddle(fixtures_dir: Path) -> None:
    with np.load(fixtures_dir / "ppocr_encode" / "image_pre.npz") as recorded:
        page, resized, output = (recorded[name] for name in ("image_hwc_rgb_uint8", "resized", "output_chw"))
    ours = resize_page(page, "paddle")
    np.testing.assert_array_equal(ours, resized)
    np.testing.assert_array_equal(model_images([ours], "paddle")[0].numpy(), output)


def test_hugging_face() -> None:
    """The processor's Pillow backend; the values are its uint8 ones, which the model casts."""
    from transformers.models.layoutlmv2.image_processing_pil_layoutlmv2 import LayoutLMv2ImageProcessorPil

    processor = LayoutLMv2ImageProcessorPil(apply_ocr=False)
    rng = np.random.default_rng(0)
    for height, width in ((417, 300), (1100, 850), (100, 900)):
        page = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = processor(page, return_tensors="np")["pixel_values"]
        np.testing.assert_array_equal(model_images([resize_page(page, "bgr")], "bgr").numpy(), expected)

"""Model directories as PaddleOCR wants them, made of the ONNX files in RapidOCR's wheel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import yaml

from kie_ray.ocr.rapidocr import DETECTION, RECOGNITION, model_file

_READ = {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}}
_HALF = [0.5, 0.5, 0.5]
DETECTION_STEPS = (
    _READ,
    {"DetResizeForTest": {"resize_long": 960}},
    {"NormalizeImage": {"mean": _HALF, "std": _HALF, "scale": "1./255.", "order": "hwc"}},
    {"ToCHWImage": None},
)
DETECTION_RESULT = {
    "name": "DBPostProcess",
    "thresh": 0.3,
    "box_thresh": 0.6,
    "max_candidates": 1000,
    "unclip_ratio": 1.5,
}
RECOGNITION_STEPS = (_READ, {"RecResizeImg": {"image_shape": [3, 48, 320]}})
_ORIENTATION_STEPS = (
    {"ResizeImage": {"size": [192, 48]}},
    {"NormalizeImage": {"mean": _HALF, "std": _HALF}},
    {"ToCHWImage": None},
)


def describe(folder: Path, name: str, steps: Sequence[dict[str, Any]], result: dict[str, Any]) -> Path:
    """Write the folder's inference.yml."""
    folder.mkdir(parents=True, exist_ok=True)
    tree = {"Global": {"model_name": name}, "PreProcess": {"transform_ops": list(steps)}, "PostProcess": result}
    (folder / "inference.yml").write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    return folder


def detection_dir(folder: Path) -> Path:
    made = describe(folder / "det", "PP-OCRv6_small_det", DETECTION_STEPS, DETECTION_RESULT)
    (made / "inference.onnx").symlink_to(model_file(DETECTION))
    return made


def recognition_dir(folder: Path) -> Path:
    file = model_file(RECOGNITION)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    characters = session.get_modelmeta().custom_metadata_map["character"].splitlines()
    result = {"name": "CTCLabelDecode", "character_dict": characters}
    made = describe(folder / "rec", "PP-OCRv6_small_rec", RECOGNITION_STEPS, result)
    (made / "inference.onnx").symlink_to(file)
    return made


def orientation_dir(folder: Path) -> Path:
    result = {"Topk": {"topk": 1, "label_list": ["0_degree", "180_degree"]}}
    made = describe(folder / "ori", "PP-LCNet_x0_25_textline_ori", _ORIENTATION_STEPS, result)
    (made / "inference.onnx").symlink_to(model_file("ch_ppocr_mobile_v2.0_cls_mobile.onnx"))
    return made

"""Which models the PaddleOCR engine runs: names and directories, checked before PaddleOCR is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from kie_ray.errors import ConfigError

if TYPE_CHECKING:
    from kie_ray.ocr.engine import OcrSettings

_NAMES = {
    "detection": "PP-OCRv6_small_det",
    "recognition": "PP-OCRv6_small_rec",
    "orientation": "PP-LCNet_x1_0_textline_ori",
}
_NOT_IN_PADDLEOCR = ("recognition_min_width", "recognition_width_step")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class PaddleModel:
    """`kind`: detection, recognition or orientation. `name`: as PaddleOCR knows it. `folder`: a local directory, or
    None where PaddleOCR downloads the model."""

    kind: str
    name: str
    folder: str | None


def chosen_models(settings: OcrSettings) -> list[PaddleModel]:
    """Detection, recognition and, with `settings.orientation_classifier`, orientation.

    Raises:
        ConfigError: an option that PaddleOCR does not have is set, or a directory does not hold the model.
    """
    for option in _NOT_IN_PADDLEOCR:
        value, default = getattr(settings, option), type(settings).model_fields[option].default
        if value != default:
            raise ConfigError(
                f"ocr.{option} = {value}: the engine 'paddleocr' has no such option, leave it at {default}"
            )
    models = [_model("detection", settings), _model("recognition", settings)]
    if settings.orientation_classifier:
        return [*models, _model("orientation", settings)]
    for option in ("orientation_model", "orientation_dir"):
        if value := getattr(settings.paddleocr, option):
            raise ConfigError(f"ocr.paddleocr.{option} = {value!r} needs ocr.orientation_classifier = true")
    return models


def _model(kind: str, settings: OcrSettings) -> PaddleModel:
    name: str | None = getattr(settings.paddleocr, f"{kind}_model")
    folder: str | None = getattr(settings.paddleocr, f"{kind}_dir")
    if folder is None:
        return PaddleModel(kind, name or _NAMES[kind], None)
    model = PaddleModel(kind, _name_inside(folder, f"ocr.paddleocr.{kind}_dir", settings.paddleocr.engine), folder)
    if name not in (None, model.name):
        raise ConfigError(
            f"ocr.paddleocr.{kind}_model = {name!r}, but {folder}/inference.yml describes {model.name!r}: "
            f"leave {kind}_model empty, or give the directory of {name}"
        )
    return model


def _name_inside(folder: str, setting: str, engine: str) -> str:
    """`Global.model_name` of the directory's inference.yml."""
    where = f"{setting} = {folder!r}"
    if not Path(folder).is_dir():
        raise ConfigError(f"{where}: there is no such local directory")
    file = Path(folder) / "inference.yml"
    if not file.is_file():
        raise ConfigError(f"{where} holds no inference.yml, the description that PaddleOCR exports with a model")
    if engine == "onnxruntime" and not (Path(folder) / "inference.onnx").is_file():
        raise ConfigError(
            f"{where} holds no inference.onnx: convert the model with `paddlex --paddle2onnx`, "
            "or set ocr.paddleocr.engine to 'paddle'"
        )
    try:
        name = yaml.load(file.read_text(encoding="utf-8"), Loader=_LOADER)["Global"]["model_name"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"{where}: its inference.yml has no Global.model_name") from error
    return str(name)

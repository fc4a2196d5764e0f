"""`python -m kie_ray.ocr.int8 [FOLDER]`: make the int8 model again (default: kie_ray/ocr/int8).

Needs the extras `export` and `synthetic`. Takes some three minutes.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from kie_ray.errors import ConfigError
from kie_ray.ocr.engine import OcrSettings
from kie_ray.ocr.int8 import FOLDER, int8_file
from kie_ray.ocr.int8.calibration import calibration_pages, line_inputs
from kie_ray.ocr.int8.graph import quantise, simplify
from kie_ray.ocr.rapidocr import RECOGNITION, model_file

_STEM = ("Conv.0", "Conv.1", "Conv.2", "Conv.3")
"""Few channels, many places: int8 gains little there and costs most lines."""
_NECK = ("Conv.54", "Conv.55", "Conv.56")
_CLASSES = "MatMul.12"


def write_model(folder: Path) -> Path:
    """Write the file into `folder`.

    Raises:
        ConfigError: the installed RapidOCR does not ship the models, or fonts are missing.
    """
    import onnx

    source = model_file(RECOGNITION)
    settings = OcrSettings(dtype="float32", device="cpu", threads=1)
    model = quantise(simplify(source), line_inputs(calibration_pages(), settings), (*_STEM, *_NECK), _CLASSES)
    origin = model.metadata_props.add()
    origin.key, origin.value = "source_sha256", hashlib.sha256(source.read_bytes()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / int8_file(RECOGNITION).name
    onnx.save(model, str(file))
    return file


def main(arguments: list[str]) -> int:
    """Exit status: 0 done, 2 wrong arguments, or an extra is missing."""
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        file = write_model(Path(arguments[0]) if arguments else FOLDER)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{file}  {file.stat().st_size / 1024:.0f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

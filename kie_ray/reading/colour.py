"""Any Pillow mode -> upright 8-bit RGB on white."""

from __future__ import annotations

from PIL import Image, ImageChops

_ORIENTATION_TAG = 0x0112
_BITS_PER_SAMPLE_TAG = 258
_PHOTOMETRIC_TAG = 262
_WHITE_IS_ZERO = 0
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ALPHA_MODES = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})


def to_rgb(image: Image.Image) -> Image.Image:
    """`image` (loaded) in mode RGB: deep greys scaled, alpha composited on white, CMYK converted, EXIF applied.

    Raises:
        ValueError: a mode that has no conversion to RGB.
    """
    turn = _TURNS.get(orientation(image))
    image = _flatten(image)
    return image if turn is None else image.transpose(turn)


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) to 8; 1 where it is missing or damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except (
        Exception
    ):  # Pillow raises a zoo of types on damaged EXIF; the pixels are good, so the page is read as stored
        return 1


def _flatten(image: Image.Image) -> Image.Image:
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image
    if mode.startswith("I;16"):
        return _scale_16_bit(image).convert("RGB")
    if mode in ("I", "F"):
        return _scale_range(image).convert("RGB")
    if mode in _ALPHA_MODES or "transparency" in image.info:
        return _on_white(image.convert("RGBA"))
    if mode == "CMYK":
        # Adobe writes CMYK JPEGs inverted and Pillow assumes that of every one; without Adobe's marker they are not
        if image.format == "JPEG" and "adobe" not in image.info:
            image = ImageChops.invert(image)
        return image.convert("RGB")
    if mode == "LAB":
        return _lab(image)
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    page = Image.new("RGB", image.size, (255, 255, 255))
    page.paste(image, mask=image)
    return page


def _scale_16_bit(image: Image.Image) -> Image.Image:
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE_TAG, (16,))[0]  # 12-bit scans come in 16-bit words
    factor = 255.0 / (2**bits - 1)
    grey = image.convert("I").point(lambda level: level * factor + 0.5).convert("L")
    # Pillow inverts WhiteIsZero for 1 and 8 bits only
    return ImageChops.invert(grey) if tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO else grey


def _scale_range(image: Image.Image) -> Image.Image:
    """32-bit levels have no agreed white: the page's own darkest level becomes black, its brightest white."""
    low, high = image.getextrema()
    factor = 255.0 / (high - low) if high > low else 1.0  # type: ignore[operator]
    shift = 0.5 - low * factor if high > low else 0.0  # type: ignore[operator]
    return image.point(lambda level: level * factor + shift).convert("L")


def _lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms  # rare, and slow to import

    transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
    converted = ImageCms.applyTransform(image, transform)
    if converted is None:
        raise ValueError("the LAB picture has no conversion to RGB")
    return converted

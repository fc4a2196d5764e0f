"""A page's pixels to the picture that a visual model sees: shrunk where the page is read, made a tensor at the model.

The shrunk picture is 150,528 bytes whatever the page's size, so it may travel between processes; the page does not.
torch, OpenCV and Pillow are imported where they are used: readers of pages do without torch, bundles that see no image
without all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from kie_ray.records import Line, Page, PageImage

if TYPE_CHECKING:
    from torch import Tensor

ImageKind = Literal["none", "bgr", "paddle", "imagenet", "unit"]
"""How a page becomes the model's image.

none      the model sees no image
bgr       Microsoft's and Hugging Face's LayoutLMv2 and LayoutXLM: Pillow's bilinear filter (it averages what it
          shrinks, as detectron2's `ResizeTransform` does), raw values in the order blue, green, red; the model
          normalises them
paddle    PaddleOCR's LayoutXLM: OpenCV's bilinear interpolation, order red, green, blue, normalised; the model then
          normalises once more, by the statistics of the other channel order, and is trained so
imagenet  LayoutLM with image embeddings: Pillow's bilinear filter, 0 to 1, normalised as torchvision's ResNets want it
unit      LayoutLM with image embeddings as the common recipe for token classification prepares pages: Pillow's default
          filter (bicubic), red, green, blue from 0 to 1 and nothing more, though its ResNet was trained on `imagenet`
"""

IMAGE_SIZE = 224
"""Width and height of the picture, pixels; the page's aspect ratio is not kept."""

IMAGE_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)

_PADDLE_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_PADDLE_STD = np.array([58.395, 57.12, 57.375], np.float32)
_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


def read_page(image: PageImage, lines: list[Line], kind: ImageKind) -> Page:
    """The page of an image and its lines as OCR read them, with `pixels` where `kind` is not none."""
    pixels = None if kind == "none" else resize_page(image.pixels, kind)
    return Page(image.index, image.width, image.height, lines, source=image.source, pixels=pixels)


def resize_page(pixels: NDArray[np.uint8], kind: ImageKind) -> NDArray[np.uint8]:
    """uint8 [height, width, 3] RGB -> uint8 [224, 224, 3] RGB, with the filter that `kind` was trained with.

    Raises:
        ValueError: `kind` is none.
    """
    _require(kind)
    if kind == "paddle":
        import cv2

        return cast(NDArray[np.uint8], cv2.resize(np.ascontiguousarray(pixels), (IMAGE_SIZE, IMAGE_SIZE)))
    from PIL import Image

    resampling = Image.Resampling.BICUBIC if kind == "unit" else Image.Resampling.BILINEAR
    return np.array(Image.fromarray(pixels).resize((IMAGE_SIZE, IMAGE_SIZE), resampling))


def model_images(resized: Sequence[NDArray[np.uint8]], kind: ImageKind) -> Tensor:
    """Pictures of P pages, uint8 [224, 224, 3] RGB each -> float32 [P, 3, 224, 224] as `kind` says.

    Raises:
        ValueError: `kind` is none, there is no picture, or one has another shape or type.
    """
    _require(kind)
    for image in resized:
        if image.shape != IMAGE_SHAPE or image.dtype != np.uint8:
            raise ValueError(f"a page image is {image.dtype} {list(image.shape)}, it must be uint8 [224, 224, 3]")
    import torch

    images = np.stack(resized).astype(np.float32)
    if kind == "bgr":
        images = images[..., ::-1]
    elif kind == "paddle":
        images -= _PADDLE_MEAN
        images /= _PADDLE_STD
    else:
        images /= 255
        if kind == "imagenet":
            images -= _IMAGENET_MEAN
            images /= _IMAGENET_STD
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def _require(kind: ImageKind) -> None:
    if kind == "none":
        raise ValueError("image kind 'none': the model sees no image; kinds are bgr, paddle, imagenet and unit")

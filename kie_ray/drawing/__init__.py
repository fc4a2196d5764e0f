"""Pictures for people: overlays of one page and an HTML preview of many."""

from kie_ray.drawing.overlay import draw_page
from kie_ray.drawing.palette import Palette
from kie_ray.drawing.preview import PreviewPage, WriteFile, directory_writer, write_preview

__all__ = ["Palette", "PreviewPage", "WriteFile", "directory_writer", "draw_page", "write_preview"]

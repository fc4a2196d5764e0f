"""Fonts of the renderer: DejaVu from matplotlib for Latin text, Noto CJK from the `mplfonts` wheel for the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

from kie_ray.datasets.synthetic.canvas import Style
from kie_ray.errors import ConfigError

_LATIN = {
    ("sans", False): "DejaVuSans.ttf",
    ("sans", True): "DejaVuSans-Bold.ttf",
    ("serif", False): "DejaVuSerif.ttf",
    ("serif", True): "DejaVuSerif-Bold.ttf",
    ("mono", False): "DejaVuSansMono.ttf",
    ("mono", True): "DejaVuSansMono-Bold.ttf",
    ("hand", False): "DejaVuSerif-Italic.ttf",
    ("hand", True): "DejaVuSerif-BoldItalic.ttf",
}
_CJK = {"sans": "NotoSansCJKsc-Regular.otf", "serif": "NotoSerifCJKsc-Regular.otf"}
_CJK_SERIF_FALLBACK = "SourceHanSerifSC-Regular.otf"


def _folder(package: str, below: str) -> Path | None:
    found = find_spec(package)
    if found is None or not found.origin:
        return None
    folder = Path(found.origin).parent / below
    return folder if folder.is_dir() else None


@dataclass
class Fonts:
    """Font files; `get` caches what it loads. `cjk` is None where only English pages can be drawn."""

    latin: Path
    cjk: Path | None
    _cache: dict[tuple[str, int], ImageFont.FreeTypeFont] = field(default_factory=dict, repr=False)

    def get(self, style: Style, pixels: int, cjk: bool) -> ImageFont.FreeTypeFont:
        """A font of `pixels` per em. Raises ConfigError when CJK text is asked for and the extra is missing."""
        if cjk:
            if self.cjk is None:
                raise ConfigError(
                    "CJK fonts are missing: install the extra `synthetic` (pip install 'kie-ray[synthetic]')"
                )
            path = self.cjk / _CJK["serif" if style.family == "serif" else "sans"]
            if not path.is_file() and style.family == "serif":
                path = self.cjk / _CJK_SERIF_FALLBACK
        else:
            path = self.latin / _LATIN[style.family, style.bold]
        key = (str(path), pixels)
        if key not in self._cache:
            self._cache[key] = ImageFont.truetype(str(path), pixels)
        return self._cache[key]


def find_fonts(cjk: bool = True) -> Fonts:
    """The fonts of the installed `synthetic` extra. Raises ConfigError that names the extra when they are missing."""
    latin = _folder("matplotlib", "mpl-data/fonts/ttf")
    wide = _folder("mplfonts", "fonts")
    if latin is None or (cjk and wide is None):
        missing = "matplotlib (DejaVu)" if latin is None else "mplfonts (Noto CJK)"
        raise ConfigError(
            f"fonts of {missing} are missing: install the extra `synthetic` (pip install 'kie-ray[synthetic]')"
        )
    return Fonts(latin, wide)

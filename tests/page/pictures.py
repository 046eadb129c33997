"""Pictures of the page: taken in every run, and kept in the package's folder when MATRIX_SCREENSHOTS=1 asks for it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matrix.server

FOLDER = Path(matrix.server.__file__).parent / "page" / "screenshots"
SIZES = ((1280, 800), (1920, 1080))
SETTLE_MS = 250


class Camera:
    """Kept pictures are of 256 colours, so that they stay small."""

    def __init__(self, *, is_kept: bool) -> None:
        self._is_kept = is_kept

    def shoot(self, page: Any, name: str, *, before: Callable[[Any], None] | None = None) -> bytes:
        """The picture as it stands. Kept ones: in each size, light and dark; ``before`` settles the page in each."""
        picture: bytes = page.screenshot(animations="disabled")
        if self._is_kept:
            was = page.viewport_size
            for width, height in SIZES:
                for look in ("light", "dark"):
                    page.set_viewport_size({"width": width, "height": height})
                    page.emulate_media(color_scheme=look)
                    page.wait_for_timeout(SETTLE_MS)
                    if before is not None:
                        before(page)
                    ending = "-dark" if look == "dark" else ""
                    self._keep(page.screenshot(animations="disabled"), f"{name}-{width}x{height}{ending}.png")
            page.set_viewport_size(was)
        return picture

    def _keep(self, picture: bytes, name: str) -> None:
        from PIL import Image  # Pillow is only needed to keep pictures: pip install pillow

        FOLDER.mkdir(exist_ok=True)
        colours = Image.open(io.BytesIO(picture)).convert("RGB")
        # By k-means too: the median cut alone loses the colour of what is small, a dot or a word.
        colours.quantize(256, kmeans=4, dither=Image.Dither.NONE).save(FOLDER / name, optimize=True)

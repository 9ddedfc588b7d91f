"""A picture of the plate as its files have it, seen from the chrome side: dark is opaque, light is clear."""

from pathlib import Path

import numpy as np
from PIL import Image

from cidesign.export.aperture.layout import Plate

_LONGEST_PX = 1200


def write_plate_preview(plate: Plate, path: Path) -> None:
    """Draw the drawing with square pixels, whole code pixels to a picture pixel or whole picture pixels to one."""
    drawn, placement = plate.drawn, plate.placement
    step_nm = placement.pitch_nm * max(
        1, -(-max(placement.width_nm, placement.height_nm) // placement.pitch_nm // _LONGEST_PX)
    )
    scale = max(1, _LONGEST_PX * step_nm // max(placement.width_nm, placement.height_nm))
    rows, columns = (
        np.searchsorted(edges, np.arange(edges[0] + step_nm // 2, edges[-1], step_nm), side="right") - 1
        for edges in (drawn.y, drawn.x)
    )
    levels = drawn.levels[np.ix_(rows, columns)]
    clear = levels if placement.tone == "clear" else 1 - levels
    picture = np.where(clear == 1, np.uint8(235), np.uint8(40)).astype(np.uint8)
    Image.fromarray(np.kron(picture, np.ones((scale, scale), dtype=np.uint8))).save(path, format="PNG")

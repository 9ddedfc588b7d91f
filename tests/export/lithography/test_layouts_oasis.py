"""OASIS by hand: shapes that gdstk reads and does not write, and the checksum at the end."""

import math

import pytest
from layout_bytes import (
    area_um2,
    library_of,
    number,
    oasis,
    signed,
    trapezoid,
    write,
)

from cidesign.errors import FileError
from cidesign.export.aperture.gds.layout import read_layout
from cidesign.export.aperture.verify import check_mask_file

gdstk = pytest.importorskip("gdstk", reason="gdstk is not installed")

pytestmark = pytest.mark.usefixtures("read_here")


@pytest.mark.parametrize(
    ("kind", "area"),
    [(0, 250), (4, 200), (8, 250), (12, 200), (16, 50), (18, 50), (20, 100), (22, 100), (24, 300), (25, 100)],
)
def test_trapezoids_of_oasis_have_their_area(tmp_path, kind, area) -> None:
    width, height = (30_000, 10_000) if kind < 8 or kind in (20, 21, 24) else (10_000, 30_000)
    layout = read_layout(write(tmp_path, oasis(trapezoid(kind, width, height)), "oas"), "oasis")
    assert area_um2(layout) == pytest.approx(area)


def test_a_circle_of_oasis_is_round(tmp_path, chrome) -> None:
    circle = b"\x1b\x3b\x01\x00" + number(3000) + signed(50_000) + signed(0)
    path = write(tmp_path, oasis(circle), "oas")
    layout = read_layout(path, "oasis")
    assert layout.round.tolist() == [True]
    assert area_um2(layout) == pytest.approx(9 * math.pi, rel=1e-3)
    assert [finding.status for finding in check_mask_file(path, chrome)][-1] == "not checked"


def test_an_oasis_file_that_does_not_fit_its_checksum_is_refused(tmp_path) -> None:
    library = library_of()
    leaf, top = library.new_cell("LEAF"), library.new_cell("TOP")
    leaf.add(gdstk.rectangle((0, 0), (10, 10), layer=1))
    top.add(gdstk.Reference(leaf, (5, 5)))
    path = tmp_path / "mask.oas"
    library.write_oas(str(path), compression_level=0, validation="crc32")
    content = bytearray(path.read_bytes())
    place = content.index(number(10_000))
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match="do not fit the checksum at its end"):
        read_layout(path, "oasis")

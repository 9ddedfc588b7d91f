"""Nothing is written that breaks a limit, and nothing is lost when writing fails."""

import errno
from pathlib import Path

import pytest

from cidesign.errors import FileError, InputError, LimitError
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.manifest import read_manifest
from cidesign.export.dmd.writer import write_export
from cidesign.files import sha256_file
from cidesign.hardware_profiles.loader import load_profile

DLPC350 = exporter_named("dlpc350")


def test_the_manifest_says_what_is_shown_when(tmp_path, tiny, make_pattern, plan_for) -> None:
    pattern = make_pattern(tiny, 2, 4, bit_depth=5, encoding="complementary")
    plan = plan_for(tiny, pattern, exposure_us=2500.5)
    manifest = write_export(DLPC350, pattern, tiny, plan, tmp_path / "export")
    assert read_manifest(tmp_path / "export") == manifest
    assert manifest.timing.requested_exposure_us == 2500.5
    assert manifest.timing.exposure_us == 2501
    assert manifest.timing.notes == ("exposure 2500.5 us becomes 2501 us: the device counts whole microseconds",)
    assert [(entry.pattern, entry.role, entry.planes) for entry in manifest.entries] == [
        (0, "+", (1, 2, 3, 4, 5)),
        (0, "-", (7, 8, 9, 10, 11)),
        (1, "+", (13, 14, 15, 16, 17)),
        (1, "-", (19, 20, 21, 22, 23)),
    ]
    # 21 columns and 15 column pitches of rows hold four super-pixels of three columns: 3 x 10.8 um.
    assert (manifest.grid.side_columns, manifest.grid.side_um) == (3, pytest.approx(32.4))
    assert manifest.design_digest == pattern.design_digest
    assert manifest.image_files() == ["dlp4500_00.bmp"]


@pytest.mark.parametrize(
    ("count", "bit_depth", "times", "message"),
    [
        (6200, 1, {}, "sequence length is 6201 entries and 259 images"),
        (4, 1, {"exposure_us": 234}, "exposure is 234 us, the limit is at least 235 us at 1 bit on dlp4500"),
        (4, 8, {"exposure_us": 8000}, "exposure is 8000 us, the limit is at least 8333 us at 8 bit"),
        (4, 1, {"exposure_us": 200_000_001}, "at most 200000000 us"),
        (4, 1, {"exposure_us": 300, "period_us": 301}, "period minus exposure is 1 us"),
        (4, 1, {"exposure_us": 300, "period_us": 529}, "period minus exposure is 229 us"),
        (4, 1, {"exposure_us": 300, "period_us": 299}, "period minus exposure is -1 us"),
        (60, 1, {"period_us": 235}, "time an image is shown is 5640 us"),
    ],
)
def test_a_broken_limit_is_named_before_anything_is_written(
    tmp_path, tiny, make_pattern, plan_for, count, bit_depth, times, message
) -> None:
    pattern = make_pattern(tiny, count, 4, bit_depth)
    with pytest.raises(LimitError, match=message):
        write_export(DLPC350, pattern, tiny, plan_for(tiny, pattern, **times), tmp_path / "export")
    assert list(tmp_path.iterdir()) == []


def test_the_legal_edges_are_written(tmp_path, tiny, make_pattern, plan_for) -> None:
    pattern = make_pattern(tiny, 4, 4)
    for number, times in enumerate(({"exposure_us": 235}, {"exposure_us": 300, "period_us": 530})):
        write_export(DLPC350, pattern, tiny, plan_for(tiny, pattern, **times), tmp_path / f"export{number}")


def test_the_wrong_device_is_named(tmp_path, tiny, dlp4500, make_pattern, plan_for) -> None:
    pattern = make_pattern(tiny, 4, 4)
    with pytest.raises(InputError, match="format dlpc350 is for dlpc350; dlp6500 has a dlpc900 controller"):
        write_export(DLPC350, pattern, load_profile("dlp6500"), plan_for(tiny, pattern), tmp_path / "export")
    with pytest.raises(InputError, match=r"designed for dlp4500 .* use the profile of the run"):
        write_export(DLPC350, pattern, dlp4500, plan_for(tiny, pattern), tmp_path / "export")
    assert list(tmp_path.iterdir()) == []


def snapshot(folder: Path) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in folder.iterdir()}


def test_what_is_there_stays_without_force(tmp_path, tiny, make_pattern, plan_for) -> None:
    pattern, other = make_pattern(tiny, 4, 4), make_pattern(tiny, 5, 4)
    write_export(DLPC350, pattern, tiny, plan_for(tiny, pattern), tmp_path / "export")
    before = snapshot(tmp_path / "export")
    with pytest.raises(FileError, match="exists already; choose another name or repeat with --force"):
        write_export(DLPC350, other, tiny, plan_for(tiny, other), tmp_path / "export")
    assert snapshot(tmp_path / "export") == before
    write_export(DLPC350, other, tiny, plan_for(tiny, other), tmp_path / "export", force=True)
    assert len(read_manifest(tmp_path / "export").entries) == 6


class FullDisk:
    """A file of which half a write still fits."""

    def __init__(self, stream) -> None:
        self.stream = stream

    def write(self, content) -> None:
        self.stream.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()


@pytest.mark.parametrize("failing", ["dlp4500_01.bmp", "lut.bin", "dlp4500_00.png", "manifest.json"])
@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_leaves_nothing_half(
    tmp_path, tiny, make_pattern, plan_for, monkeypatch, failing, existing
) -> None:
    pattern = make_pattern(tiny, 30, 4)
    if existing:
        write_export(DLPC350, make_pattern(tiny, 4, 4), tiny, plan_for(tiny, make_pattern(tiny, 4, 4)), tmp_path / "e")
    before = snapshot(tmp_path / "e") if existing else None
    open_path = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda self, *mode, **options: (
            FullDisk(open_path(self, *mode, **options))
            if failing in self.name and "wb" in (*mode, *options.values())
            else open_path(self, *mode, **options)
        ),
    )
    with pytest.raises(FileError, match="the disk is full; nothing that was there before is lost"):
        write_export(DLPC350, pattern, tiny, plan_for(tiny, pattern), tmp_path / "e", force=existing)
    assert [path.name for path in tmp_path.iterdir()] == (["e"] if existing else [])
    assert (snapshot(tmp_path / "e") if existing else None) == before


def test_a_writer_that_does_not_write_the_design_is_caught(tmp_path, tiny, make_pattern, plan_for, monkeypatch) -> None:
    """The folder gets its name only after it was read back and compared."""
    from cidesign.export.dmd import bitplanes

    pattern = make_pattern(tiny, 4, 4)
    monkeypatch.setattr(bitplanes, "_OFFSET", (1, *bitplanes._OFFSET[1:]))
    with pytest.raises(FileError, match=r"differs from the design|not what the manifest says"):
        write_export(DLPC350, pattern, tiny, plan_for(tiny, pattern), tmp_path / "export")
    assert list(tmp_path.iterdir()) == []

"""What is damaged, edited or beyond a limit is found, whatever the manifest says."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cidesign.errors import CidesignError, FileError, LimitError
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.verify import verify_export
from cidesign.export.dmd.writer import write_export
from cidesign.files import sha256_file
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import PatternStack

DLPC350 = exporter_named("dlpc350")


@pytest.fixture
def folder(tmp_path, tiny, make_pattern, plan_for) -> Path:
    """30 frames of 4 x 4 super-pixels in two images."""
    pattern = make_pattern(tiny, 29, 4)
    write_export(DLPC350, pattern, tiny, plan_for(tiny, pattern), tmp_path / "export")
    return tmp_path / "export"


def edit_manifest(folder: Path, change) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content))


def forge(folder: Path, name: str) -> None:
    """Make the manifest agree with an edited file."""
    new = {"sha256": sha256_file(folder / name), "bytes": (folder / name).stat().st_size}
    edit_manifest(folder, lambda content: content["files"][name].update(new))


def forge_image(folder: Path, image: int, change) -> None:
    """Change the pixels (rows, columns, 3) of both copies of an image, and the manifest with them."""
    from PIL import Image

    for ending in ("bmp", "png"):
        path = folder / f"dlp4500_{image:02d}.{ending}"
        pixels = np.array(Image.open(path))
        Image.fromarray(change(pixels)).save(path)
        forge(folder, path.name)


def flip_bit(path: Path, position: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(bytes(content))


def test_a_sound_export_passes_every_check(folder) -> None:
    seen: list[str] = []
    findings = verify_export(folder, report=lambda finding: seen.append(finding.name))
    assert seen == [finding.name for finding in findings]
    assert seen == [
        "manifest",
        "files",
        "design",
        "sequence",
        "mirrors",
        "time from flash",
        "time streamed over HDMI",
    ]


def test_an_edited_image_is_found_by_its_hash(folder) -> None:
    flip_bit(folder / "dlp4500_01.bmp", 54 + 700)
    with pytest.raises(FileError, match=r"dlp4500_01\.bmp: was changed"):
        verify_export(folder)


def test_one_wrong_mirror_is_found_though_the_hash_was_forged(folder) -> None:
    def change(pixels):
        pixels[12, 10, 1] ^= 4  # green, bit 2: plane 2 of the second image is frame 26
        return pixels

    forge_image(folder, 1, change)
    with pytest.raises(FileError, match="frame 26 differs from the design in 1 of 630 mirrors"):
        verify_export(folder)


def test_a_flipped_image_is_found_though_the_hash_was_forged(folder) -> None:
    forge_image(folder, 0, lambda pixels: pixels[::-1])
    with pytest.raises(FileError, match="frame 0 differs"):
        verify_export(folder)


def test_swapped_images_are_found_though_the_hashes_were_forged(folder) -> None:
    for ending in ("bmp", "png"):
        first, second = folder / f"dlp4500_00.{ending}", folder / f"dlp4500_01.{ending}"
        first_content, second_content = first.read_bytes(), second.read_bytes()
        first.write_bytes(second_content)
        second.write_bytes(first_content)
        forge(folder, first.name)
        forge(folder, second.name)
    with pytest.raises(FileError, match="frame 0 differs"):
        verify_export(folder)


def test_another_design_is_found_though_the_hash_was_forged(folder, tiny, make_pattern) -> None:
    make_pattern(tiny, 28, 4).save(folder / "design.npz")
    forge(folder, "design.npz")
    with pytest.raises(FileError, match="not the design that the manifest names"):
        verify_export(folder)


@pytest.mark.parametrize("exposure_us", [1, 234])
def test_an_exposure_below_the_table_is_found_on_disk(folder, exposure_us) -> None:
    settings_file = folder / "sequence.ini"
    settings_file.write_text(settings_file.read_text().replace("0xEB ", f"0x{exposure_us:X} "))
    forge(folder, "sequence.ini")

    def change(content):
        for entry in content["entries"]:
            entry["exposure_us"] = entry["period_us"] = exposure_us
        content["timing"]["total_us"] = 30 * exposure_us

    with pytest.raises(FileError, match="not what the manifest says"):
        verify_export(folder)
    edit_manifest(folder, change)
    with pytest.raises(LimitError, match=f"exposure is {exposure_us} us, the limit is at least 235 us"):
        verify_export(folder)


def test_a_period_gap_that_the_controller_rejects_is_found_on_disk(folder) -> None:
    settings_file = folder / "sequence.ini"
    table = bytearray((folder / "lut.bin").read_bytes())
    table[2::3] = [value | 2 for value in table[2::3]]  # bit 17: black afterwards
    (folder / "lut.bin").write_bytes(table)
    forge(folder, "lut.bin")
    words = " ".join(f"0x{int.from_bytes(table[at : at + 3], 'little'):X}" for at in range(0, len(table), 3))
    text = settings_file.read_text().replace("PAT_PERIOD ", "PAT_PERIOD 0x1D0 ;")
    settings_file.write_text(text[: text.index("DEFAULT.SEQPATLUT")] + f"DEFAULT.SEQPATLUT {words} ;\n")
    forge(folder, "sequence.ini")

    def change(content):
        for entry in content["entries"]:
            entry["period_us"] = 0x1D0
        content["timing"]["total_us"] = 30 * 0x1D0

    edit_manifest(folder, change)
    with pytest.raises(LimitError, match="period minus exposure is 229 us"):
        verify_export(folder)


def test_a_sequence_too_long_for_its_mode_is_found(folder) -> None:
    """The profile inside is replaced by one whose fixed mode holds 29 entries."""

    def change(content):
        from cidesign.hardware_profiles.loader import validate_profile

        profile = content["profile"]
        profile["sequence_modes"][0]["max_entries"]["value"] = 29
        content["profile_digest"] = validate_profile(profile, "test").digest

    edit_manifest(folder, change)
    digest = json.loads((folder / "manifest.json").read_text())["profile_digest"]
    old = PatternStack.load(folder / "design.npz")
    new = PatternStack(old.levels, old.bit_depth, old.encoding, old.profile_id, digest)
    new.save(folder / "design.npz")
    forge(folder, "design.npz")
    edit_manifest(folder, lambda content: content.__setitem__("design_digest", new.design_digest))
    with pytest.raises(LimitError, match="sequence length is 30 entries and 2 images"):
        verify_export(folder)


def test_another_device_is_answered_clearly(folder) -> None:
    with pytest.raises(LimitError, match="designed for dlp4500, not for dlp6500; leave out --profile"):
        verify_export(folder, load_profile("dlp6500"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.__setitem__("schema_version", 2), "schema version 2, cidesign .* reads 1"),
        (lambda c: c.__setitem__("profile_digest", "0" * 64), "was changed after the export"),
        (lambda c: c["profile"]["mirrors"]["rows"].__setitem__("value", 32), "was changed after the export"),
        (lambda c: c.__setitem__("format", "dlpc200"), "unknown export format 'dlpc200'; known are"),
        (lambda c: c["files"].__setitem__("../x", c["files"]["lut.bin"]), r"names '\.\./x', which is not a file"),
        (lambda c: c["files"].pop("lut.bin"), r"lut\.bin is not in manifest\.json"),
        (lambda c: c["files"].pop("design.npz"), r"design\.npz is not in"),
        (lambda c: c["files"].__setitem__("y.bmp", c["files"]["lut.bin"]), r"y\.bmp is missing"),
        (lambda c: c.__setitem__("polarity", 0), "polarity"),
        (lambda c: c["flips"].__setitem__("long_axis", True), "long_axis"),
        (lambda c: c["entries"].pop(), "another number of frames"),
        (lambda c: c["entries"][7].__setitem__("role", "-"), "frame 7 of the device files is not what"),
        (lambda c: c["entries"][24].__setitem__("loads_image", False), "frame 24 of the device files is not what"),
        (lambda c: c.__setitem__("extra", 1), "extra"),
    ],
)  # fmt: skip
def test_a_wrong_manifest_is_refused(folder, change, message) -> None:
    edit_manifest(folder, change)
    with pytest.raises(CidesignError, match=message) as caught:
        verify_export(folder)
    assert "\n" not in str(caught.value)


def test_a_file_beside_the_export_is_named(folder) -> None:
    (folder / "dlp4500_02.bmp").write_bytes(b"")
    with pytest.raises(FileError, match=r"dlp4500_02\.bmp is not in manifest\.json"):
        verify_export(folder)


def test_a_folder_that_is_no_export_is_named(tmp_path) -> None:
    with pytest.raises(FileError, match="no such export folder; make one with"):
        verify_export(tmp_path / "nothing")
    with pytest.raises(FileError, match="no export is in this folder"):
        verify_export(tmp_path)


FUZZED = {
    "dlpc350": "dlp4500_00.bmp dlp4500_01.bmp dlp4500_00.png lut.bin images.bin sequence.ini manifest.json design.npz",
    "hdmi": "dlp4500_00.png sequence.json",
    "dlpc900": "dlp6500_00.spld dlp6500_01.spld lut.bin sequence.batch.txt",
    "alp": "alp_planes.bin alp_planes.json",
}
DEVICES = {"dlpc350": "dlp4500", "hdmi": "dlp4500", "dlpc900": "dlp6500", "alp": "dlp7000"}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in FUZZED.items() for name in names.split()])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_are_always_found(small_export, kind, name, data) -> None:
    """Bytes are changed, cut or added, and the hash is forged: an error of ours, or nothing that the device sees."""
    exporter, folder = small_export(kind, DEVICES[kind])
    copy = folder.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    content = bytearray((copy / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(content) - 1))
        action = data.draw(st.sampled_from(["flip", "cut", "insert"]))
        if action == "flip":
            content[position] ^= data.draw(st.integers(1, 255))
        elif action == "cut":
            del content[position : position + data.draw(st.integers(1, 40))]
        else:
            content[position:position] = data.draw(st.binary(min_size=1, max_size=8))
        if not content:
            break
    changed = bytes(content) != (copy / name).read_bytes()
    (copy / name).write_bytes(bytes(content))
    if name != "manifest.json":
        if changed:
            with pytest.raises(FileError):
                verify_export(copy)
        forge(copy, name)
    try:
        verify_export(copy)
    except CidesignError as caught:
        message = str(caught)
    else:
        message = ""
        # Only what no device shows may differ: resolution fields and padding of a BMP, comments, spaces, dates.
        expected = list(exporter.read(folder).frames)
        assert all(np.array_equal(a, b) for a, b in zip(exporter.read(copy).frames, expected, strict=True))
    assert "\n" not in message

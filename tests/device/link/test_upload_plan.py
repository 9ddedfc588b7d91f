"""The plan of an upload: what is re-read, what is refused before a byte is sent, and what the device overrules."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cidesign.constraints.sequence import plan_sequence
from cidesign.device.dmd import DeviceInfo, TableEntry
from cidesign.device.link.messages import Caps, Slot
from cidesign.device.link.plan import UploadPlan, check_device, plan_upload
from cidesign.device.refusals import refuse_unsupported
from cidesign.errors import DeviceError, FileError, InputError, LimitError
from cidesign.export.dmd.formats import exporter_named
from cidesign.export.dmd.writer import write_export
from cidesign.files import read_json, write_json
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import PatternStack

FORMATS = {"dlp6500": "dlpc900", "dlp9000": "dlpc900", "dlp4500": "dlpc350", "dlp7000": "alp"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """An export folder per profile: 25 asymmetric patterns of 8 x 8 and one all-on frame, in two images."""
    made: dict[str, Path] = {}

    def export(name: str) -> Path:
        if name not in made:
            profile = load_profile(name)
            levels = np.random.default_rng(4).integers(0, 2, (25, 8, 8), dtype=np.uint8)
            pattern = PatternStack(levels, 1, "offset", profile.id, profile.digest)
            plan = plan_sequence(profile, len(pattern.frames()), 1)
            made[name] = tmp_path_factory.mktemp("plan") / name
            write_export(exporter_named(FORMATS[name]), pattern, profile, plan, made[name])
        return made[name]

    return export


def caps_for(plan: UploadPlan) -> Caps:
    profile = plan.profile
    info = DeviceInfo(
        profile.id,
        profile.controller.value,
        (5, 0, 0),
        profile.mirrors.columns.value,
        profile.mirrors.rows.value,
        plan.way.name != "flash",
        400,
        18,
        {1: 105, 8: 4046},
    )
    return Caps(4104, 64, 10**9, 4_000_000, "test", info)


def test_a_dlp6500_gets_its_table_and_its_image_files(exported: Callable[[str], Path]) -> None:
    folder = exported("dlp6500")
    plan = plan_upload(folder, None, 115_200)
    assert [item.slot for item in plan.upload.objects] == [Slot(3, 0), Slot(1, 1), Slot(1, 0)]
    assert plan.upload.objects[1].content == (folder / "dlp6500_01.spld").read_bytes()
    assert plan.upload.objects[2].content == (folder / "dlp6500_00.spld").read_bytes()
    entries = TableEntry.unpack_all(plan.upload.objects[0].content)
    assert len(entries) == 26
    assert entries[0] == TableEntry(0, 0, 1, True, 105, 0)
    assert entries[24] == TableEntry(1, 0, 1, True, 105, 0)
    assert entries[25] == TableEntry(1, 1, 1, False, 105, 0)
    assert plan.sequence_us == 26 * 105
    assert plan.warnings == ()


def test_both_halves_go_together_from_the_highest_index_down(exported: Callable[[str], Path]) -> None:
    folder = exported("dlp9000")
    plan = plan_upload(folder, None, 115_200)
    assert [item.slot for item in plan.upload.objects[1:]] == [Slot(1, 1), Slot(2, 1), Slot(1, 0), Slot(2, 0)]
    assert plan.upload.objects[2].content == (folder / "dlp9000_01_secondary.spld").read_bytes()
    assert plan.upload.objects[1].content != plan.upload.objects[2].content


def test_a_dlp4500_goes_by_hdmi_and_says_so(exported: Callable[[str], Path]) -> None:
    folder = exported("dlp4500")
    plan = plan_upload(folder, None, 115_200)
    assert plan.way.name == "hdmi"
    assert plan.upload.objects[1].content == (folder / "dlp4500_01.png").read_bytes()
    assert "no images over its control link" in plan.warnings[0]
    assert "bridge --backend display" in plan.warnings[0]
    # Three 60 Hz frames until an image has arrived, and one to show it, for each of two images.
    assert plan.sequence_us == 2 * 4 * 16_667


def test_images_in_flash_send_the_table_alone(exported: Callable[[str], Path]) -> None:
    plan = plan_upload(exported("dlp4500"), None, 115_200, images_in_flash=True)
    assert [item.slot for item in plan.upload.objects] == [Slot(3, 0)]
    assert "nothing can check" in plan.warnings[-1]
    with pytest.raises(LimitError, match="images-in-flash is for devices that take no images"):
        plan_upload(exported("dlp6500"), None, 115_200, images_in_flash=True)


def test_periods_that_grew_for_the_flash_are_not_used_over_hdmi(tmp_path: Path) -> None:
    profile = load_profile("dlp4500")
    levels = np.random.default_rng(4).integers(0, 2, (60, 8, 8), dtype=np.uint8)
    pattern = PatternStack(levels, 1, "offset", profile.id, profile.digest)
    sequence = plan_sequence(profile, len(pattern.frames()), 1)
    assert sequence.entries[0].period_us > sequence.entries[0].exposure_us
    write_export(exporter_named("dlpc350"), pattern, profile, sequence, tmp_path / "out")
    assert {entry.dark_us for entry in plan_upload(tmp_path / "out", None, 115_200).entries} == {0}
    flash = plan_upload(tmp_path / "out", None, 115_200, images_in_flash=True)
    assert sum(entry.exposure_us + entry.dark_us for entry in flash.entries) == sequence.total_us
    assert any("read from flash" in text for text in flash.warnings)


def test_a_board_without_a_serial_path_is_refused_with_the_way_out(exported: Callable[[str], Path]) -> None:
    with pytest.raises(LimitError, match=r"dlp7000: a DLPC410 board takes images from .* vendor's library"):
        plan_upload(exported("dlp7000"), None, 115_200)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("DLP2000", "no pattern mode"), ("dlp4710", "one-dimensional"), ("D4100", "no documented RS-232 commands")],
)
def test_devices_that_take_no_uploads_are_refused_by_name(name: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        refuse_unsupported(name)
    refuse_unsupported("dlp6500")


def test_an_edited_file_is_refused(exported: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(exported("dlp6500"), tmp_path / "edited")
    content = bytearray((folder / "dlp6500_01.spld").read_bytes())
    content[60] ^= 1
    (folder / "dlp6500_01.spld").write_bytes(content)
    with pytest.raises(FileError, match=r"dlp6500_01\.spld: was changed after it was exported"):
        plan_upload(folder, None, 115_200)


def test_an_edited_manifest_is_refused(exported: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(exported("dlp6500"), tmp_path / "edited")
    raw = read_json(folder / "manifest.json", "manifest")
    raw["entries"][3]["exposure_us"] = 104
    write_json(folder / "manifest.json", raw)
    with pytest.raises(FileError, match="frame 3 of the device files is not what the manifest says"):
        plan_upload(folder, None, 115_200)


def test_an_export_for_another_device_is_refused(exported: Callable[[str], Path]) -> None:
    with pytest.raises(LimitError, match="designed for dlp6500, not for dlp9000"):
        plan_upload(exported("dlp6500"), load_profile("dlp9000"), 115_200)


def test_the_time_on_the_link_is_named_and_long_ones_are_warned_of(exported: Callable[[str], Path]) -> None:
    plan = plan_upload(exported("dlp6500"), None, 115_200)
    assert plan.link_s(115_200) == pytest.approx(plan.upload.total_bytes * 1.04 / 11_520)
    slow = plan_upload(exported("dlp6500"), None, 300)
    assert any("a higher --baud" in text for text in slow.warnings)
    rows = dict(plan.rows(921_600))
    assert rows["planes"] == "26; the device holds 400 at full rate (6 %)"
    assert rows["to send"].endswith("at 921600 baud")
    assert plan.value(921_600)["upload_digest"] == plan.upload.digest.hex()


def test_the_digest_of_an_upload_covers_every_byte_and_place(exported: Callable[[str], Path]) -> None:
    upload = plan_upload(exported("dlp6500"), None, 115_200).upload
    digests = {upload.digest, replace(upload, design=bytes(32)).digest}
    for number, item in enumerate(upload.objects):
        others = list(upload.objects)
        others[number] = replace(item, content=item.content[:-1] + bytes([item.content[-1] ^ 1]))
        digests.add(replace(upload, objects=tuple(others)).digest)
        others[number] = replace(item, slot=Slot(item.slot.kind, item.slot.number + 1))
        digests.add(replace(upload, objects=tuple(others)).digest)
    assert len(digests) == 2 + 2 * len(upload.objects)


def test_the_right_device_is_accepted(exported: Callable[[str], Path]) -> None:
    for name in ("dlp6500", "dlp9000"):
        plan = plan_upload(exported(name), None, 115_200)
        check_device(plan, caps_for(plan))


def test_another_device_is_refused(exported: Callable[[str], Path]) -> None:
    plan = plan_upload(exported("dlp6500"), None, 115_200)
    other = plan_upload(exported("dlp9000"), None, 115_200)
    with pytest.raises(DeviceError, match=r"the device is a dlp9000 \(dlpc900\), the export .* is for dlp6500"):
        check_device(plan, caps_for(other))
    caps = caps_for(plan)
    with pytest.raises(DeviceError, match="has 1024 x 768 mirrors"):
        check_device(plan, replace(caps, info=replace(caps.info, columns=1024, rows=768)))


def test_what_the_device_reports_overrules_the_profile(exported: Callable[[str], Path]) -> None:
    plan = plan_upload(exported("dlp6500"), None, 115_200)
    caps = caps_for(plan)
    slower = replace(caps, info=replace(caps.info, min_exposure_us={1: 120}, firmware=(3, 0, 1)))
    with pytest.raises(
        LimitError,
        match=r"entry 0: exposure is 105 us, the limit is at least 120 us, as the dlp6500 with firmware 3\.0\.1 "
        r"reports; export again with --exposure-us 120 or more \(and 25 more\)",
    ):
        check_device(plan, slower)


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("max_entries", 25, "number of entries is 26, the limit is 25"),
        ("max_images", 1, "number of images is 2, the limit is 1"),
        ("min_exposure_us", {8: 4046}, "bit depth is 1, the limit is 8"),
    ],
)
def test_a_sequence_longer_than_the_device_is_refused(
    exported: Callable[[str], Path], field: str, value: object, text: str
) -> None:
    plan = plan_upload(exported("dlp6500"), None, 115_200)
    caps = caps_for(plan)
    with pytest.raises(LimitError, match=text):
        check_device(plan, replace(caps, info=replace(caps.info, **{field: value})))


def test_a_control_link_alone_takes_no_images(exported: Callable[[str], Path]) -> None:
    plan = plan_upload(exported("dlp4500"), None, 115_200)
    caps = caps_for(plan)
    with pytest.raises(DeviceError, match="reaches only its control link"):
        check_device(plan, replace(caps, info=replace(caps.info, image_upload=False)))
    flash = plan_upload(exported("dlp4500"), None, 115_200, images_in_flash=True)
    check_device(flash, caps_for(flash))
    with pytest.raises(DeviceError, match="leave out --images-in-flash"):
        check_device(flash, caps)

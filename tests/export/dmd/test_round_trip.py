"""Every format on every device it serves, at every bit depth: what is read back is what was designed."""

import numpy as np
import pytest

from cidesign.export.dmd.formats import MODULES, exporter_named, formats_for
from cidesign.export.dmd.verify import verify_export
from cidesign.export.dmd.writer import write_export
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.loader import load_profile, shipped_profiles

CASES = [
    (name, entry.id, int(depth))
    for entry in shipped_profiles()
    if entry.kind == "dmd"
    if entry.kind == "dmd"
    for name in formats_for(load_profile(entry.id).controller.value)
    for depth in sorted(load_profile(entry.id).bit_depths)
]
# The big devices once for each way of packing; every depth on one device of each format.
EVERY_DEPTH = {"dlp4500", "dlp6500", "dlp7000"}


def test_every_format_and_every_device_is_here() -> None:
    assert {name for name, _, _ in CASES} == set(MODULES)
    assert {device for _, device, _ in CASES} == {entry.id for entry in shipped_profiles() if entry.kind == "dmd"}


@pytest.mark.parametrize(
    ("name", "device", "bit_depth"), [case for case in CASES if case[1] in EVERY_DEPTH or case[2] in (1, 5)]
)
def test_what_is_read_is_what_was_designed(tmp_path, make_pattern, plan_for, name, device, bit_depth) -> None:
    profile = load_profile(device)
    per_image = profile.bit_depths[str(bit_depth)].frames_per_image.value
    pattern = make_pattern(profile, min(per_image, 3) + 1, 10, bit_depth, "complementary")
    exporter = exporter_named(name)
    plan = plan_for(profile, pattern)
    manifest = write_export(exporter, pattern, profile, plan, tmp_path / "export")
    back = exporter.read(tmp_path / "export")
    grid = superpixel_grid(profile, 10)
    for levels, shown in zip(pattern.displayed(), back.frames, strict=True):
        assert shown.dtype == np.uint8
        assert np.array_equal(shown, grid.spread(levels))
    assert back.plan.entries == plan.entries
    assert (back.plan.mode, back.plan.images) == (plan.mode, plan.images)
    assert [entry.frame for entry in manifest.entries] == list(range(len(pattern.frames())))
    assert verify_export(tmp_path / "export")[-1].name.startswith("time")

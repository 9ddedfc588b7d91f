"""Exports of shots: every file holds the design, by independent readers, and what cannot be played is not written."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cidesign.designs.checking import check_path
from cidesign.designs.exporting import export_run
from cidesign.designs.folder import DesignFolder, write_folder
from cidesign.errors import CidesignError, InputError, LimitError
from cidesign.export.family import family
from cidesign.export.mri.shots.manifest import ShotsManifest
from cidesign.export.mri.shots.plan import ShotProtocol, plan_shots
from cidesign.export.mri.shots.scan import SHOT_FORMATS, SHOTS
from cidesign.export.mri.writer import write_scan
from cidesign.export.own_design import OwnDesign
from cidesign.hardware_profiles.loader import load_profile, shipped_profiles, validate_profile
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.io.bart import read_cfl
from cidesign.pattern import NonCartesian
from cidesign.testing.trajectories import playable_shots

pypulseq = pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")
ismrmrd = pytest.importorskip("ismrmrd", reason="the extra 'mri' is not installed")

SCANNERS = [entry.id for entry in shipped_profiles() if entry.kind == "mri"]
NAME = "gre_3shots"


def scanner(name: str = "mri-generic-3t") -> MriProfile:
    profile = load_profile(name)
    assert isinstance(profile, MriProfile)
    return profile


def protocol(**changes: Any) -> ShotProtocol:
    values = {"slice_thickness_mm": 5.0, "flip_angle_deg": 15.0, "te_ms": 6.0, "tr_ms": 15.0, "dummies": 1}
    return ShotProtocol(**{**values, **changes})


def export(folder: Path, profile: MriProfile, formats: tuple[str, ...] = SHOT_FORMATS) -> ShotsManifest:
    return write_scan(SHOTS, playable_shots(profile), profile, folder, protocol(), formats)


@pytest.mark.parametrize("name", SCANNERS)
def test_every_scanner_gets_files_that_pass_every_check(tmp_path: Path, name: str) -> None:
    profile = scanner(name)
    manifest = export(tmp_path / "out", profile, ("pulseq",))
    statuses = {(check.file, check.name): check.status for check in manifest.checks}
    assert "failed" not in statuses.values()
    assert {file for file, _ in statuses} == {f"{NAME}_v150.seq", f"{NAME}_v141.seq"}
    known = profile.nerve_stimulation is not None
    for file in {file for file, _ in statuses}:
        assert statuses[file, "nerve stimulation (PNS)"] == ("passed" if known else "not checked")
        assert statuses[file, "acoustics"] == "not checked"
        for always in ("shots", "raster of the shots", "limits of the shots", "k-space", "labels", "rewound", "timing"):
            assert statuses[file, always] == "passed"


@pytest.mark.parametrize("version", ["v150", "v141"])
def test_pypulseq_finds_the_k_space_of_the_design(tmp_path: Path, version: str) -> None:
    profile = scanner()
    export(tmp_path / "out", profile, ("pulseq",))
    design = playable_shots(profile)
    sequence = pypulseq.Sequence()
    sequence.read(str(tmp_path / "out" / f"{NAME}_{version}.seq"), detect_rf_use=version == "v141")
    k = sequence.calculate_kspace()[0] * design.fov_mm * 1e-3
    # The noise scan comes first.
    k = k[:, design.samples_per_shot :].reshape(3, design.shots, -1)
    assert np.abs(k[1] - design.samples[..., 0]).max() < 1e-3
    assert np.abs(k[0] - design.samples[..., 1]).max() < 1e-3
    assert np.abs(k[0] - design.samples[..., 0]).max() > 5


def test_companions_hold_the_samples_by_their_own_conventions(tmp_path: Path) -> None:
    profile = scanner()
    export(tmp_path / "out", profile, ("ismrmrd", "bart", "npy"))
    design = playable_shots(profile)
    assert np.array_equal(np.load(tmp_path / "out" / f"{NAME}_traj.npy"), design.samples)
    points = read_cfl(tmp_path / "out" / f"{NAME}_traj")
    assert points.shape == (3, 120, 3)
    assert np.abs(points[0].T - design.samples[..., 1]).max() < 1e-5
    assert np.abs(points[1].T - design.samples[..., 0]).max() < 1e-5
    dataset = ismrmrd.Dataset(str(tmp_path / "out" / f"{NAME}.h5"), "dataset", mode="r")
    header = ismrmrd.xsd.CreateFromDocument(dataset.read_xml_header())
    shots = [dataset.read_acquisition(number) for number in range(dataset.number_of_acquisitions())]
    dataset.close()
    assert [shot.idx.kspace_encode_step_1 for shot in shots] == [0, 1, 2]
    assert np.abs(np.stack([shot.traj for shot in shots]) - design.samples[..., ::-1]).max() < 1e-5
    assert {shot.sample_time_us for shot in shots} == {8.0}
    described = header.encoding[0].trajectoryDescription
    assert [(one.name, one.value) for one in described.userParameterString] == [("trajectory_unit", "1/FOV")]
    assert header.encoding[0].encodedSpace.fieldOfView_mm.x == 220.0


def test_shots_are_led_to_their_start_and_back(tmp_path: Path) -> None:
    """One shape for all shots; none where all start at the centre."""
    profile = scanner()
    design = playable_shots(profile)
    plan = plan_shots(design, protocol(), profile)
    prephasers = [block for block, after in zip(plan.blocks, plan.blocks[1:], strict=False) if after.adc and block.gz]
    fov_m = design.fov_mm * 1e-3
    assert [block.gy.area_per_m for block in prephasers] == pytest.approx(design.starts[:, 0] / fov_m)
    assert [block.gx.area_per_m for block in prephasers] == pytest.approx(design.starts[:, 1] / fov_m)
    assert len({(block.gy.rise_ns, block.gy.flat_ns) for block in prephasers}) == 1
    centred = plan_shots(replace(design, starts=np.zeros((3, 2))), protocol(), profile)
    assert all(block.gx is None for block, after in zip(centred.blocks, centred.blocks[1:], strict=False) if after.adc)


def test_a_design_folder_is_checked_and_exported(tmp_path: Path) -> None:
    profile = scanner()
    write_folder(OwnDesign(playable_shots(profile), (), (), b""), profile, tmp_path / "design", {}, False)
    report = check_path(tmp_path / "design")
    assert "3 shots of 1.2 ms with 120 samples, 48 x 48 pixels over 220 mm, R = 16" in report.found[0].check.text
    assert "within 30 mT/m and 120 T/m/s (design)" in report.found[0].check.text
    done = export_run(DesignFolder(tmp_path / "design"), formats=("npy",), settings={"flip_angle_deg": 20})
    assert "3 shots of 1.2 ms" in done.text
    assert "gre_3shots_traj.npy" in done.text
    assert check_path(tmp_path / "design").ok


def steep(design: NonCartesian) -> NonCartesian:
    """A plateau of 1 mT/m more along both axes of the second shot: its end is too steep together, on no axis alone."""
    gradients = design.gradients_mt_per_m.copy()
    gradients[1, 40:80] += 1.0
    return replace(design, gradients_mt_per_m=gradients)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda one: replace(one, gradients_mt_per_m=one.gradients_mt_per_m * 5),
            r"shot 2, 0\.\d+ ms after its start: gradient is \d+\.?\d* mT/m, the limit is 30\.?\d* mT/m",
        ),
        (steep, r"shot 1, 0\.790 ms after its start: slew rate is 1\d\d\.?\d* T/m/s, the limit is 120\.?\d* T/m/s"),
        (lambda one: replace(one, dwell_ns=8_050), r"dwell time is 8050 ns, the limit is a multiple of 100 ns"),
        (lambda one: replace(one, delay_ns=24_500), r"a start 24\.5 us after that of the gradients is not a multiple"),
        (
            lambda one: replace(one, raster_ns=12_000),
            r"gradient raster is 12000 ns, the limit is 10000 ns",
        ),
    ],
)
def test_what_cannot_be_played_is_not_written(tmp_path: Path, change: Any, expected: str) -> None:
    profile = scanner()
    broken = change(playable_shots(profile))
    with pytest.raises(LimitError, match=expected):
        write_scan(SHOTS, broken, profile, tmp_path / "out", protocol(), SHOT_FORMATS)
    with pytest.raises(LimitError, match=expected):
        family("mri-shots").check_design(broken, profile, family("mri-shots").options(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_rules_of_the_receiver_are_kept(tmp_path: Path) -> None:
    profile = scanner("mri-siemens-prisma")
    design = playable_shots(profile)
    odd = replace(design, samples_per_shot=118)
    with pytest.raises(LimitError, match=r"samples of a shot is 118, the limit is a multiple of 4"):
        write_scan(SHOTS, odd, profile, tmp_path / "out", protocol(), SHOT_FORMATS)
    raw: dict[str, Any] = profile.model_dump(mode="json", exclude_none=True)
    raw["max_adc_samples"]["value"] = 100
    small = validate_profile(raw, "test")
    assert isinstance(small, MriProfile)
    with pytest.raises(LimitError, match=r"samples of a shot is 120, the limit is 100"):
        write_scan(
            SHOTS, replace(design, profile_digest=small.digest), small, tmp_path / "out", protocol(), SHOT_FORMATS
        )


@pytest.mark.parametrize(
    ("changes", "error", "expected"),
    [
        ({"te_ms": 1.0}, LimitError, r"TE: 1 ms asked for, the minimum is 2\.\d+ ms; what binds is the .*; give te_ms"),
        ({"tr_ms": 3.0}, LimitError, r"TR: 3 ms asked for"),
        ({"slice_thickness_mm": -1.0}, InputError, "slice_thickness_mm is -1.0; a positive number is needed"),
    ],
)
def test_impossible_times_are_refused(
    tmp_path: Path, changes: dict[str, float], error: type[CidesignError], expected: str
) -> None:
    profile = scanner()
    with pytest.raises(error, match=expected):
        write_scan(
            SHOTS,
            playable_shots(profile),
            profile,
            tmp_path / "out",
            protocol(**{"te_ms": None, **changes}),
            SHOT_FORMATS,
        )
    assert not list(tmp_path.iterdir())


def test_te_is_the_time_of_the_centre(tmp_path: Path) -> None:
    """Where the shots differ in it, that is said and nothing is claimed."""
    profile = scanner()
    manifest = export(tmp_path / "out", profile, ("pulseq",))
    assert any("come nearest to the centre of k-space" in note for note in manifest.notes)
    statuses = {check.name: check.status for check in manifest.checks}
    assert statuses["TE on all shots"] == "not checked"
    alike = replace(playable_shots(profile), starts=np.zeros((3, 2)))
    manifest = write_scan(SHOTS, alike, profile, tmp_path / "alike", protocol(), ("pulseq",))
    found = {check.name: check for check in manifest.checks}["TE on all shots"]
    assert found.status == "passed"
    assert found.value.startswith(f"{manifest.scan.te_ms:.4g} ms")
    assert manifest.scan.te_ms == pytest.approx(6.0, abs=0.02)

"""MRI exports as folders: every format, two versions, re-read and compared, whole or not there at all."""

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from cidesign.errors import CidesignError, FileError, InputError, LimitError
from cidesign.export.mri.lines import MRI_FORMATS, plan_scan, verify_mri_export, write_mri_export
from cidesign.export.mri.manifest import FileCheck, MriManifest, read_mri_manifest
from cidesign.export.mri.protocol import GreProtocol, TseProtocol
from cidesign.export.mri.tables import read_csv_lines, read_mat_lines
from cidesign.hardware_profiles.loader import load_profile, shipped_profiles
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.io.bart import read_cfl
from cidesign.pattern import CartesianLines

pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")
pytest.importorskip("ismrmrd", reason="the extra 'mri' is not installed")

SCANNERS = [entry.id for entry in shipped_profiles() if entry.kind == "mri"]
# Asymmetric on purpose: a flip or a shift by one line gives other lines.
ACQUIRED = (1, 4, 14, 15, 16, 17, 21, 28)
MATRIX, READOUT, CALIBRATION = 32, 24, 4


def scanner(name: str = "mri-generic-3t") -> MriProfile:
    profile = load_profile(name)
    assert isinstance(profile, MriProfile)
    return profile


def design(profile: MriProfile) -> CartesianLines:
    return CartesianLines(MATRIX, READOUT, np.array(ACQUIRED, dtype=np.int64), CALIBRATION, profile.id, profile.digest)


def gre(**changes: Any) -> GreProtocol:
    values: dict[str, Any] = {
        "fov_mm": 220.0,
        "slice_thickness_mm": 5.0,
        "flip_angle_deg": 15.0,
        "te_ms": 6.0,
        "tr_ms": 15.0,
        "dwell_us": 20.0,
        "dummies": 2,
    }
    return GreProtocol(**{**values, **changes})


def tse(**changes: Any) -> TseProtocol:
    values: dict[str, Any] = {
        "fov_mm": 220.0,
        "slice_thickness_mm": 5.0,
        "flip_angle_deg": 90.0,
        "te_ms": None,
        "tr_ms": 300.0,
        "bandwidth_hz_per_px": 600.0,
        "echo_train_length": 4,
    }
    return TseProtocol(**{**values, **changes})


def export(folder: Path, protocol: GreProtocol | TseProtocol, name: str = "mri-generic-3t", **more: Any) -> MriManifest:
    profile = scanner(name)
    return write_mri_export(design(profile), profile, folder, protocol, more.pop("formats", MRI_FORMATS), **more)


@pytest.mark.parametrize("protocol", [gre(), tse()], ids=["gre", "tse"])
@pytest.mark.parametrize("name", SCANNERS)
def test_every_scanner_gets_a_file_that_passes_every_check(
    tmp_path: Path, name: str, protocol: GreProtocol | TseProtocol
) -> None:
    manifest = export(tmp_path / "out", protocol, name, formats=("pulseq",))
    statuses = {(check.file, check.name): check.status for check in manifest.checks}
    assert "failed" not in statuses.values()
    known = scanner(name).nerve_stimulation is not None
    for version in ("v150", "v141"):
        file = f"{protocol.kind}_8of32_{version}.seq"
        assert statuses[file, "nerve stimulation (PNS)"] == ("passed" if known else "not checked")
        for never in ("SAR", "B1 limit", "acoustics"):
            assert statuses[file, never] == "not checked"
        for always in ("lines", "labels", "TE on all lines", "echo position", "signature", "repetitions are alike"):
            assert statuses[file, always] == "passed"


def test_checks_stand_in_the_manifest_in_words_as_ever(tmp_path: Path) -> None:
    """Manifests of earlier versions are read, and what they say is written again word for word."""
    entry = {
        "file": "a.seq",
        "check": "slew x",
        "status": "pass",
        "value": "9 T/m/s",
        "limit": "10 T/m/s",
        "source": "-",
    }
    for status, word in (
        ("passed", "pass"),
        ("not checked", "not evaluated"),
        ("remark", "remark"),
        ("failed", "fail"),
    ):
        read = FileCheck.model_validate({**entry, "status": word})
        assert (read.name, read.status, read.text) == ("slew x", status, "9 T/m/s (limit 10 T/m/s)")
        assert read.model_dump(mode="json") == {**entry, "status": word}
    for wrong in ({"status": "corrected?"}, {"value": None}, {"value": 3}, {"breaks": "limit"}):
        with pytest.raises(ValidationError):
            FileCheck.model_validate({**entry, **wrong})
    manifest = export(tmp_path / "out", gre(), formats=("pulseq",))
    assert read_mri_manifest(tmp_path / "out") == manifest


@pytest.mark.parametrize("protocol", [gre(), gre(order="centre-out"), tse(), tse(order="centre-out", oversampling=1)])
def test_all_files_hold_the_same_lines_in_the_same_order(tmp_path: Path, protocol: GreProtocol | TseProtocol) -> None:
    folder = tmp_path / "out"
    manifest = export(folder, protocol)
    stem = folder / manifest.name
    order = manifest.scan.lines
    assert sorted(order) == list(ACQUIRED)
    assert read_mat_lines(stem.with_suffix(".mat")) == order
    assert [row.line for row in read_csv_lines(stem.with_suffix(".csv"))] == order
    mask = read_cfl(Path(f"{stem}_mask"))
    assert mask.shape == (READOUT, MATRIX)
    assert np.flatnonzero(mask[3].real).tolist() == list(ACQUIRED)
    points = read_cfl(Path(f"{stem}_traj"))
    assert points.shape == (3, READOUT, len(order))
    assert (points[1, 0].real + MATRIX // 2).tolist() == order
    assert points[0, :, 0].real.tolist() == [i - READOUT // 2 for i in range(READOUT)]
    record = json.loads(stem.with_suffix(".json").read_text())
    assert record["order"] == order
    assert record["acceleration"] == 4.0
    assert record["calibration_lines"] == [14, 15, 16, 17]
    assert record["profile"]["values"]["design.max_gradient_mt_per_m"]["source"].startswith("mrseq")
    assert "never played on a scanner" in record["what"]
    findings = {finding.name: finding.text for finding in verify_mri_export(folder)}
    assert findings[f"{manifest.name}_v141.seq: SAR"].startswith("not evaluated")
    assert len(findings) > 60


def test_times_are_those_asked_for_or_said(tmp_path: Path) -> None:
    manifest = export(tmp_path / "a", gre(te_ms=6.0, tr_ms=15.0), formats=("pulseq",))
    assert manifest.scan.te_ms == 6.0
    assert manifest.scan.tr_ms == 15.0
    assert not [note for note in manifest.notes if note.startswith(("TE", "TR", "bandwidth"))]
    manifest = export(
        tmp_path / "b", gre(te_ms=6.003, tr_ms=None, dwell_us=None, bandwidth_hz_per_px=999.0), formats=("pulseq",)
    )
    notes = "\n".join(manifest.notes)
    assert "TE: 6.003 ms asked for" in notes
    assert "TR: the shortest" in notes
    assert "bandwidth: 999 Hz/px asked for, 996.8 Hz/px made, a dwell of 20.9 us on the 100 ns raster" in notes
    assert "dummies: 2 asked for; no t1_ms" in notes


def test_the_noise_scan_can_be_left_out(tmp_path: Path) -> None:
    for noise_scan in (True, False):
        manifest = export(tmp_path / str(noise_scan), gre(noise_scan=noise_scan), formats=("pulseq",))
        kinds = next(check.value for check in manifest.checks if check.name == "repetitions are alike")
        assert kinds == f"{10 + noise_scan} repetitions of {2 + noise_scan} kinds"


def test_a_missing_centre_is_said(tmp_path: Path) -> None:
    profile = scanner()
    lines = CartesianLines(MATRIX, READOUT, np.array([2, 5, 30], dtype=np.int64), 0, profile.id, profile.digest)
    manifest = write_mri_export(lines, profile, tmp_path / "out", gre(), ("table",))
    assert "line 16, the centre of k-space, is not measured" in manifest.notes
    assert set(manifest.files) == {"gre_3of32.csv", "gre_3of32.json", "design.npz"}


def test_nothing_is_overwritten_without_force_and_nothing_left_of_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(folder, gre(), formats=("table",))
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(FileError, match="exists already"):
        export(folder, gre(), formats=("table",))
    with pytest.raises(LimitError, match="TE: 1 ms asked for"):
        export(folder, gre(te_ms=1.0), formats=("table",), force=True)
    assert (folder / "manifest.json").read_bytes() == before
    export(folder, gre(te_ms=8.0), formats=("table",), force=True)
    assert read_mri_manifest(folder).scan.te_ms == 8.0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_sequence_over_the_nerve_limit_is_not_exported(tmp_path: Path) -> None:
    raw = scanner("mri-ge-mr750").model_dump()
    raw["design"]["max_slew_t_per_m_per_s"]["value"] = 200.0
    raw["nerve_stimulation"]["rheobase_t_per_s"]["value"] = 12.0
    profile = MriProfile.model_validate(raw)
    with pytest.raises(LimitError, match=r"nerve stimulation \(PNS\) is 1\d\d\.\d% of the threshold .* limit is 80%"):
        write_mri_export(design(profile), profile, tmp_path / "out", gre(), ("pulseq",))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("formats", [(), ("seq",), ("bart", "dicom")])
def test_unknown_formats(tmp_path: Path, formats: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="give some of pulseq, ismrmrd, bart, table, mat"):
        export(tmp_path / "out", gre(), formats=formats)


@pytest.mark.parametrize(("package", "formats"), [("pypulseq", ("pulseq",)), ("ismrmrd", ("ismrmrd",))])
def test_a_missing_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, formats: tuple[str, ...]
) -> None:
    import importlib

    real = importlib.import_module

    def absent(name: str, *more: Any) -> Any:
        if name.split(".")[0] == package:
            raise ImportError(f"No module named {name!r}")
        return real(name, *more)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(InputError, match=rf"need the package {package} .* `pip install 'cidesign\[mri\]'`"):
        export(tmp_path / "out", gre(), formats=formats)
    assert not list(tmp_path.iterdir())


def test_the_library_is_imported_without_the_packages() -> None:
    names = {"pypulseq", "ismrmrd", "h5py"}
    assert names.isdisjoint(vars(builtins))
    for module in ("pulseq/write", "pulseq/read", "writer", "ismrmrd"):
        text = (Path(__file__).parents[3] / "export" / "mri" / f"{module}.py").read_text()
        assert not any(
            line.startswith(("import pypulseq", "import ismrmrd", "import h5py")) for line in text.splitlines()
        )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"schema_version": 2}, "schema version 2"),
        ({"kind": "export"}, "export of kind 'export'"),
        ({"profile_digest": "0" * 64}, "profile inside manifest.json was changed"),
        ({"design_digest": "0" * 64}, "not the design that the manifest names"),
        ({"extra": 1}, "extra"),
        ({"scan": 3}, "scan"),
    ],
)
def test_damaged_manifests(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    folder = tmp_path / "out"
    export(folder, gre(), formats=("table",))
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(FileError) as caught:
        list(verify_mri_export(folder))
    assert expected in str(caught.value)


def test_another_profile_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(folder, gre(), formats=("table",))
    with pytest.raises(LimitError, match="designed for mri-generic-3t, not for mri-ge-uhp"):
        list(verify_mri_export(folder, scanner("mri-ge-uhp")))


def test_the_plan_lasts_as_long_as_the_manifest_says() -> None:
    profile = scanner()
    plan = plan_scan(design(profile), gre(), profile)
    assert plan.total_ns == sum(block.duration_ns for block in plan.blocks)
    assert len(plan.blocks) == 2 + 4 * (2 + len(ACQUIRED))
    assert plan.total_ns == pytest.approx(15e6 * 10, rel=0.01)


def test_no_folder_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(CidesignError, match=r"manifest\.json is missing"):
        list(verify_mri_export(tmp_path))

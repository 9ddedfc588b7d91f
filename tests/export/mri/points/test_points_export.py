"""Exports of points: what the files play, measured by a reader of another project, and files that were changed."""

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cidesign.errors import CidesignError, FileError, InputError, LimitError
from cidesign.export.family import family
from cidesign.export.mri.manifest import MriFile
from cidesign.export.mri.points.manifest import PointsManifest
from cidesign.export.mri.tables import read_csv_points
from cidesign.export.writing import Output
from cidesign.hardware_profiles.loader import load_profile, shipped_profiles
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.io.bart import read_cfl
from cidesign.pattern import CartesianPoints

pypulseq = pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")
pytest.importorskip("ismrmrd", reason="the extra 'mri' is not installed")

POINTS = family("mri-points")
SCANNERS = [entry.id for entry in shipped_profiles() if entry.kind == "mri"]
# No flip, turn or transpose leaves them as they are.
ACQUIRED = ((0, 3), (1, 1), (2, 0), (3, 1), (3, 2), (4, 1), (4, 2), (4, 4), (5, 0), (6, 2), (6, 4), (7, 1))
SETTINGS = {"fov_mm": 200.0, "slab_thickness_mm": 60.0, "te_ms": 6.0, "tr_ms": 15.0, "dummies": 2}
NAME = "gre3d_12of8x5"


def scanner(name: str = "mri-generic-3t") -> MriProfile:
    profile = load_profile(name)
    assert isinstance(profile, MriProfile)
    return profile


def design(profile: MriProfile) -> CartesianPoints:
    acquired = np.array(ACQUIRED, dtype=np.int64)
    return CartesianPoints(8, 5, 16, acquired, (2, 2), profile.id, profile.digest)


def export(folder: Path, name: str = "mri-generic-3t", formats: tuple[str, ...] = (), **more: Any) -> PointsManifest:
    profile = scanner(name)
    POINTS.export(design(profile), profile, folder, POINTS.options(formats, {**SETTINGS, **more}))
    manifest = POINTS.manifest(folder)
    assert isinstance(manifest, PointsManifest)
    return manifest


def order_of(manifest: PointsManifest) -> list[tuple[int, int]]:
    return [divmod(point, 5) for point in manifest.scan.points]


@pytest.mark.parametrize("name", [name for name in SCANNERS if name not in ("mri-ge-mr750", "mri-ge-mr750w")])
def test_every_scanner_gets_a_file_that_passes_every_check(tmp_path: Path, name: str) -> None:
    manifest = export(tmp_path / "out", name, ("pulseq",))
    statuses = {(check.file, check.name): check.status for check in manifest.checks}
    assert "failed" not in statuses.values()
    for version in ("v150", "v141"):
        for check in ("points", "order", "labels", "TE on all lines", "echo position", "centre partition"):
            assert statuses[f"{NAME}_{version}.seq", check] == "passed"
        assert statuses[f"{NAME}_{version}.seq", "repetitions are alike"] == "passed"


@pytest.mark.parametrize(("version", "order"), [("v150", "segments"), ("v150", "centre-out"), ("v141", "radial-fan")])
def test_moments_integrated_by_pypulseq_are_the_points_in_order(tmp_path: Path, version: str, order: str) -> None:
    manifest = export(tmp_path / "out", formats=("pulseq",), order=order, noise_scan=False)
    sequence = pypulseq.Sequence()
    sequence.read(str(tmp_path / "out" / f"{NAME}_{version}.seq"), detect_rf_use=version == "v141")
    k = sequence.calculate_kspace()[0].reshape(3, len(ACQUIRED), 32)
    steps = k * np.array([0.2, 0.2, 1.2 * 0.06])[:, None, None]
    wanted = np.array(order_of(manifest)) - (4, 2)
    assert np.abs(steps[1:] - wanted.T[:, :, None]).max() < 1e-3
    assert np.abs(steps[0] - (np.arange(32) - 16) / 2).max() < 1e-3
    assert sequence.get_definition("FOV").tolist() == pytest.approx([0.2, 0.2, 0.072])


def test_every_repetition_ends_at_the_same_place_of_k_space(tmp_path: Path) -> None:
    """What the spoilers leave is the same after every point: else the steady state would depend on the order."""
    export(tmp_path / "out", formats=("pulseq",), noise_scan=False)
    sequence = pypulseq.Sequence()
    sequence.read(str(tmp_path / "out" / f"{NAME}_v150.seq"))
    trajectory, times = sequence.calculate_kspace()[1], sequence.calculate_kspace()[4]
    waveforms = sequence.waveforms()
    ends = []
    blocks = [(float(sequence.block_durations[n]), sequence.get_block(n)) for n in sequence.block_events]
    starts = np.cumsum([0.0, *(length for length, _ in blocks)])
    excited = [starts[n] for n, (_, block) in enumerate(blocks) if block.rf is not None]
    assert trajectory.shape[0] == 3
    assert len(times) == 32 * len(ACQUIRED)
    for first, last in zip(excited, [*excited[1:], starts[-1]], strict=True):
        areas = []
        for wave in waveforms:
            grid = np.arange(first, last, 1e-6)
            areas.append(np.trapezoid(np.interp(grid, wave[0], wave[1], left=0, right=0), grid))
        ends.append(areas)
    assert np.ptp(np.array(ends), axis=0) == pytest.approx(0, abs=0.05)


def test_all_files_hold_the_same_points_in_the_same_order(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    manifest = export(tmp_path / "out", order="radial-fan", segments=3)
    order = order_of(manifest)
    assert sorted(order) == list(ACQUIRED)
    rows = read_csv_points(tmp_path / "out" / f"{NAME}.csv")
    assert [(row.line, row.partition) for row in rows] == order
    assert [row.shot for row in rows] == [0] * 4 + [1] * 4 + [2] * 4
    text = (tmp_path / "out" / f"{NAME}.csv").read_text()
    first = order[0]
    assert f"\n0,{first[0]},{first[1]},{first[0] - 4},{first[1] - 2},{int(first in ACQUIRED[3:7])}\n" in text
    mask = read_cfl(tmp_path / "out" / f"{NAME}_mask", 3)
    assert mask.shape == (1, 8, 5)
    assert np.argwhere(mask[0].real).tolist() == [list(point) for point in ACQUIRED]
    with h5py.File(tmp_path / "out" / f"{NAME}.h5") as file:
        index = file["dataset/data"]["head"]["idx"]
        xml = file["dataset/xml"][0].decode()
    assert list(zip(index["kspace_encode_step_1"], index["kspace_encode_step_2"], strict=True)) == order
    assert "<z>5</z>" in xml
    assert "<z>72.0</z>" in xml
    assert re.search(r"<kspace_encoding_step_2>\s*<minimum>0</minimum>\s*<maximum>4</maximum>\s*<center>2<", xml)
    jumps = np.linalg.norm(np.diff(order, axis=0), axis=1)
    assert manifest.scan.jumps.mean_steps == pytest.approx(jumps.mean())
    assert manifest.scan.jumps.largest_steps == pytest.approx(jumps.max())
    assert any(f"a mean jump of {jumps.mean():.3g} steps of k-space" in note for note in manifest.notes)


@pytest.mark.skipif(shutil.which("bart") is None, reason="bart is not installed")
def test_bart_reads_the_pattern(tmp_path: Path) -> None:
    export(tmp_path / "out", formats=("bart",))
    said = subprocess.run(
        ["bart", "show", "-m", NAME + "_mask"], cwd=tmp_path / "out", check=True, capture_output=True, text=True
    ).stdout
    assert "AoD:\t1\t8\t5\t1" in said
    subprocess.run(["bart", "nrmse", "-t", "0", NAME + "_mask", NAME + "_mask"], cwd=tmp_path / "out", check=True)


def test_what_the_protocol_leaves_open_is_said(tmp_path: Path) -> None:
    notes = "\n".join(export(tmp_path / "a", formats=("table",)).notes)
    assert "partition_fov_mm: not set, 72 mm are encoded, 1.2 slabs" in notes
    notes = "\n".join(export(tmp_path / "b", formats=("table",), partition_fov_mm=60.0).notes)
    assert "folds in, a partition_fov_mm of 72 keeps it out" in notes
    assert "mean jump in other orders: centre-out" in notes


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"partition_fov_mm": 50.0}, InputError, "partition_fov_mm 50 is less than the slab of 60 mm"),
        ({"order": "spiral"}, InputError, "order 'spiral' is not one of segments, centre-out, radial-fan"),
        ({"segments": 13}, InputError, "13 segments of 12 points"),
        ({"segments": 0}, InputError, "0 segments are outside 1"),
        ({"slab_thickness_mm": -1.0}, InputError, "slab_thickness_mm is -1.0; a positive number is needed"),
        ({"kind": "tse"}, InputError, "the sequence 'tse' is not one of gre3d"),
        ({"te_ms": 2.0}, LimitError, "TE: 2 ms asked for, the minimum is"),
        ({"slab_thickness_mm": 1.0}, LimitError, "1 mm needs a slice gradient"),
        ({"bandwidth_hz_per_px": 99_000.0}, LimitError, "readout: a dwell of"),
    ],
)
def test_what_cannot_be_played_is_refused(
    tmp_path: Path, settings: dict[str, Any], kind: type[CidesignError], said: str
) -> None:
    with pytest.raises(kind, match=re.escape(said)) as caught:
        export(tmp_path / "out", **settings)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("points") / "out"
    export(folder)
    return folder


def signed_again(text: str) -> str:
    unsigned = text[: text.index("\n[SIGNATURE]")]
    digest = hashlib.md5(unsigned.encode(), usedforsecurity=False).hexdigest()
    return f"{unsigned}\n[SIGNATURE]\nType md5\nHash {digest}\n"


def recorded_again(folder: Path, name: str) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    out = Output(folder, MriFile)
    out.record(name, manifest["files"][name]["role"])
    manifest["files"][name] = out.files[name].model_dump(mode="json")
    path.write_text(json.dumps(manifest))


def swapped(text: str, first: str, second: str) -> str:
    return text.replace(first, "\0").replace(second, first).replace("\0", second)


def two_repetitions_exchanged(text: str) -> str:
    """The last two repetitions, with all that is in them: the same points in another order."""
    start = text.index("[BLOCKS]\n") + len("[BLOCKS]\n")
    end = text.index("\n\n", start)
    rows = [row.split() for row in text[start:end].split("\n")]
    turned = [*rows[:-8], *rows[-4:], *rows[-8:-4]]
    again = [" ".join([before[0], *row[1:]]) for before, row in zip(rows, turned, strict=True)]
    return text[:start] + "\n".join(again) + text[end:]


SEQUENCE = f"{NAME}_v150.seq"
TAMPERED: dict[str, tuple[str, Callable[[str], str], str]] = {
    "edited": (SEQUENCE, lambda text: text.replace("research_only", "clinical_use"), "signature is file edited"),
    "labels": (SEQUENCE, lambda text: signed_again(swapped(text, " 1 PAR", " 2 PAR")), "labels is block"),
    "fov": (SEQUENCE, lambda text: signed_again(text.replace("0.072", "0.06")), "distance from the grid is"),
    "centre": (
        SEQUENCE,
        lambda text: signed_again(text.replace("kSpaceCenterPartition 2", "kSpaceCenterPartition 3")),
        "centre partition is kSpaceCenterPartition 3",
    ),
    "order": (
        SEQUENCE,
        lambda text: signed_again(two_repetitions_exchanged(text)),
        "order is readout 10 of them is another",
    ),
    "table": (f"{NAME}.csv", lambda text: swapped(text, "\n1,", "\n2,"), "its rows are not the order of points"),
}


@pytest.mark.parametrize("case", sorted(TAMPERED))
def test_changed_files_are_caught(sound: Path, tmp_path: Path, case: str) -> None:
    name, change, said = TAMPERED[case]
    folder = Path(shutil.copytree(sound, tmp_path / "out"))
    text = (folder / name).read_text()
    assert change(text) != text
    (folder / name).write_text(change(text))
    with pytest.raises(FileError, match="SHA-256 does not fit"):
        list(POINTS.verify_export(folder))
    recorded_again(folder, name)
    with pytest.raises(FileError, match=said):
        list(POINTS.verify_export(folder))


def test_a_changed_pattern_and_template_are_caught(sound: Path, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    folder = Path(shutil.copytree(sound, tmp_path / "out"))
    mask = folder / f"{NAME}_mask.cfl"
    whole = mask.read_bytes()
    mask.write_bytes(whole[::-1])
    recorded_again(folder, mask.name)
    with pytest.raises(FileError, match="is not the mask of the design"):
        list(POINTS.verify_export(folder))
    mask.write_bytes(whole)
    recorded_again(folder, mask.name)
    with h5py.File(folder / f"{NAME}.h5", "r+") as file:
        rows = file["dataset/data"][:]
        rows["head"]["idx"]["kspace_encode_step_2"][0] += 1
        file["dataset/data"][:] = rows
    recorded_again(folder, f"{NAME}.h5")
    with pytest.raises(FileError, match=r"kspace_encode_step_1 and _2 counters are not the points"):
        list(POINTS.verify_export(folder))


def test_an_order_in_the_manifest_that_is_not_of_the_design_is_caught(sound: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sound, tmp_path / "out"))
    manifest = json.loads((folder / "manifest.json").read_text())
    points = manifest["scan"]["points"]
    for changed in (points[:-1] + points[:1], [*points[:-1], 39]):
        manifest["scan"]["points"] = changed
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(FileError, match="does not hold the points of the design, each once"):
            list(POINTS.verify_export(folder))
    manifest["scan"]["points"] = points[:-1]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FileError, match="segment_sizes"):
        list(POINTS.verify_export(folder))


def test_a_design_of_another_scanner_is_not_exported(tmp_path: Path) -> None:
    other = replace(design(scanner()), profile_digest="0" * 64)
    with pytest.raises(InputError, match="use the profile of the run"):
        POINTS.export(other, scanner(), tmp_path / "out", POINTS.options((), SETTINGS))

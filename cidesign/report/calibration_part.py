"""Calibration folders that a report shows, of any modality: verdict, checks, numbers, pictures, circumstances."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cidesign.calibration.circumstances import BenchState
from cidesign.calibration.folder import ARRAYS_FILE, RECORD_FILE
from cidesign.calibration.verify import CHECK_HEADER, Verification, check_rows, missing_words
from cidesign.checks import Check, Status
from cidesign.errors import FileError
from cidesign.files import inside, read_json, read_limited, sha256_file
from cidesign.reconstruct.fine_tuned import read_fine_tune_record
from cidesign.records import first_problem
from cidesign.report import html
from cidesign.report.parts import Figure, Section

MAX_PICTURE_BYTES = 50_000_000
MAX_PICTURES = 20
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What stands elsewhere in the section, or means nothing to people.
HIDDEN = {
    "schema_version", "kind", "modality", "verification", "bench", "notes", "simulated_bench", "simulated_scanner",
    "cidesign_version", "created_utc", "capture", "capture_utc", "design_digest", "profile_digest", "exposure_us",
    "arrays_sha256", "capture_sha256",
}  # fmt: skip
LABELS = {
    "dark_counts": "dark level / counts",
    "read_noise_counts": "read noise of a reading / counts",
    "gain_counts_per_photoelectron": "gain / counts per photoelectron",
    "gain_error_counts_per_photoelectron": "standard error of the gain / counts per photoelectron",
    "scale_counts": "light of the white reference above dark / counts",
    "photon_transfer_intercept_counts2": "variance without light, from the photon transfer / counts²",
    "stray_counts": "stray light in all captures but the dark one / counts",
    "linearity_percent": "largest departure from linearity / % of full white",
    "step_counts": "step of the converter / counts",
    "saturation_counts": "saturation / counts",
    "pixel_uncertainty_px": "standard error of a code pixel's place / code pixels",
}
CAPTIONS = {
    "photon_transfer": (
        "Left: the variance of the white frames against their mean, with the fitted line. A healthy detector's points "
        "lie on the line, and the dark frames' square at its left end. Right: how far the white levels lie from a "
        "straight line. A healthy detector stays within about 1 % and shows no bend."
    ),
    "operator": (
        "Left: the light on the scene; a healthy bench is smooth and within about 10 %. Middle: the outline of the "
        "patterns' field on the known card. Where all lies as designed, it follows the card's edge, with the red dot "
        "at the upper left and the blue square at the upper right. Right: held-out patterns, "
        "measured against predicted; a healthy bench's points lie on the grey line."
    ),
    "coil_maps": (
        "The magnitude of each receive coil's sensitivity, then the covariance of the coils' noise. Healthy coils are "
        "smooth, bright on different sides, and black only where there is no object; the covariance is brightest on "
        "its diagonal, of even brightness there."
    ),
    "mask": (
        "The mask as drawn and turned as it stands in the bench, as it was captured in the middle band, and the "
        "difference. On a healthy bench both show the same features in the same places; edges are softer in the "
        "capture, and the difference has no large areas of one colour."
    ),
    "dispersion": (
        "Left: where each calibration line fell (dots), the fitted curve, and what the profile says (crosses). A "
        "healthy bench's dots lie on the curve, and the crosses close to it. Right: what the curve leaves; healthy are "
        "a few hundredths of a code pixel, without a bend."
    ),
    "white_target": (
        "The white target as measured, as the calibrated operator predicts it, and the difference. On a healthy bench "
        "the first two look alike, and the difference is noise: stripes or shapes of the mask in it mean a shifted, "
        "turned or wrong mask."
    ),
}
ORDER: dict[Status, int] = {"failed": 0, "warning": 1, "corrected": 2, "passed": 3, "not checked": 4}


class _Head(BaseModel):
    """The fields that calibrations of all modalities share, as far as they are shown."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: str
    modality: str = Field(max_length=40)
    cidesign_version: str = Field(max_length=64)
    created_utc: str = Field(max_length=64)
    capture: str = Field(max_length=4096)
    capture_utc: str = Field(max_length=64)
    design_digest: str = Field(max_length=64)
    profile_digest: str = Field(max_length=64)
    exposure_us: float | None
    bench: BenchState
    notes: list[str]
    verification: Verification
    arrays_sha256: str


def is_calibration(folder: Path) -> bool:
    """Whether a folder is one of a calibration."""
    return (folder / RECORD_FILE).is_file()


def calibration_section(folder: Path, design_digest: str) -> Section:
    """The section of one calibration folder; raises `FileError` when it is damaged or something else."""
    record = read_json(folder / RECORD_FILE, "calibration record")
    try:
        head = _Head.model_validate(record)
    except ValidationError as error:
        raise FileError(f"{folder / RECORD_FILE}: {first_problem(error)}; calibrate again") from error
    if head.kind != "calibration":
        raise FileError(f"{folder / RECORD_FILE}: is of the kind {head.kind[:40]!r}, not a calibration")
    _require_arrays(folder, head.arrays_sha256)
    pictures = folder_pictures(folder)
    blocks: list[str | Figure] = [*_verdict(head.verification)]
    if head.design_digest != design_digest:
        blocks.append(html.paragraph("It was made with the design of another run.", "note"))
    blocks.append(checks_table(head.verification.checks))
    numbers = _numbers(record)
    if numbers:
        blocks.append(html.facts(numbers))
    blocks += [Figure("", png, f"{name}.png: {CAPTIONS.get(name, UNKNOWN)}") for name, png in pictures.items()]
    blocks += _fine_tuned(folder)
    blocks.append(html.facts(_circumstances(head, record)))
    blocks += [html.paragraph(note, "note") for note in head.notes]
    return Section(f"Calibration: {folder.resolve().name}", blocks)


UNKNOWN = "a picture of this calibration."


def _require_arrays(folder: Path, digest: str) -> None:
    path = inside(folder, ARRAYS_FILE, "calibration record")
    if not path.is_file() or sha256_file(path) != digest:
        raise FileError(f"{folder}: {ARRAYS_FILE} is not the one that {RECORD_FILE} names; calibrate again")


def folder_pictures(folder: Path) -> dict[str, bytes]:
    """The PNG files of a folder by their stems, in the order of their names.

    Raises `FileError` for a link out of the folder, a file that is no PNG, one that is too large, and too many of them.
    """
    names = sorted(path.name for path in folder.glob("*.png"))
    if len(names) > MAX_PICTURES:
        raise FileError(f"{folder}: holds {len(names)} pictures; a report shows at most {MAX_PICTURES} of a folder")
    return {Path(name).stem: picture_of(folder, name) for name in names}


def picture_of(folder: Path, name: str) -> bytes:
    """The PNG `name` of a folder, checked."""
    path = inside(folder, name, "folder")
    png = read_limited(path, "picture", MAX_PICTURE_BYTES)
    if not png.startswith(PNG_SIGNATURE):
        raise FileError(f"{path}: this picture is not a PNG; make the folder again")
    return png


def checks_table(checks: Sequence[Check]) -> str:
    """The checks with what needs attention first."""
    return html.table(CHECK_HEADER, check_rows(sorted(checks, key=lambda check: ORDER[check.status])))


def _verdict(found: Verification) -> list[str]:
    """The verdict in plain words, worst first."""
    failed = found.failed
    counted = sum(check.status == "not checked" for check in found.checks)
    unseen = f" {counted} of {len(found.checks)} things could not be checked." if counted else ""
    if failed:
        names = "; ".join(
            f"{check.name}" + (f" (this resembles: {check.fault})" if check.fault else "") for check in failed
        )
        said = html.paragraph(
            f"FAILED its verification: {names}. Images made with it cannot be trusted; `cidesign reconstruct` refuses "
            f"it unless --accept-failed is given. Put it right and calibrate again.{unseen}",
            "bad",
        )
    elif found.verdict == "not verified":
        missing = missing_words(found.not_looked_at) if found.not_looked_at else "NOT LOOKED AT: anything at all"
        said = html.paragraph(f"NOT VERIFIED. {missing}. Capture what is missing and calibrate again.{unseen}", "bad")
    else:
        said = html.paragraph(f"PASSED its verification: nothing that was looked at forbids its use.{unseen}", "good")
    blocks = [said]
    corrected = [check for check in found.checks if check.status == "corrected"]
    if corrected:
        names = ", ".join(dict.fromkeys(check.fault or check.name for check in corrected))
        blocks.append(html.paragraph(f"Found and allowed for: {names}."))
    warned = [check for check in found.checks if check.status == "warning"]
    if warned:
        blocks.append(html.paragraph(f"Warnings: {', '.join(check.name for check in warned)}; see the table."))
    blocks.append(html.paragraph(_score_words(found)))
    return blocks


def _score_words(found: Verification) -> str:
    if found.score is None:
        return "Score: none. No data were held out, so that nothing shows whether the operator predicts new captures."
    return f"Score on held-out data: {found.score:.4g} ({found.score_meaning})."


def _fine_tuned(folder: Path) -> list[str]:
    """What fine-tuning for this calibration gained, where it was done."""
    record = read_fine_tune_record(folder)
    if record is None:
        return []
    before, after, gain = record.reported.before, record.reported.after, record.reported.gain
    use = "is used" if record.kept else "was not kept, the student's own is used"
    return [
        html.paragraph(
            f"A decoder was fine-tuned for this calibration and {use}: on simulated images that took no part, "
            f"{before.mean:.2f} dB before, {after.mean:.2f} dB after, gain {gain.mean:+.2f} ± "
            f"{gain.standard_error:.2f} dB."
        )
    ]


def _numbers(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """All plain values of the record, with standard errors where it has them, and those of its parts."""
    rows = []
    for key, value in record.items():
        if key in HIDDEN:
            continue
        if isinstance(value, dict) and set(value) == {"value", "standard_error"}:
            rows.append((label(key), f"{shown_value(value['value'])} ± {shown_value(value['standard_error'])}"))
        elif isinstance(value, dict):
            part = {inner: one for inner, one in value.items() if is_plain(one)}
            rows += [(f"{label(key)}: {label(inner)}", shown_value(one)) for inner, one in part.items()]
        elif is_plain(value):
            rows.append((label(key), shown_value(value)))
    return rows


def label(key: str) -> str:
    """The name of a value for people."""
    return LABELS.get(key, key.replace("_", " "))


def is_plain(value: object) -> bool:
    """Whether a value can stand in a cell."""
    if isinstance(value, list):
        return 0 < len(value) <= 32 and all(isinstance(one, int | float) for one in value)
    return isinstance(value, str | int | float)


def shown_value(value: object) -> str:
    """A value as text: yes and no, five digits, lists with commas."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.5g}" if math.isfinite(value) else "-"
    if isinstance(value, list):
        return ", ".join(shown_value(one) for one in value)
    return "-" if value is None else str(value)


def _circumstances(head: _Head, record: Mapping[str, Any]) -> list[tuple[str, str]]:
    bench = head.bench
    not_said = "not written down"
    simulated = record.get("simulated_bench") or record.get("simulated_scanner")
    faults = simulated.get("faults") if isinstance(simulated, dict) else None
    of_twin = "no, a real bench"
    if simulated:
        named = ", ".join(str(name) for name in faults) if isinstance(faults, dict) and faults else "none"
        of_twin = f"yes; faults put into the bench: {named}"
    return [
        ("captured", head.capture_utc or not_said),
        ("calibrated", head.created_utc or not_said),
        ("simulated", of_twin),
        ("exposure", not_said if head.exposure_us is None else f"{head.exposure_us:g} us"),
        ("temperature", not_said if bench.temperature_c is None else f"{bench.temperature_c:g} C"),
        (
            "region of interest / px",
            not_said if bench.roi_px is None else "top {}, left {}, height {}, width {}".format(*bench.roi_px),
        ),
        ("binning", not_said if bench.binning is None else str(bench.binning)),
        ("detector gain", bench.detector_gain or not_said),
        ("capture", head.capture),
        ("cidesign", head.cidesign_version),
        ("design digest", head.design_digest),
        ("profile digest", head.profile_digest),
    ]

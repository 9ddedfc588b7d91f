"""A capture of the designed patterns, and a decoder with its operator frozen in: an image without torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cidesign.calibration.folder import RECORD_FILE
from cidesign.calibration.single_pixel.capture import Capture, read_capture
from cidesign.calibration.single_pixel.frames import require_design
from cidesign.calibration.single_pixel.measurement import Measurements
from cidesign.calibration.single_pixel.nominal import NominalCalibration, SceneStatistics, nominal_calibration
from cidesign.calibration.single_pixel.record import SinglePixelCalibration, read_calibration
from cidesign.calibration.verify import Judgement, require_passed
from cidesign.checks import Status
from cidesign.errors import FileError, InputError
from cidesign.files import sha256_file
from cidesign.frozen.session import FrozenDecoder
from cidesign.modalities.single_pixel.diagnostics import diagnose as spc_diagnostics
from cidesign.modalities.single_pixel.diagnostics.residuals import residuals
from cidesign.modalities.single_pixel.entries import (
    CHI_SQUARE_MEANING,
    HEADER,
    caption,
    capture_entries,
    image_entry,
    light_notes,
    row_of,
    units_of,
)
from cidesign.modalities.single_pixel.record import SinglePixelRecord
from cidesign.pattern import PatternStack
from cidesign.reconstruct.gate import Gate, entries_of
from cidesign.reconstruct.outcome import COMPARISON, NamedImage, Reconstruction, draw_panels

REMARKED: tuple[Status, ...] = ("corrected",)
NAME = "student"
NO_BASELINES = (
    "a frozen decoder makes one image: baselines, held-out readings and uncertainty take the run (cidesign reconstruct "
    "RUN CAPTURE)"
)
NOISE_OF_TRAINING = (
    "the decoder is told the noise of the run's training, not that of this capture; a calibration that is frozen in "
    "(export RUN --decoder onnx --calibration CAL) tells it the bench's"
)


@dataclass(frozen=True)
class _Checked:
    """What the gate let through, and what it said."""

    gate: Gate
    measured: Measurements
    judgement: Judgement


def reconstruct_frozen(
    decoder: FrozenDecoder, capture: Path | Capture, calibration: Path | None, accept_failed: bool
) -> Reconstruction:
    """The image of a capture, through the same checks as with the run.

    Raises `FileError` for a capture of another design and for a calibration that is not the frozen one, and
    `LimitError` for a capture that contradicts it, unless `accept_failed`.
    """
    design = decoder.record.design()
    seen = read_capture(capture) if isinstance(capture, Path) else capture
    require_design(seen, design)
    told = _calibration(decoder, seen, design, calibration)
    passed = _checked(seen, told, design, accept_failed)
    measured = passed.measured
    if len(measured.kept) != design.count:
        raise FileError(
            f"{seen.path}: {design.count - len(measured.kept)} of {design.count} patterns have no reading, and an "
            "operator that is frozen in needs all of them; reconstruct with the run, which takes those that are there"
        )
    image = decoder(measured.y[None].astype(np.float32))[0]
    return _outcome(decoder, seen, told, design, passed, NamedImage(NAME, NAME, image))


def _calibration(
    decoder: FrozenDecoder, capture: Capture, design: PatternStack, folder: Path | None
) -> SinglePixelCalibration | NominalCalibration:
    """The calibration that is frozen in, or the bench as designed."""
    frozen = decoder.record.calibration_sha256
    if frozen is None:
        if folder is not None:
            raise InputError(
                f"--calibration {folder}: {decoder.path.name} holds the operator as designed; freeze this calibration "
                "with `cidesign export RUN --decoder onnx --calibration`, or leave it out"
            )
        scenes = SceneStatistics(decoder.record.prior_level, decoder.record.variance())
        return nominal_calibration(capture, design, scenes)
    if folder is None:
        raise InputError(
            f"{decoder.path}: holds the operator of the calibration {decoder.record.calibration}; name it with "
            "--calibration, the capture is held against it"
        )
    found = read_calibration(folder)
    sha256 = sha256_file(folder / RECORD_FILE)
    if sha256 != frozen:
        raise FileError(
            f"{folder}: calibration {sha256[:12]}, frozen into {decoder.path.name} is {frozen[:12]}; name that one, or "
            "export the decoder again with this one"
        )
    return found


def _checked(
    capture: Capture,
    calibration: SinglePixelCalibration | NominalCalibration,
    design: PatternStack,
    accept_failed: bool,
) -> _Checked:
    gate = Gate(REMARKED, capture, accept_failed)
    accepted = require_passed(calibration.path, calibration.verification, accept_failed)
    examined = calibration.examine(capture, design)
    gate.notes += [*examined.notes, *accepted]
    gate.require(examined.verification.checks)
    measured, checks = examined.measure()
    gate.require(checks)
    verification = examined.verification.model_copy(update={"checks": gate.checks})
    return _Checked(gate, measured, Judgement(calibration.verification, verification, examined.same))


def _outcome(
    decoder: FrozenDecoder,
    capture: Capture,
    calibration: SinglePixelCalibration | NominalCalibration,
    design: PatternStack,
    passed: _Checked,
    image: NamedImage,
) -> Reconstruction:
    measured, stored = passed.measured, decoder.record
    found = residuals(image.image, measured)
    entry = image_entry(image, found, {})
    notes = [
        *passed.gate.notes,
        *calibration.notes,
        *measured.notes,
        *light_notes(measured, stored.prior_level),
        *spc_diagnostics.time_notes(found),
        *([NOISE_OF_TRAINING] if stored.calibration_sha256 is None else []),
        NO_BASELINES,
        CHI_SQUARE_MEANING,
    ]
    said = capture_entries(capture, calibration, measured, design.count) | {"images": {NAME: entry}, "pictures": {}}
    common = entries_of(stored.modality, str(decoder.path), stored.design_digest, str(capture.path), notes)
    record = SinglePixelRecord.model_validate(
        {
            **common,
            "calibration": str(calibration.path),
            "verification": calibration.verification,
            "checks": passed.gate.checks,
            **passed.judgement.entry,
            **said,
        }
    )
    heading = f"{design.count} patterns of {design.side} x {design.side}; grey: 0 to 1, {units_of(calibration)}"
    panel = NamedImage(NAME, NAME, image.image, caption(entry))
    return Reconstruction(
        leaves=[image],
        record=record,
        heading=heading,
        rows=[row_of(image, entry, None)],
        header=HEADER,
        pictures={COMPARISON: lambda: draw_panels([panel], 1, heading)},
        judgement=passed.judgement,
    )

"""The student's decoder adapted to a calibration, and written beside it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import Field

from cidesign import __version__
from cidesign.calibration.verify import require_passed
from cidesign.data.source import load_images
from cidesign.distill.fine_tune import FineTuneSettings, fine_tune, fine_tune_settings
from cidesign.distill.presets import pick_device
from cidesign.errors import InputError
from cidesign.files import JsonObject, refuse_existing
from cidesign.locks import FolderLock
from cidesign.modality import modality
from cidesign.models.decoders import decoder_class
from cidesign.models.system import ImagingSystem, load_student
from cidesign.models.teacher_record import trained_epochs
from cidesign.reconstruct.fine_tuned import (
    RECORD_FILE,
    FineTuneRecord,
    StoredMean,
    StoredQuality,
    StoredSettings,
    digests,
    read_verification,
    write_fine_tuned,
)
from cidesign.records import now_utc
from cidesign.runs import Run
from cidesign.text import elapsed, seconds_left, table, to_go
from cidesign.verb_settings import VerbSettings

if TYPE_CHECKING:
    from cidesign.physics.operator_family import OperatorFamily

Say = Callable[[str], None]


class FineTuning(VerbSettings):
    """Passes over the images and how many there are, None: by the run's training; their seed."""

    epochs: Annotated[int, Field(ge=1, le=1000)] | None = None
    images: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0


@dataclass(frozen=True)
class FineTuned:
    """What fine-tuning did to a calibration folder."""

    folder: Path
    record: FineTuneRecord

    @property
    def value(self) -> JsonObject:
        """The record as JSON."""
        return {"calibration": str(self.folder), **self.record.model_dump(mode="json")}

    @property
    def text(self) -> str:
        """A table for people."""
        notes = "".join(f"\nnote: {text}" for text in self.record.notes)
        return f"{self.folder}: {_summary(self.record)}\n{_table(self.record)}{notes}"


def fine_tuning_of(run: Run, settings: Mapping[str, Any]) -> FineTuning:
    """What is asked of the fine-tuning of a run; raises `InputError` for settings out of range, or a decoder that
    cannot be fine-tuned."""
    run.with_design()
    if not decoder_class(run.settings.decoder).learns:
        raise InputError(
            f"{run.known_as}: its decoder {run.settings.decoder} learns nothing, so it cannot be fine-tuned; it takes "
            "the calibrated operator as it is. Train one with `cidesign distill --design`"
        )
    if decoder_class(run.settings.decoder).predicts != "images":
        raise InputError(
            f"{run.known_as}: its decoder names classes, and only decoders of images are fine-tuned; it takes the "
            "calibrated operator as it is. Leave --fine-tune out"
        )
    return FineTuning(**settings)


def fine_tune_for(
    run: Run, calibration_folder: Path, *, force: bool = False, say: Say | None = None, **settings: Any
) -> FineTuned:
    """Fine-tune the decoder of a run for a calibration that passed its verification; see `FineTuning`.

    `say` is told what happens meanwhile.  Raises `LimitError` for a calibration that failed, `FileError` where a
    fine-tuned decoder is there already and `force` is not set, and `InputError` for settings out of range, or a
    decoder that learns nothing.
    """
    asked = fine_tuning_of(run, settings)
    digests(run, calibration_folder)
    # An operator that is wrong trains a decoder to be wrong, so there is no way round this.
    require_passed(calibration_folder, read_verification(calibration_folder), accept_failed=False)
    refuse_existing(calibration_folder / RECORD_FILE, force)
    with FolderLock(calibration_folder, "cidesign calibrate --fine-tune"):
        system = load_student(run)
        teacher_epochs, _ = trained_epochs(run)
        tuning = fine_tune_settings(
            run.settings, asked.epochs, asked.images, asked.seed, pick_device("auto"), teacher_epochs
        )
        family = modality(run.settings.modality).operator_family(run, calibration_folder, tuning.device)
        record, decoder = _train(run, calibration_folder, system, family, tuning, say or _silent)
        return FineTuned(calibration_folder, write_fine_tuned(calibration_folder, decoder, record))


def _silent(text: str) -> None:
    """Tell nobody."""


def _train(
    run: Run,
    folder: Path,
    system: ImagingSystem,
    family: "OperatorFamily",
    settings: FineTuneSettings,
    say: Say,
) -> tuple[FineTuneRecord, Any]:
    """A record and the decoder to keep."""
    stored = _images(run, settings, say)
    system = system.to(settings.device)

    began_s = time.monotonic()

    def heard(epoch: int, psnr_db: float) -> None:
        gone_s = time.monotonic() - began_s
        say(
            f"fine-tuning epoch {epoch}/{settings.epochs}: {psnr_db:.2f} dB on held-out images; {elapsed(gone_s)} so "
            f"far, {to_go(seconds_left(epoch, settings.epochs, gone_s))}"
        )

    tuned = fine_tune(system, family, stored, run.settings, settings, heard)
    notes = [
        "images as in the run's training; operators are drawn from what the calibration leaves open, and decoders are "
        "told the calibrated one"
    ]
    student, calibration = digests(run, folder)
    record = FineTuneRecord(
        schema_version=1,
        kind="fine-tune",
        modality=run.settings.modality,
        cidesign_version=__version__,
        created_utc=now_utc(),
        run=str(run.path),
        student_sha256=student,
        calibration_sha256=calibration,
        decoder_sha256=None,
        kept=tuned.kept,
        settings=StoredSettings(**asdict(settings)),
        choosing=StoredMean(**asdict(tuned.choosing)),
        reported=StoredQuality.model_validate(asdict(tuned.reported)),
        seconds=round(tuned.seconds, 3),
        notes=notes,
    )
    return record, tuned.decoder


def _images(run: Run, settings: FineTuneSettings, say: Say) -> tuple[torch.Tensor, torch.Tensor]:
    counts = {"images": settings.images, "validation_images": settings.validation_images}
    found = load_images(run.settings.changed(**counts), run.profile)
    say(f"fine-tuning with {found.description}, {settings.epochs} time(s)")
    for remark in found.notes:
        say(f"note: {remark}")
    train, held_out = (torch.from_numpy(part).to(settings.device) for part in (found.train, found.validation))
    return train, held_out


def _summary(record: FineTuneRecord) -> str:
    gain = _mean(record.choosing, "+.3f")
    if record.kept:
        return f"decoder fine-tuned for this calibration ({gain} dB on the images that decide)"
    return f"fine-tuning did not improve the decoder ({gain} dB on the images that decide); the old one stays"


def _table(record: FineTuneRecord) -> str:
    found = record.reported
    rows = [
        ("student, told the design", "-" if found.blind is None else _mean(found.blind)),
        ("best linear estimate, told the calibrated operator", _mean(found.linear)),
        ("student, told the calibrated operator", _mean(found.before)),
        ("fine-tuned, told the calibrated operator", _mean(found.after)),
        ("gain of fine-tuning", _mean(found.gain, "+.3f")),
    ]
    return table(rows, ("decoder", "PSNR dB (held-out images)"))


def _mean(value: StoredMean, form: str = ".2f") -> str:
    return f"{value.mean:{form}} ± {value.standard_error:.3f}"

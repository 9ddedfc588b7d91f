"""What `cidesign calibrate --fine-tune` does: the student's decoder adapted to a calibration, written beside it."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cidesign.cli.output import note
from cidesign.text import table

if TYPE_CHECKING:
    from torch import Tensor

    from cidesign.distill.fine_tune import FineTuneSettings
    from cidesign.models.system import ImagingSystem
    from cidesign.physics.operator_family import OperatorFamily
    from cidesign.reconstruct.fine_tuned import FineTuneRecord, StoredMean
    from cidesign.runs import Run


def fine_tune_command(
    run: "Run",
    calibration_folder: Path,
    *,
    epochs: int | None = None,
    images: int | None = None,
    seed: int = 0,
    force: bool = False,
) -> tuple[dict[str, Any], str]:
    """Fine-tune the decoder of a run for a calibration that passed its verification; values for --json, and a table.

    Raises `LimitError` for a calibration that failed, `FileError` where a fine-tuned decoder is there already and
    `force` is not set, and `InputError` for settings out of range.
    """
    from cidesign.calibration.verify import require_passed
    from cidesign.distill.fine_tune import fine_tune_settings
    from cidesign.distill.presets import pick_device
    from cidesign.files import refuse_existing
    from cidesign.locks import FolderLock
    from cidesign.modality import modality
    from cidesign.models.system import load_student
    from cidesign.reconstruct.fine_tuned import RECORD_FILE, digests, read_verification, write_fine_tuned

    _check(run, epochs, images, seed)
    digests(run, calibration_folder)
    # An operator that is wrong trains a decoder to be wrong, so there is no way round this.
    require_passed(calibration_folder, read_verification(calibration_folder), accept_failed=False)
    refuse_existing(calibration_folder / RECORD_FILE, force)
    with FolderLock(calibration_folder, "cidesign calibrate --fine-tune"):
        system = load_student(run)
        settings = fine_tune_settings(run.settings, epochs, images, seed, pick_device("auto"))
        family = modality(run.settings.modality).operator_family(run, calibration_folder, settings.device)
        record, decoder = _train(run, calibration_folder, system, family, settings)
        written = write_fine_tuned(calibration_folder, decoder, record)
    value = {"calibration": str(calibration_folder), **written.model_dump(mode="json")}
    return value, f"{calibration_folder}: {_summary(written)}\n{_table(written)}" + "".join(
        f"\nnote: {text}" for text in written.notes
    )


def _check(run: "Run", epochs: int | None, images: int | None, seed: int) -> None:
    from cidesign.errors import InputError

    run.require_complete()
    for name, value, most in (("epochs", epochs, 1000), ("images", images, 10_000_000)):
        if value is not None and not 1 <= value <= most:
            raise InputError(f"{name} {value}: from 1 to {most} is possible")
    if not 0 <= seed < 2**32:
        raise InputError(f"seed {seed}: from 0 to {2**32 - 1} is possible")


def _train(
    run: "Run",
    folder: Path,
    system: "ImagingSystem",
    family: "OperatorFamily",
    settings: "FineTuneSettings",
) -> "tuple[FineTuneRecord, Any]":
    """A record and the decoder to keep."""
    from cidesign import __version__
    from cidesign.distill.fine_tune import fine_tune
    from cidesign.reconstruct.fine_tuned import FineTuneRecord, StoredMean, StoredQuality, StoredSettings, digests
    from cidesign.records import now_utc

    stored = _images(run, settings)
    guide = _guide(run, settings)
    system = system.to(settings.device)
    tuned = fine_tune(system, guide, family, stored, run.settings, settings, _heard)
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


def _images(run: "Run", settings: "FineTuneSettings") -> "tuple[Tensor, Tensor]":
    import torch

    from cidesign.data.source import load_images

    counts = {"images": settings.images, "validation_images": settings.validation_images}
    found = load_images(run.settings.changed(**counts), run.profile)
    note(f"fine-tuning with {found.description}, {settings.epochs} time(s)")
    for remark in found.notes:
        note(f"note: {remark}")
    train, held_out = (torch.from_numpy(part).to(settings.device) for part in (found.train, found.validation))
    return train, held_out


def _guide(run: "Run", settings: "FineTuneSettings") -> "ImagingSystem | None":
    """The teacher, where its features had weight in the student's training."""
    from cidesign.models.system import load_teacher

    return load_teacher(run).to(settings.device) if run.settings.weight_decoder else None


def _heard(epoch: int, psnr_db: float) -> None:
    note(f"fine-tuning epoch {epoch}: {psnr_db:.2f} dB on held-out images")


def _summary(record: "FineTuneRecord") -> str:
    gain = _mean(record.choosing, "+.3f")
    if record.kept:
        return f"decoder fine-tuned for this calibration ({gain} dB on the images that decide)"
    return f"fine-tuning did not improve the decoder ({gain} dB on the images that decide); the old one stays"


def _table(record: "FineTuneRecord") -> str:
    found = record.reported
    rows = [
        ("student, told the design", "-" if found.blind is None else _mean(found.blind)),
        ("best linear estimate, told the calibrated operator", _mean(found.linear)),
        ("student, told the calibrated operator", _mean(found.before)),
        ("fine-tuned, told the calibrated operator", _mean(found.after)),
        ("gain of fine-tuning", _mean(found.gain, "+.3f")),
    ]
    return table(rows, ("decoder", "PSNR dB (held-out images)"))


def _mean(value: "StoredMean", form: str = ".2f") -> str:
    return f"{value.mean:{form}} ± {value.standard_error:.3f}"

"""The fine-tuned decoder of a calibration folder: `decoder.safetensors` and `fine_tune.json`, and the student that
reconstructions use."""

from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import AliasChoices, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from cidesign.calibration.folder import RECORD_FILE as CALIBRATION_FILE
from cidesign.calibration.verify import Verification
from cidesign.errors import FileError
from cidesign.files import read_json, replacing_file, sha256_file, write_json
from cidesign.models.decoder import Decoder
from cidesign.models.system import ImagingSystem, load_student
from cidesign.records import Digest, Finite, NotNegative, Positive, Strict, first_problem
from cidesign.runs import Run

SCHEMA_VERSION = 1
RECORD_FILE = "fine_tune.json"
WEIGHTS_FILE = "decoder.safetensors"
STUDENT_FILE = "student.safetensors"

Count = Annotated[int, Field(ge=0, le=100_000_000)]
Note = Annotated[str, Field(max_length=1000)]


class StoredMean(Strict):
    """A mean over images and its standard error, in dB."""

    mean: Finite
    standard_error: NotNegative


class StoredQuality(Strict):
    """PSNR in dB: the student told the design (`blind`), the calibrated operator (`before`), the best linear estimate
    told it, the fine-tuned decoder told it (`after`); image by image, before less blind is `conditioning`, after less
    before `gain`."""

    blind: StoredMean | None
    linear: StoredMean
    before: StoredMean
    after: StoredMean
    conditioning: StoredMean | None
    gain: StoredMean


class StoredSettings(Strict):
    """What decided the result, beside run and calibration."""

    epochs: Count
    images: Count
    validation_images: Count
    batch: Count
    learning_rate: Positive
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    precision: Literal["float32", "bfloat16"]
    device: Annotated[str, Field(max_length=64)]


class StoredSelfSupervision(Strict):
    """A step on a capture's own readings that earlier versions took: misfit in units of the noise, before and after."""

    capture: Annotated[str, Field(max_length=4096)]
    kept: bool
    steps: Count
    held_out: Annotated[Count, Field(validation_alias=AliasChoices("held_out", "held_back"))]
    residual_before: NotNegative
    residual_after: NotNegative
    psnr_change: StoredMean


class FineTuneRecord(Strict):
    """The content of `fine_tune.json`; `kept` is False where the old decoder was at least as good and stays.

    `choosing`: the gain in dB on the images that decided; `reported`: on images that decided nothing.
    """

    schema_version: Literal[1]
    kind: Literal["fine-tune"]
    modality: Annotated[str, Field(max_length=64)]
    cidesign_version: Annotated[str, Field(max_length=64)]
    created_utc: Annotated[str, Field(max_length=64)]
    run: Annotated[str, Field(max_length=4096)]
    student_sha256: Digest
    calibration_sha256: Digest
    decoder_sha256: Digest | None
    kept: bool
    settings: StoredSettings
    choosing: StoredMean
    reported: StoredQuality
    self_supervised: StoredSelfSupervision | None = None
    seconds: NotNegative
    notes: list[Note]


def digests(run: Run, folder: Path) -> tuple[str, str]:
    """SHA-256 of the run's student and of the calibration's record."""
    record = folder / CALIBRATION_FILE
    if not record.is_file():
        raise FileError(f"{folder}: no calibration; make one with `cidesign calibrate CAPTURE --out {folder}`")
    return sha256_file(run.file(STUDENT_FILE)), sha256_file(record)


def read_verification(folder: Path) -> Verification:
    """The verification of a calibration folder of any modality; raises `FileError` where it has none."""
    raw = read_json(folder / CALIBRATION_FILE, "calibration record")
    try:
        return Verification.model_validate(raw.get("verification"))
    except ValidationError as error:
        raise FileError(
            f"{folder}: {CALIBRATION_FILE} holds no verification ({first_problem(error)}); calibrate again"
        ) from error


def write_fine_tuned(folder: Path, decoder: Decoder, record: FineTuneRecord) -> FineTuneRecord:
    """Write weights (where they are kept) and the record, which comes last and names the weights' digest.

    A result that is not kept leaves an earlier fine-tuned decoder of the folder as it is.  Returns what was written.
    """
    if not record.kept:
        earlier = read_fine_tune_record(folder)
        if earlier is None or not earlier.kept:
            write_json(folder / RECORD_FILE, record.model_dump(mode="json"))
        return record
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in decoder.state_dict().items()}
    with replacing_file(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(save(weights))
        again = load_file(temporary)
        if any(not torch.equal(again[name], tensor) for name, tensor in weights.items()):
            raise FileError(f"{folder / WEIGHTS_FILE}: did not read back as written; is the disk sound?")
        digest = sha256_file(temporary)
    written = record.model_copy(update={"decoder_sha256": digest})
    write_json(folder / RECORD_FILE, written.model_dump(mode="json"))
    return written


def read_fine_tune_record(folder: Path) -> FineTuneRecord | None:
    """The record of a folder, None where it was never fine-tuned; raises `FileError` for a damaged or newer one."""
    if not (folder / RECORD_FILE).exists():
        if (folder / WEIGHTS_FILE).exists():
            raise FileError(f"{folder}: {WEIGHTS_FILE} without {RECORD_FILE}; fine-tune again with --force")
        return None
    raw = read_json(folder / RECORD_FILE, "fine-tuning record")
    version = raw.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise FileError(
            f"{folder}: {RECORD_FILE} has schema version {version}, this program reads {SCHEMA_VERSION}; "
            "update cidesign"
        )
    try:
        return FineTuneRecord.model_validate(raw)
    except ValidationError as error:
        raise FileError(f"{folder}: {RECORD_FILE}: {first_problem(error)}") from error


def load_decoder_for(run: Run, folder: Path) -> tuple[ImagingSystem, list[str]]:
    """The student of a run, with the fine-tuned decoder of a calibration folder where it has one, and remarks.

    A decoder that was fine-tuned from another student is left alone, which a remark says.  Raises `FileError` when the
    calibration or the weights are not those that were fine-tuned for.
    """
    system = load_student(run)
    record = read_fine_tune_record(folder)
    if record is None:
        return system, []
    if not record.kept:
        return system, [
            f"fine-tuning did not improve the decoder (by {_shown(record.choosing)} dB); the run's own is used"
        ]
    student, calibration = digests(run, folder)
    if record.student_sha256 != student:
        return system, [
            f"{folder / WEIGHTS_FILE} was fine-tuned from the student of {record.run}, not from this run's; the run's "
            "own decoder is used"
        ]
    if record.calibration_sha256 != calibration:
        raise FileError(
            f"{folder}: {CALIBRATION_FILE} is not the one that the decoder was fine-tuned for; fine-tune again with "
            f"--force, or remove {WEIGHTS_FILE} and {RECORD_FILE}"
        )
    _load_weights(folder, record, system.decoder)
    step = record.self_supervised
    if step is not None and step.kept:
        return system, [
            f"the decoder is adapted to this calibration and to the readings of {step.capture}; the latter changed it "
            f"by {_shown(step.psnr_change)} dB on held-out images"
        ]
    return system, [
        f"the decoder is fine-tuned for this calibration ({record.reported.before.mean:.2f} dB before, "
        f"{record.reported.after.mean:.2f} dB after, on held-out images)"
    ]


def _load_weights(folder: Path, record: FineTuneRecord, decoder: Decoder) -> None:
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise FileError(f"{folder}: {RECORD_FILE} names a fine-tuned decoder, but {WEIGHTS_FILE} is missing")
    if sha256_file(path) != record.decoder_sha256:
        raise FileError(f"{path}: is not the file that {RECORD_FILE} names; fine-tune again with --force")
    try:
        decoder.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise FileError(f"{path}: these weights are damaged or of another decoder ({reason})") from error


def _shown(value: StoredMean) -> str:
    return f"{value.mean:+.3f} ± {value.standard_error:.3f}"

"""The bench verbs on objects: simulate, calibrate, fine-tune, reconstruct.  The command line is a thin face on them.

Captures and calibrations are named by their folder or given as the objects that these functions return; without `out`
nothing stays on disk.  Further keywords are settings of the run's modality: an unknown name lists them.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cidesign.calibration.base import AnyCalibration, Recorded
from cidesign.calibration.faults import parse_faults
from cidesign.calibration.folder import stored_modality
from cidesign.calibration.verify import Verification
from cidesign.checks import FaultName
from cidesign.errors import InputError
from cidesign.files import JsonObject, refuse_existing
from cidesign.modality import modality, modality_of_reader
from cidesign.runs import Run

if TYPE_CHECKING:
    from cidesign.calibration.written import Written
    from cidesign.frozen.session import FrozenDecoder
    from cidesign.physics.deepinv import EncoderPhysics
    from cidesign.reconstruct.outcome import Reconstruction
    from cidesign.reconstruct.student import Student

# What stands in the place of the folder of something that was never written.
IN_MEMORY = Path("(in memory)")
Faults = Mapping[str, float]


@dataclass(frozen=True)
class Simulated:
    """A simulated capture, and what is said of it."""

    capture: Any
    written: "Written"

    @property
    def printed(self) -> tuple[JsonObject, str]:
        """The values for --json, and the lines for people."""
        return self.written.value, self.written.text


@dataclass(frozen=True)
class Calibrated:
    """A calibration, and what is said of it."""

    calibration: AnyCalibration
    written: "Written"

    @property
    def verification(self) -> Verification:
        """What the calibration was checked against."""
        return self.calibration.verification

    @property
    def printed(self) -> tuple[JsonObject, str]:
        """The values for --json, and the lines for people."""
        return self.written.value, self.written.text


def simulate(
    run: Run,
    out: Path | None = None,
    *,
    faults: Faults | None = None,
    scene: Path | None = None,
    seed: int = 0,
    force: bool = False,
    **settings: Any,
) -> Simulated:
    """What the bench of a run would record of a scene; None: a procedural one, never a training image.

    `faults`: what is wrong with the bench, by name and strength.  Raises `InputError` for a fault, a setting or a scene
    that cannot be.
    """
    kind = modality(run.settings.modality)
    bench = kind.bench()
    given = bench.simulate_settings(**settings)
    named = _faults(faults or {}, run)
    with _folder(out, force) as folder:
        written = bench.simulate(typed(run), folder, given, named, scene, seed, force)
        capture = bench.read_capture(folder, bench.read_settings())
    return Simulated(capture if out else replace(capture, path=IN_MEMORY), written)


def open_capture(path: Path, run: Run, **settings: Any) -> Any:
    """A capture of the bench of a run: a folder, a bare array of readings, or raw k-space of a scanner.

    `settings`: which slice of a file, and the like.  Raises `FileError` for one that cannot be read.
    """
    bench = modality(run.settings.modality).bench()
    return bench.read_capture(path, bench.read_settings(**settings))


def calibrate(
    run: Run,
    capture: Path | Recorded | None,
    out: Path | None = None,
    *,
    instrument: Path | None = None,
    force: bool = False,
    **settings: Any,
) -> Calibrated:
    """Calibrate the bench of a run from a capture, and verify on data that the fit did not use.

    `instrument`: a file that describes what cannot be measured any more; a capture is then held against it, where there
    is one.  A calibration that failed is returned as well (see `verification`), and never takes the place of an earlier
    one.
    """
    bench = modality(run.settings.modality).bench()
    given = bench.calibrate_settings(**settings)
    if capture is None and instrument is None:
        raise InputError("capture is missing: name what to calibrate from, or a file that describes the instrument")
    if out is not None:
        refuse_existing(out, force)
    seen = bench.read_capture(capture, given) if isinstance(capture, Path) else capture
    with _folder(out, force) as folder:
        if instrument is not None:
            calibration, written = bench.calibrate_described(typed(run), instrument, seen, folder, force)
        else:
            calibration, written = bench.calibrate(typed(run), seen, folder, given, force)
    place = calibration.path if out else IN_MEMORY
    return Calibrated(replace(calibration, path=place, design=run.design), written)


def open_calibration(folder: Path, run: Run | None = None) -> AnyCalibration:
    """A stored calibration of any modality, of the design of `run` where it is given.

    Raises `FileError` for one that is missing, damaged, or not of the run's device or size.
    """
    name = stored_modality(folder) if run is None else run.settings.modality
    found: AnyCalibration = modality(name).bench().read_calibration(folder)
    if run is None:
        return found
    found.require_fitting(run.design)
    return replace(found, design=run.design)


def reconstruct(
    run: Run,
    capture: Path | Recorded,
    calibration: Path | AnyCalibration | None = None,
    out: Path | None = None,
    *,
    accept_failed: bool = False,
    force: bool = False,
    **settings: Any,
) -> "Reconstruction":
    """Images of a capture with the student of a run, beside baselines and with diagnostics; written where `out` says.

    Without a calibration the nominal one is used: the bench as designed, which is `not verified`.
    Raises `FileError` for a capture or a calibration that does not fit the run, and `LimitError` for a calibration that
    failed its verification, or that the capture contradicts, unless `accept_failed`.
    """
    bench = modality(run.settings.modality).bench()
    given = bench.read_settings(**settings)
    if out is not None:
        refuse_existing(out, force)
    seen = bench.read_capture(capture, given) if isinstance(capture, Path) else capture
    if calibration is None:
        told = bench.nominal_calibration(typed(run), seen)
    else:
        told = bench.read_calibration(calibration) if isinstance(calibration, Path) else calibration
    found = bench.reconstructor().images(typed(run), seen, told, accept_failed)
    return found if out is None else found.write(out, force)


def freeze(run: Run, out: Path, calibration: Path | None = None, *, force: bool = False) -> "FrozenDecoder":
    """Write the decoder of a run with its operator frozen in, as ONNX, and compare what is read back from disk.

    Raises `InputError` for a decoder or a modality that cannot be frozen, and `LimitError` for a calibration that
    failed, or a file whose images differ from the decoder's: none is left.
    """
    if out.suffix != ".onnx":
        raise InputError(f"--out {out}: a frozen decoder is one file; name it NAME.onnx")
    bench = modality(run.settings.modality).bench()
    refuse_existing(out, force)
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder; name a file, NAME.onnx")
    told = None if calibration is None else bench.read_calibration(calibration)
    return bench.freeze(typed(run), told, out)


def reconstruct_frozen(
    decoder: Path,
    capture: Path | Recorded,
    calibration: Path | None = None,
    out: Path | None = None,
    *,
    accept_failed: bool = False,
    force: bool = False,
) -> "Reconstruction":
    """The image of a capture with a decoder that `freeze` wrote; torch is not needed.

    Raises `FileError` for a capture of another design, or a calibration that is not the frozen one, and `LimitError` as
    `reconstruct` does.
    """
    from cidesign.frozen.session import open_decoder

    if out is not None:
        refuse_existing(out, force)
    opened = open_decoder(decoder)
    kind = modality(opened.record.modality)
    found = kind.reconstruct_frozen(opened, capture, calibration, accept_failed)
    return found if out is None else found.write(out, force)


def reconstruct_with_reader(
    run: Run | None, capture: Path, reader: str, out: Path | None = None, *, force: bool = False, **settings: Any
) -> "Reconstruction":
    """Images of a capture of another kind, which takes no calibration.

    Raises `InputError` for a reader that is not known, or that needs a run where there is none.
    """
    kind = modality_of_reader(reader) if run is None else modality(run.settings.modality)
    if kind is None:
        raise InputError(f"--reader {reader}: no reader of this name works without a run; name the run or the design")
    readers = kind.bench().readers
    if reader not in readers:
        known = ", ".join(("folder", *readers))
        raise InputError(f"--reader {reader}: no such reader for a run of the modality {kind.name}; known are {known}")
    if run is not None and run.settings.classes is not None:
        raise InputError(
            f"--reader {reader}: compares images that decoders make, and the run {run.known_as} names classes; "
            "reconstruct a capture of its own patterns"
        )
    given = readers[reader].settings(**settings)
    if out is not None:
        refuse_existing(out, force)
    found = readers[reader].reconstruct(None if run is None else typed(run), capture, given)
    return found if out is None else found.write(out, force)


def typed(run: Run) -> Run:
    """The run as one of its modality."""
    kind = modality(run.settings.modality).run_type
    return run if isinstance(run, kind) else kind(run.path)


def _faults(faults: Faults, run: Run) -> dict[FaultName, float]:
    kinds = modality(run.settings.modality).bench().faults
    return parse_faults(tuple(f"{name}={strength!r}" for name, strength in faults.items()), kinds)


@contextlib.contextmanager
def _folder(out: Path | None, force: bool) -> Iterator[Path]:
    """The folder to write, or one that is gone afterwards."""
    if out is not None:
        refuse_existing(out, force)
        yield out
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary) / "folder"


def student(run: Run, calibration: AnyCalibration | None = None) -> "Student":
    """The student of a run on arrays and tensors, told the design's operator, or a calibrated one."""
    found: Student = modality(run.settings.modality).bench().student(typed(run), calibration)
    return found


def to_deepinv(run: Run, calibration: AnyCalibration | None = None) -> "EncoderPhysics":
    """The operator of a run's design, or of a calibration, as the solvers of deepinv take their physics."""
    from cidesign.physics.deepinv import EncoderPhysics

    operator = student(run, calibration).operator
    return EncoderPhysics(operator.encoder, operator.form.is_complex)

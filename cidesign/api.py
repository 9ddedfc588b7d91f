"""The verbs as functions that take and return objects; command line and notebooks call these and nothing else.

Nothing of this module is loaded by `import cidesign`, which hands on its names when they are used.  Bad input raises
`CidesignError`, whose text is one line: the thing, the value, the limit, and what to do.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cidesign import benchwork
from cidesign.designs.checking import check_path
from cidesign.designs.exporting import export_run, open_exportable
from cidesign.designs.fixed import fixed_design as fixed_design
from cidesign.designs.folder import DesignFolder, is_design_folder, write_design
from cidesign.designs.given import read_given
from cidesign.device.link.plan import plan_upload
from cidesign.device.link.upload import send
from cidesign.device.verbs import bridge as bridge
from cidesign.device.verbs import emulate as emulate
from cidesign.device.verbs import status as status
from cidesign.device.verbs import stop as stop
from cidesign.doctor.examine import doctor as doctor
from cidesign.errors import InputError
from cidesign.hardware_profiles.loader import ProfileEntry, load_dmd, load_profile, shipped_profiles
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.runs import Run, not_a_teacher
from cidesign.runs import open_run as _open_run

if TYPE_CHECKING:
    from cidesign.calibration.base import AnyCalibration, Recorded
    from cidesign.designs.checking import CheckReport
    from cidesign.device.link.transfer import Progress
    from cidesign.device.link.upload import Uploaded
    from cidesign.distill.comparison.evaluation import Evaluation, EvaluationListener
    from cidesign.distill.job import Listener
    from cidesign.export.family import Exported
    from cidesign.frozen.session import FrozenDecoder
    from cidesign.physics.deepinv import EncoderPhysics
    from cidesign.reconstruct.outcome import Reconstruction
    from cidesign.reconstruct.stored import StoredReconstruction
    from cidesign.report.run_report import Report
    from cidesign.sweep.handle import SweepHandle

# What names a file or a folder.
Place = str | PathLike[str]
_T = TypeVar("_T")


def profiles() -> list[ProfileEntry]:
    """The profiles that come with the package (id, kind, name, path)."""
    return shipped_profiles()


def profile(name: Place) -> HardwareProfile:
    """A profile by its id, or from a .toml file, with the source and confidence of every value.

    Raises `InputError` for a name that is not known, and `FileError` for a file that is wrong."""
    return load_profile(str(name))


def open_run(run: Run | DesignFolder | Place | None = None) -> Run:
    """A run folder as an object; the newest one below `runs/` when none is named.

    A design folder is opened as a run without training: its optics are the design, its decoder the best linear
    estimate.
    """
    if isinstance(run, Run):
        return run
    path = run.path if isinstance(run, DesignFolder) else None if run is None else Path(run)
    if path is not None and is_design_folder(path):
        from cidesign.designs.untrained import untrained_run

        return untrained_run(path)
    return _open_run(path, Run)


def open_designed(run: Run | DesignFolder | Place | None = None) -> Run:
    """`open_run` for what needs a design: raises `InputError` for a run that holds a teacher alone."""
    return open_run(run).with_design()


def distill(
    profile: HardwareProfile | Place | None = None,
    *,
    design: DesignFolder | Place | None = None,
    teacher: Run | Place = "auto",
    only_teacher: bool = False,
    out: Place | None = None,
    preset: str = "quick",
    force: bool = False,
    listener: "Listener | None" = None,
    log: Sequence[str] = (),
    **settings: Any,
) -> Run:
    """Train a teacher with freer optics, then a student that the device can realise; a finished run.

    With a `design` (a design folder, a run, or a file of patterns, a mask or lines with its profile) the optics are
    that design and stay so, and only the decoder is trained; `decoder="linear"` needs no training at all.  `teacher`
    names a finished run whose teacher is taken, for this device, size or budget; with "auto" a fitting one is, of the
    runs below runs/ that `only_teacher` stored; "none": one is trained.  `strategy="e2e"` trains optics and decoder end
    to end without a teacher, "distill" with one, "auto" (the default) as was measured to be better; `ladder="auto"`
    trains and stores a few teachers, and takes the best.  Any setting can be given by its name (`side=32, images=2000,
    channels=32, data="photos"`); a wrong name lists them.  Written to runs/PROFILE-PRESET unless `out` says where.  An
    interrupt (Ctrl-C) leaves a checkpoint, from which `resume` goes on; with the same bits where `threads` is fixed.
    `log` names what shows the training too, beside `metrics.jsonl` ("tensorboard", "wandb").  Started several times by
    torchrun, one run is trained by all processes together.  Raises `LimitError` before any image is drawn when it
    cannot fit the memory.
    """
    from cidesign.distill.choices.ladder import with_best_teacher
    from cidesign.distill.job import Listener, start_run
    from cidesign.distill.teachers import chosen_settings, usual_folder

    heard = listener or Listener()
    device = profile if profile is None or isinstance(profile, HardwareProfile) else load_profile(str(profile))
    asked = {name: str(value) if isinstance(value, PathLike) else value for name, value in settings.items()}
    found = None if design is None else read_given(_folder(design), device, asked.get("sampling"))
    device = found.profile if found else device
    if device is None:
        raise InputError("a profile is needed: cidesign.distill('dlp4500'), or a design that exists: design=FOLDER")
    chosen = chosen_settings(device, preset, found.given if found else None, teacher, only_teacher, asked)
    for text in chosen.said:
        heard.remark(text)
    path = usual_folder(device, chosen.settings) if out is None else Path(out)
    chosen = with_best_teacher(chosen, path, device, force, heard.remark, lambda where: nullcontext(heard))
    return start_run(path, chosen.settings, device, force, heard, chosen.design, chosen.teacher, chosen.choices, log)


def resume(run: Run | Place, *, listener: "Listener | None" = None) -> Run:
    """Finish an interrupted run: the same bits as without the interruption, on the same machine with a fixed number
    of threads (`distill(..., threads=1)`)."""
    from cidesign.distill.job import Listener, resume_run

    return resume_run(run.path if isinstance(run, Run) else Path(run), listener or Listener())


def _folder(what: "Run | DesignFolder | Exported | Place") -> Path:
    if isinstance(what, str | PathLike):
        return Path(what)
    return what.path if isinstance(what, Run | DesignFolder) else what.folder


def design(
    files: Place | Sequence[Place],
    profile: HardwareProfile | Place,
    out: Place,
    *,
    force: bool = False,
    **options: Any,
) -> DesignFolder:
    """Patterns, a mask or k-space lines that exist already, as a design for a device: a folder that `export` takes.

    `options` say what the files leave open (`polarity`, `order`, `pitch_um`); what can be read in two ways raises
    `InputError` with the option that decides.  How the files were understood is in `.record.said`.
    """
    device = profile if isinstance(profile, HardwareProfile) else load_profile(str(profile))
    named = [files] if isinstance(files, str | PathLike) else files
    return write_design([Path(file) for file in named], device, Path(out), options, force)


def open_design(folder: Place) -> DesignFolder:
    """The folder of a design of one's own, with its profile and what was said of its files."""
    return DesignFolder(Path(folder))


def export(
    run: "Run | DesignFolder | Place",
    out: Place | None = None,
    *,
    formats: Sequence[str] = (),
    force: bool = False,
    on_note: Callable[[str], None] | None = None,
    **settings: Any,
) -> "Exported":
    """The files that the device, the mask shop or the scanner takes, with a manifest, read back bit for bit.

    `settings` are those of the device family by name (`exposure_us`, `sync_every`; `tone`; `te_ms`, `kind`); a wrong
    name lists them.  Written to RUN/export unless `out` says where.  Raises `LimitError` for what the device cannot do.
    """
    opened = open_exportable(Path(run)) if isinstance(run, str | PathLike) else run
    return export_run(opened, None if out is None else Path(out), tuple(formats), force, settings, on_note)


def check(
    what: "Run | DesignFolder | Exported | Place", profile: HardwareProfile | Place | None = None, **settings: Any
) -> "CheckReport":
    """A run (and its exports), an export folder or a single file against the limits of its device.

    What was found, and what was not evaluated, is in `.found`; a single file that is wrong is told by `.ok` and
    `.failure`.  A run or an export raises `LimitError` or `FileError` at the first thing that is wrong.
    """
    path = _folder(what)
    device = profile if profile is None or isinstance(profile, HardwareProfile) else str(profile)
    return check_path(path, device, settings)


def evaluate(
    run: Run | DesignFolder | Place,
    data: Place | None = None,
    *,
    train: bool = True,
    listener: "EvaluationListener | None" = None,
) -> "Evaluation":
    """A run beside end-to-end training, fixed designs and its teacher, on the same images with the same noise.

    `data` names other images to measure on, all of which are, except those that the run was trained on.  What is not
    trained yet is trained for as many epochs as teacher and student together, or left out with `train=False`.
    """
    from cidesign.distill.comparison.evaluation import EvaluationListener, evaluate_run

    where = None if data is None else str(data)
    return evaluate_run(open_designed(run), where, train, listener or EvaluationListener())


def upload(
    export: "Exported | Place",
    port: str,
    *,
    baud: int = 115_200,
    profile: Place | None = None,
    resume: bool = False,
    start: bool = False,
    repeats: int = 0,
    sequence: int | None = None,
    images_in_flash: bool = False,
    on_note: Callable[[str], None] | None = None,
    on_progress: "Callable[[Progress], None] | None" = None,
) -> "Uploaded":
    """Send an export folder to a micromirror device through a bridge, verify it, and with `start` show it.

    The files are read again and checked against the device's limits first.  After an error or an interrupt the device
    is left stopped, and `resume=True` goes on where it ended.  `repeats` 0 shows the sequence until `stop`.  An export
    of several sequences is uploaded one `sequence` at a time, 1 the first.
    Raises `LimitError`, `FileError` or `DeviceError`; nothing is ever accepted that differs from the design.
    """
    if repeats and not start:
        raise InputError("repeats counts showings of the sequence; it needs start=True")
    device = None if profile is None else load_dmd(str(profile))
    plan = plan_upload(not_a_teacher(_folder(export)), device, baud, images_in_flash, sequence)
    return send(plan, port, baud, resume=resume, start=start, repeats=repeats, on_note=on_note, on_progress=on_progress)


def simulate(
    run: Run | DesignFolder | Place,
    out: Place | None = None,
    *,
    faults: Mapping[str, float] | None = None,
    scene: Place | None = None,
    seed: int = 0,
    force: bool = False,
    **settings: Any,
) -> Any:
    """What the bench of a run would record: a scene, and the calibration captures that go with it; a capture.

    `faults` are those of the bench by name and strength (`{"drift": 3}`), `scene` a picture, cube or MR image (None: a
    procedural one, never a training image).  Without `out` nothing stays on disk.
    """
    where, shown = (None if one is None else Path(one) for one in (out, scene))
    found = open_designed(run)
    return benchwork.simulate(found, where, faults=faults, scene=shown, seed=seed, force=force, **settings).capture


def open_capture(path: Place, run: Run | DesignFolder | Place, **settings: Any) -> Any:
    """A capture of the bench of a run: a folder, a bare array of readings, or raw k-space of a scanner."""
    return benchwork.open_capture(Path(path), open_designed(run), **settings)


def calibrate(
    run: Run | DesignFolder | Place,
    capture: "Recorded | Place | None" = None,
    out: Place | None = None,
    *,
    instrument: Place | None = None,
    force: bool = False,
    **settings: Any,
) -> "AnyCalibration":
    """What the bench really does, fitted to a capture and verified on data that the fit did not use.

    Look at `.verification.verdict` (passed, failed, not verified), its `.checks` and `.not_looked_at`: a calibration
    that failed is returned too, and `reconstruct` refuses it.  `.operator` works on arrays.  `instrument` is a file
    that describes a coded-aperture camera, against which the capture, if any, is held.
    """
    where, told = (None if one is None else Path(one) for one in (out, instrument))
    done = benchwork.calibrate(open_designed(run), _opened(capture), where, instrument=told, force=force, **settings)
    return done.calibration


def open_calibration(folder: Place, run: Run | DesignFolder | Place | None = None) -> "AnyCalibration":
    """A stored calibration; with the run whose design it is for, its operator is known."""
    return benchwork.open_calibration(Path(folder), None if run is None else open_designed(run))


def reconstruct(
    run: Run | DesignFolder | Place | None,
    capture: "Recorded | Place",
    calibration: "AnyCalibration | Place | None" = None,
    out: Place | None = None,
    *,
    reader: str | None = None,
    accept_failed: bool = False,
    force: bool = False,
    **settings: Any,
) -> "Reconstruction":
    """Images of a capture, beside linear baselines and with diagnostics: `.images.student` is an array.

    `run` may be a design folder: no training is needed, and `.images.linear` takes the place of the student's.  Without
    a calibration the bench is taken to be as designed: the verdict is then `not verified`, with what would verify it.
    `run` may be a FILE.onnx of `export_decoder` too, which needs no torch and makes the student's image alone.
    `reader` names another kind of capture, which takes no calibration ("hadamard", "spas"); `run` is None for those
    that need none.  Raises `LimitError` for a calibration that failed, or that the capture contradicts, unless
    `accept_failed`.
    """
    where = None if out is None else Path(out)
    if isinstance(run, str | PathLike) and Path(run).suffix == ".onnx":
        if reader is not None or settings:
            raise InputError(
                f"{run}: a frozen decoder takes captures of its own patterns; leave reader and settings out"
            )
        folder = calibration if calibration is None or isinstance(calibration, str | PathLike) else calibration.path
        told = None if folder is None else Path(folder)
        return benchwork.reconstruct_frozen(
            Path(run), _opened(capture), told, where, accept_failed=accept_failed, force=force
        )
    if reader is not None:
        if calibration is not None or not isinstance(capture, str | PathLike):
            raise InputError(f"reader {reader}: takes the file of a capture, and no calibration")
        opened = None if run is None else open_designed(run)
        return benchwork.reconstruct_with_reader(opened, Path(capture), reader, where, force=force, **settings)
    known = None if calibration is None else _opened(calibration)
    return benchwork.reconstruct(
        open_designed(run), _opened(capture), known, where, accept_failed=accept_failed, force=force, **settings
    )


def export_decoder(
    run: Run | DesignFolder | Place, out: Place, calibration: Place | None = None, *, force: bool = False
) -> "FrozenDecoder":
    """The decoder of a run with the designed or a calibrated operator frozen in: `out` is a FILE.onnx, which
    `reconstruct` takes in the place of the run on a computer without torch.

    Raises `InputError` where decoder or modality cannot be frozen, and `LimitError` for a calibration that failed, or
    where what was read back from disk differs from the decoder.
    """
    told = None if calibration is None else Path(calibration)
    return benchwork.freeze(open_designed(run), Path(out), told, force=force)


def open_reconstruction(folder: Place) -> "StoredReconstruction":
    """What `reconstruct` wrote: `.images.student` is an array, beside `.maps` and the `.record`."""
    from cidesign.reconstruct import stored

    return stored.open_reconstruction(Path(folder))


def to_deepinv(
    run: Run | DesignFolder | Place, calibration: "AnyCalibration | Place | None" = None
) -> "EncoderPhysics":
    """The measurement as a physics of deepinv (`A`, `A_adjoint`, `A_dagger`, noise), calibrated where a folder says so.

    deepinv itself is not needed to make it.
    """
    opened = open_designed(run)
    told = open_calibration(calibration, opened) if isinstance(calibration, str | PathLike) else calibration
    return benchwork.to_deepinv(opened, told)


def _opened(what: "Place | _T") -> "Path | _T":
    return Path(what) if isinstance(what, str | PathLike) else what


def sweep(spec: Mapping[str, Any] | Place, out: Place | None = None) -> "SweepHandle":
    """Many runs of one spec: `.plan()`, `.run(workers=2)`, `.status()`, `.runs()`.

    `spec` is a TOML file, its sections as a mapping (`{"base": {"profile": "dlp4500"}, "grid": {"seed": [1, 2]}}`, with
    `out`), or the folder of a sweep.  Written to runs/NAME of the file unless `out` says where.  Raises `InputError`
    for what cannot be meant, with the nearest names.
    """
    from cidesign.sweep.handle import handle_of

    return handle_of(spec if isinstance(spec, Mapping) else Path(spec), None if out is None else Path(out))


def report(run: Run | DesignFolder | Place, include: Sequence[Place] = (), *, force: bool = False) -> "Report":
    """Write RUN/report.html, one self-contained page; `include` names calibration and reconstruction folders.

    `.verdict` is what it opens with: `.verdict.line`, and as fields what was designed, passed, failed or not verified,
    the checks that say so, and the limit of which most is taken.
    """
    from cidesign.report.run_report import write_report

    return write_report(open_designed(run), [Path(folder) for folder in include], force)

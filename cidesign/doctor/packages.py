"""Which packages are there, in which version, and what those that are missing are for; none of them is imported."""

import re
import sys
from importlib import metadata
from importlib.util import find_spec
from typing import NamedTuple

from cidesign import __version__
from cidesign.doctor.findings import Finding, Status

# What every install has, the smallest too.
CORE = "core"
# As metadata writes it: `pypulseq<1.6,>=1.5; extra == "mri"`.
_REQUIREMENT = re.compile(r'(?P<name>[\w.-]+)\s*(?P<versions>[^;]*)(;\s*extra == "(?P<extra>\w+)")?')


class Package(NamedTuple):
    """A package: its name for pip, the module that it brings, what it is for, and what installs it.

    `extra`: `CORE`, an extra of cidesign, or empty for the rest of the default install.
    """

    name: str
    module: str
    use: str
    extra: str = ""


PACKAGES = (
    Package("click", "click", "the command line", CORE),
    Package("numpy", "numpy", "arrays", CORE),
    Package("pillow", "PIL", "pictures", CORE),
    Package("pydantic", "pydantic", "profiles and records", CORE),
    Package("pyserial", "serial", "upload, bridge and emulate over a serial port", CORE),
    Package("rich", "rich", "progress of long commands", CORE),
    Package("gdstk", "gdstk", "GDSII and OASIS of a mask"),
    Package("h5py", "h5py", "HDF5: ISMRMRD, fastMRI, MATLAB 7.3"),
    Package("matplotlib", "matplotlib", "pictures of calibrations and reports"),
    Package("nibabel", "nibabel", "NIfTI"),
    Package("opencv-python-headless", "cv2", "cameras, calibration targets, training images"),
    Package("scipy", "scipy", "calibrate, simulate, check of sequences"),
    Package("tifffile", "tifffile", "TIFF and OME-TIFF"),
    Package("torch", "torch", "distill, evaluate, sweep, report; export --decoder and reconstruct with a RUN"),
    Package("torchmetrics", "torchmetrics", "metrics of distill and evaluate"),
    Package("safetensors", "safetensors", "weights of a run"),
    Package("finufft", "finufft", "radial, spiral and free shots of k-space", "mri"),
    Package("ismrmrd", "ismrmrd", "export --format ismrmrd", "mri"),
    Package("pypulseq", "pypulseq", "export of Pulseq sequences", "mri"),
    Package("twixtools", "twixtools", "Siemens twix files", "mri"),
    Package("pydicom", "pydicom", "DICOM images", "dicom"),
    Package("onnx", "onnx", "export --decoder onnx", "onnx"),
    Package("onnxruntime", "onnxruntime", "reconstruct --decoder FILE.onnx; parity at export", "onnx"),
    Package("optuna", "optuna", "sweeps with [search]", "sweep"),
    Package("submitit", "submitit", "sweeps that submitit sends", "sweep"),
    Package("tensorboard", "tensorboard", "distill --log tensorboard", "tensorboard"),
    Package("wandb", "wandb", "distill --log wandb", "wandb"),
    Package("hidapi", "hid", "bridge --backend hid and display", "hid"),
    Package("smbus2", "smbus2", "bridge --backend i2c (Linux)", "i2c"),
)


def programs() -> list[Finding]:
    """cidesign and the Python that runs it."""
    version = ".".join(map(str, sys.version_info[:3]))
    return [
        Finding("program", "cidesign", "ok", __version__),
        Finding("program", "Python", "ok", f"{version} on {sys.platform} ({sys.executable})"),
    ]


def packages() -> list[Finding]:
    """Every package that cidesign can use; `not verified`: it is there, and its version can be compared with none."""
    asked = _asked()
    return [_finding(one, asked) for one in PACKAGES]


def _asked() -> dict[str, str] | None:
    """What cidesign says that it needs, by name: `>=1.26`; None where it was not installed (a bare checkout)."""
    try:
        lines = metadata.requires("cidesign") or ()
    except metadata.PackageNotFoundError:
        return None
    asked = [one for one in map(_REQUIREMENT.match, lines) if one is not None and one["extra"] not in ("dev", "docs")]
    return {one["name"].lower(): one["versions"].replace(" ", "") for one in asked}


def _finding(package: Package, asked: dict[str, str] | None) -> Finding:
    versions = "" if asked is None else asked.get(package.name, "")
    status, found = _looked_up(package, versions, asked is not None)
    fix = f"pip install '{package.name}{versions}'" if status == "missing" else ""
    if package.extra in ("", CORE):
        return Finding("packages", package.name, status, found, package.use, fix, needed=package.extra == CORE)
    return Finding("extras", f"{package.name} [{package.extra}]", status, found, package.use, fix)


def _looked_up(package: Package, versions: str, comparable: bool) -> tuple[Status, str]:
    try:
        version = metadata.version(package.name)
    except metadata.PackageNotFoundError:
        return "missing", "not installed"
    if find_spec(package.module) is None:
        return "missing", f"{version} is listed, but brings no module {package.module}"
    if not comparable:
        return "not verified", version
    return ("ok", version) if fits(version, versions) else ("missing", f"{version}, needed is {versions}")


def fits(version: str, versions: str) -> bool:
    """Whether the release of a version is within `>=1.5,<1.6`; what follows it (`+cpu`, `.post1`) is not compared."""
    return all(_within(_release(version), one) for one in versions.split(",") if one)


def _within(release: tuple[int, ...], limit: str) -> bool:
    bound = _release(limit.lstrip("<>="))
    length = max(len(release), len(bound))
    a, b = (one + (0,) * (length - len(one)) for one in (release, bound))
    return a >= b if limit.startswith(">=") else a < b


def _release(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()

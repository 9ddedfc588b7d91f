"""What `fuzz.py` damages, and the product's reader that must answer with a value or one line of error."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from link.faults import Device

from cidesign.calibration.cassi.capture import read_cassi_capture
from cidesign.calibration.cassi.instrument.file import read_instrument_file
from cidesign.calibration.cassi.record import read_cassi_calibration
from cidesign.calibration.mri.capture import read_kspace_capture
from cidesign.calibration.mri.raw.readers import read_kspace
from cidesign.calibration.mri.record import read_kspace_calibration
from cidesign.calibration.single_pixel.capture import read_capture
from cidesign.calibration.single_pixel.full_basis.hadamard_files import read_hadamard_file
from cidesign.calibration.single_pixel.record import read_calibration
from cidesign.cli import group
from cidesign.data.folders import read_folder
from cidesign.designs.folder import DesignFolder
from cidesign.device.link.core import ServerCore
from cidesign.device.link.frames import Frame, MessageType
from cidesign.device.link.messages import Begin, Caps, Data, Held, LinkStatus, Nak, Named, Placed, Run
from cidesign.device.link.store import Store
from cidesign.errors import DeviceError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.io.arrays import read_array
from cidesign.modalities.cassi.data.cube_files import read_cube
from cidesign.modalities.cassi.run import CassiRun
from cidesign.modalities.mri.data.image_files import read_volume
from cidesign.modalities.mri.run import MriRun
from cidesign.modalities.single_pixel.run import SinglePixelRun


class Target(NamedTuple):
    """One kind of input: `seeds` (globs), `read(path)`, and how many of a thousand inputs it gets.

    With `folder` set one file of the folder is damaged, and the folder is what is read.
    """

    name: str
    seeds: tuple[str, ...]
    read: Callable[[Path], object]
    share: int
    folder: bool = False


def _command(*words: str) -> Callable[[Path], object]:
    """A command as the user types it, its path first among the arguments."""

    def run(path: Path) -> object:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return group.main([*words, str(path)], prog_name="cidesign", standalone_mode=False)

    return run


def _run(kind: type[SinglePixelRun] | type[CassiRun] | type[MriRun]) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        run = kind(path)
        return run.settings, run.profile, run.design

    return read


def _link(path: Path) -> object:
    """What came over a line, as it came; then its bytes as the payload of every message, with the right CRC-32."""
    content = path.read_bytes()
    core = ServerCore(Device(), Store(1_000_000, None), 115_200, 4_000_000)
    core.connected()
    core.receive(content, 0.0)
    for number, kind in enumerate(MessageType):
        core.receive(Frame(kind, number, content[1:].removesuffix(content[-5:])[:4104]).pack(), 0.1)
    for message in (Begin, Named, Data, Placed, Held, Run, Nak, LinkStatus, Caps):
        with contextlib.suppress(DeviceError):
            message.unpack(content[7:])
    return core.outgoing()


def _pictures(path: Path) -> object:
    return read_folder(path, 8, 8, 4, 1)


TARGETS = (
    Target("profile", ("profiles/*.toml",), lambda path: load_profile(str(path)), 120),
    Target("run, single-pixel", ("single-pixel/run/run.json", "single-pixel/run/design.npz"), _run(SinglePixelRun), 50,
           folder=True),
    Target("run, SD-CASSI", ("cassi/run/run.json", "cassi/run/design.npz"), _run(CassiRun), 50, folder=True),
    Target("run, MRI", ("mri/run/run.json", "mri/run/design.npz"), _run(MriRun), 50, folder=True),
    Target("capture, single-pixel", ("single-pixel/capture/*",), read_capture, 50, folder=True),
    Target("capture, SD-CASSI", ("cassi/capture/*",), read_cassi_capture, 30, folder=True),
    Target("capture, MRI", ("mri/capture/*",), read_kspace_capture, 30, folder=True),
    Target("calibration, single-pixel", ("single-pixel/calibration/calibration.json",
                                         "single-pixel/calibration/arrays.npz"), read_calibration, 40, folder=True),
    Target("calibration, SD-CASSI", ("cassi/calibration/calibration.json", "cassi/calibration/arrays.npz"),
           read_cassi_calibration, 40, folder=True),
    Target("calibration, MRI", ("mri/calibration/calibration.json", "mri/calibration/arrays.npz"),
           read_kspace_calibration, 40, folder=True),
    Target("export, DMD", ("single-pixel/export/*",), _command("check"), 20, folder=True),
    Target("export, HDMI", ("single-pixel/hdmi/*",), _command("check"), 15, folder=True),
    Target("export, mask", ("cassi/export/*",), _command("check"), 15, folder=True),
    Target("export, scan", ("mri/export/*",), _command("check"), 5, folder=True),
    Target("link frames", ("link/*",), _link, 100),
    Target("Pulseq .seq", ("mri/export/*.seq", "seq/*.seq"), _command("check", "--profile", "mri-generic-3t"), 20),
    Target("mask GDSII, OASIS", ("cassi/export/*.gds", "cassi/export/*.oas", "gds/*.gds", "gds/*.oas"),
           _command("check", "--profile", "chrome-laser-10um", "--tone", "clear"), 60),
    Target("mask TIFF", ("cassi/export/*.tif", "pictures/one_bit.tif"),
           _command("check", "--profile", "chrome-laser-10um", "--tone", "clear"), 60),
    Target("picture stack", ("pictures/*.tif", "pictures/*.tiff", "pictures/*.png"),
           lambda path: read_array(path, "scene"), 50),
    Target("training pictures", ("pictures/*",), _pictures, 50, folder=True),
    Target("CSV", ("arrays/*.csv",), lambda path: read_array(path, "scene"), 60),
    Target("npy, npz", ("arrays/*.npy", "arrays/*.npz"), lambda path: read_array(path, "scene"), 50),
    Target("MAT", ("arrays/*.mat", "cubes/*.mat"), lambda path: read_array(path, "scene"), 30),
    Target("cube (MAT, HDF5, npz)", ("cubes/a.mat", "cubes/*.h5", "cubes/*.npz"), read_cube, 20),
    Target("ENVI", ("cubes/*.hdr",), read_cube, 45),
    Target("NIfTI", ("volumes/*",), read_volume, 40),
    Target("ISMRMRD, fastMRI", ("raw/*.h5",), read_kspace, 20),
    Target("BART, npy k-space", ("raw/k.hdr", "raw/k.npy"), read_kspace, 20),
    Target("twix", ("raw/*.dat",), read_kspace, 3),
    Target("design folder", ("designs/own/design.json", "designs/own/design.npz"),
           lambda path: (DesignFolder(path).profile, DesignFolder(path).design), 40, folder=True),
    Target("Hadamard capture", ("hadamard/*",), read_hadamard_file, 40),
    Target("instrument", ("instruments/*.toml",), read_instrument_file, 40),
)  # fmt: skip

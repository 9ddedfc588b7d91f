"""Sound files of every kind that cidesign reads, for `fuzz.py` to damage: the product's, or by independent writers.

Run: python benchmarks/fuzzing/seeds.py FOLDER
"""

import hashlib
import subprocess
import sys
from pathlib import Path

import h5py
import nibabel
import numpy as np
import tifffile
from PIL import Image
from scipy.io import savemat
from scipy.linalg import hadamard

from cidesign.device.link.frames import Frame, MessageType
from cidesign.device.link.messages import Begin, Data, Named, ObjectKind, Slot, tag_of
from cidesign.distill.job import Listener, start_run
from cidesign.distill.presets import settings_for
from cidesign.hardware_profiles.loader import load_profile, shipped_profiles

RUNS = {
    "single-pixel": ("dlp4500", {"side": 8, "patterns": 20, "images": 96}),
    "cassi": ("chrome-laser-10um", {"side": 16, "images": 48}),
    "mri": ("mri-generic-3t", {"side": 32, "coils": 2, "lines": 12, "acs_lines": 8, "images": 48}),
}
SHARED = Path(__file__).parents[3] / "shared" / "data"

ISMRMRD_HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <experimentalConditions><H1resonanceFrequency_Hz>123200000</H1resonanceFrequency_Hz></experimentalConditions>
  <encoding>
    <encodedSpace>
      <matrixSize><x>32</x><y>16</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>440</x><y>220</y><z>5</z></fieldOfView_mm>
    </encodedSpace>
    <reconSpace>
      <matrixSize><x>16</x><y>16</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>220</x><y>220</y><z>5</z></fieldOfView_mm>
    </reconSpace>
    <encodingLimits>
      <kspace_encoding_step_1><minimum>0</minimum><maximum>15</maximum><center>8</center></kspace_encoding_step_1>
    </encodingLimits>
    <trajectory>cartesian</trajectory>
  </encoding>
</ismrmrdHeader>
"""


def main(folder: Path) -> None:
    """Write all seeds below `folder`."""
    for name, (profile, values) in RUNS.items():
        _chain(folder / name, profile, values)
    _command("export", folder / "single-pixel" / "run", "--out", folder / "single-pixel" / "hdmi", "--format", "hdmi")
    _profiles(folder / "profiles")
    _pictures(folder / "pictures")
    _arrays(folder / "arrays")
    _cubes(folder / "cubes")
    _volumes(folder / "volumes")
    _raw(folder / "raw")
    _masks(folder / "gds")
    _link(folder / "link")
    _own(folder)


def _chain(folder: Path, profile_name: str, values: dict[str, int]) -> None:
    """A run trained for one epoch, with everything that follows it."""
    folder.mkdir(parents=True)
    profile = load_profile(profile_name)
    tiny = {"validation_images": 16, "batch": 16, "channels": 4, "teacher_epochs": 1, "student_epochs": 1}
    settings = settings_for(profile, **values, **tiny)
    run = folder / "run"
    start_run(run, settings, profile, False, Listener())
    _command("export", run, "--out", folder / "export")
    _command("simulate", run, "--out", folder / "capture")
    # A run of one epoch need not pass; what is read later is the record, whatever it says.
    _command("calibrate", folder / "capture", "--run", run, "--out", folder / "calibration", allowed=(0, 3))


def _command(*words: object, allowed: tuple[int, ...] = (0,)) -> None:
    done = subprocess.run([sys.executable, "-m", "cidesign", *map(str, words)], capture_output=True, check=False)
    if done.returncode not in allowed:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stderr.decode()[-800:]}")


def _profiles(folder: Path) -> None:
    folder.mkdir()
    for entry in shipped_profiles():
        (folder / entry.path.name).write_bytes(entry.path.read_bytes())


def _own(folder: Path) -> None:
    """What people bring: patterns as a design, captures of all Hadamard patterns, a described instrument."""
    for name in ("designs", "hadamard", "instruments"):
        (folder / name).mkdir()
    rng = np.random.default_rng(9)
    np.save(folder / "arrays" / "patterns.npy", rng.integers(0, 2, (12, 8, 8), dtype=np.uint8))
    options = ("--profile", "dlp4500", "--set", "encoding=offset", "--out", folder / "designs" / "own")
    _command("design", folder / "arrays" / "patterns.npy", *options)
    basis = hadamard(64)
    readings = np.rint(1000 * basis @ rng.random(64)).astype(np.int32)
    np.save(folder / "hadamard" / "a.npy", readings)
    np.savez(folder / "hadamard" / "b.npz", data=np.stack([readings, 2 * readings]), n=8, roi_px=[1, 5])
    savemat(folder / "hadamard" / "c.mat", {"data": readings[None], "vecs": basis.astype(np.int32)})
    np.savetxt(folder / "hadamard" / "d.csv", readings, fmt="%d")
    (folder / "instruments" / "a.toml").write_text(
        'mask = "mask.npy"\nstep_px = 2.0\ndetector = [24, 38]\norigin_px = [0, 1]\nwhite_counts = 40000\n'
    )


def _pictures(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(1)
    grey = np.round(255 * rng.random((24, 31))).astype(np.uint8)
    colour = np.round(255 * rng.random((24, 31, 3))).astype(np.uint8)
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(colour).save(folder / "colour.jpg")
    Image.fromarray(colour).quantize(16).save(folder / "palette.tif")
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        Image.fromarray(grey).save(folder / f"{compression}.tif", compression=compression)
    tifffile.imwrite(folder / "deep.tiff", np.round(65535 * rng.random((3, 24, 31))).astype(np.uint16))
    Image.fromarray(grey > 127).save(folder / "one_bit.tif", compression="group4", dpi=(2540, 2540))
    tifffile.imwrite(folder / "planar.tif", colour.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")


def _arrays(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(2)
    readings = rng.normal(1000, 20, 40)
    np.save(folder / "a.npy", readings)
    np.savez(folder / "b.npz", readings=readings)
    np.savetxt(folder / "plain.csv", readings)
    table = np.column_stack([np.arange(40) * 1e-3, readings])
    np.savetxt(folder / "scope.csv", table, delimiter=",", header="Time (s),Channel A (V)", comments="")
    lines = [f"{t:.4f};{value:.3f}".replace(".", ",") for t, value in table]
    (folder / "german.csv").write_text("\n".join(["Zeit;Kanal A", *lines]) + "\n")
    (folder / "wide.csv").write_bytes("\n".join(["time,volt", *(f"{t},{v}" for t, v in table)]).encode("utf-16"))
    savemat(folder / "five.mat", {"readings": readings, "note": "text", "one": {"x": readings, "c": np.eye(3)}})
    savemat(folder / "packed.mat", {"readings": readings}, do_compression=True)
    savemat(folder / "four.mat", {"readings": readings}, format="4")


def _cubes(folder: Path) -> None:
    folder.mkdir()
    nm = np.linspace(450, 700, 10)
    cube = np.random.default_rng(3).random((24, 20, 10)).astype(np.float32)
    savemat(folder / "a.mat", {"cube": cube, "wavelengths": nm})
    with h5py.File(folder / "b.h5", "w") as stored:
        stored["cube"], stored["wavelength_nm"] = cube.transpose(2, 0, 1), nm
    np.savez(folder / "c.npz", cube=cube.transpose(2, 0, 1), wavelengths_nm=nm)
    header = (
        "ENVI\nsamples = 20\nlines = 24\nbands = 10\nheader offset = 0\ndata type = 4\ninterleave = bil\n"
        f"byte order = 0\nwavelength units = nm\nwavelength = {{{', '.join(map(str, nm))}}}\n"
    )
    (folder / "d.hdr").write_text(header)
    (folder / "d.img").write_bytes(np.ascontiguousarray(cube.transpose(0, 2, 1)).tobytes())


def _volumes(folder: Path) -> None:
    folder.mkdir()
    volume = np.random.default_rng(4).normal(500, 90, (20, 22, 4)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / "a.nii")
    nibabel.save(nibabel.Nifti1Image(volume.astype(np.float32), np.eye(4)), folder / "b.nii.gz")
    nibabel.save(nibabel.Nifti2Image(volume, np.eye(4)), folder / "c.nii")


def _raw(folder: Path) -> None:
    """ISMRMRD by its own library, fastMRI's layout, BART; a scanner's own file where there is one."""
    import ismrmrd

    folder.mkdir()
    rng = np.random.default_rng(5)
    k = (rng.normal(size=(2, 16, 32)) + 1j * rng.normal(size=(2, 16, 32))).astype(np.complex64)
    data = ismrmrd.Dataset(folder / "scan.h5", "dataset", create_if_needed=True)
    data.write_xml_header(ISMRMRD_HEADER.encode())
    for line in range(16):
        acquisition = ismrmrd.Acquisition.from_array(k[:, line])
        acquisition.idx.kspace_encode_step_1 = line
        acquisition.center_sample, acquisition.sample_time_us = 16, 5.0
        data.append_acquisition(acquisition)
    data.close()
    with h5py.File(folder / "fastmri.h5", "w") as stored:
        stored["kspace"] = k.transpose(0, 2, 1)[None]
    np.save(folder / "k.npy", k)
    (folder / "k.hdr").write_text("# Dimensions\n32 16 1 2 1 1 1 1 1 1 1 1 1 1 1 1\n")
    np.ascontiguousarray(k.transpose(0, 1, 2)).tofile(folder / "k.cfl")
    twix = SHARED / "mri" / "twix_gre.dat"
    if twix.is_file():
        (folder / "twix.dat").write_bytes(twix.read_bytes())


def _masks(folder: Path) -> None:
    """Layouts as other people draw them: references, arrays, paths, another unit."""
    import gdstk

    folder.mkdir()
    library = gdstk.Library(unit=1e-6, precision=1e-9)
    part, top = library.new_cell("PART"), library.new_cell("TOP")
    part.add(gdstk.rectangle((0, 0), (10, 20)), gdstk.FlexPath([(30, 0), (60, 0), (60, 40)], 10, layer=0))
    top.add(
        gdstk.Reference(part, columns=3, rows=2, spacing=(100, 100)), gdstk.Reference(part, (0, 300), rotation=1.5708)
    )
    library.write_gds(folder / "foreign.gds")
    library.write_oas(folder / "foreign.oas")


def _link(folder: Path) -> None:
    """An upload's conversation, one file for each message and one for all."""
    folder.mkdir()
    content = bytes(range(200))
    slot, sha256 = Slot(ObjectKind.IMAGE_PRIMARY, 3), hashlib.sha256(content).digest()
    frames = [
        Frame(MessageType.HELLO, 1).pack(),
        Frame(MessageType.BEGIN, 2, Begin(slot, len(content), sha256, 7, bytes(32), bytes(32)).pack()).pack(),
        Frame(MessageType.DATA, 3, Data(tag_of(sha256), 0, content).pack()).pack(),
        Frame(MessageType.STAT, 4, Named(slot, sha256).pack()).pack(),
        Frame(MessageType.COMMIT, 5, Named(slot, sha256).pack()).pack(),
        Frame(MessageType.QUERY, 6).pack(),
    ]
    for number, frame in enumerate(frames):
        (folder / f"{number}.bin").write_bytes(frame)
    (folder / "all.bin").write_bytes(b"".join(frames))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

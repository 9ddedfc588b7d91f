"""The published recipe beside ours: fixed designs, end-to-end training (E2E) and distillation, PSNR over the epochs.

    python benchmarks/studies/published.py --scale cpu --out studies

`published` rows are those of `--recipe published`: optics from noise, a U-Net on the back-projection, Adam at 5e-4, and
a student from scratch under the published losses.  `ours` are the defaults.  Every row trains for S epochs, those named
T + S for as many as a student and its teacher together.  Target: ours at least 1.5 dB above the published student at
equal epochs, in all modalities.
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


def train(bench: Bench) -> None:
    """All rows of a case and seed."""
    ours, published = bench.settings(), bench.settings(recipe="published")
    both = 2 * bench.case.epochs
    for label, settings, warm in (("published", published, False), ("our", ours, True)):
        bench.row(f"{label} E2E, S epochs", settings)
        bench.row(f"{label} E2E, T + S epochs", settings.changed(student_epochs=both))
        student = "published student" if label == "published" else "ours"
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
    against = [name for name in names_of(rows) if name != "ours" and "teacher" not in name]
    table(["ours less", "dB"], [[name, mean(differences(rows, "ours", name))] for name in against])
    print(f"\npublished student less published E2E, S epochs: {mean(_published(rows, 'S'))} dB")
    print(f"published student less published E2E, T + S epochs: {mean(_published(rows, 'T + S'))} dB")
    print(f"target: ours less published student at least +{TARGET_DB} dB")


def _published(rows: list[dict[str, Any]], epochs: str) -> list[float]:
    return differences(rows, "published student", f"published E2E, {epochs} epochs")


def _seconds(rows: list[dict[str, Any]], name: str) -> str:
    return mean([found[name]["seconds"] for found in rows if name in found], 0)


if __name__ == "__main__":
    Study("published", SCALES, train).main(__doc__, show)

"""Lensless masks: learned end to end, distilled, and fixed ones, each with a decoder trained alike, at equal sensor.

    python benchmarks/studies/lensless.py --out studies --real ../shared/data/images/kodak
    python benchmarks/studies/lensless.py --out studies --scale minutes --case "full well" --real ...

Training images are procedural; with --real all systems are measured on crops of the photographs in that folder too,
after every epoch.  The rows of a seed share initialisation, images, their order and noise.  E2E training has the
student's epochs (S), and those of teacher and student together (T + S), as every decoder of a fixed mask has.
Exposure and scene are the same for all masks, so that a mask of few openings gets as much less light.  The light is
what one native pixel behind an open mask collects of a white scene: its full well, a hundredth of it, and a hundred
frames of it.  `condition` is that of the transfer function: 1 where it is flat.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rows import Bench, Case, Study, at_epoch, differences, mean, names_of, table

from cidesign.data.colours import measured_colours
from cidesign.data.folders import Taking, measure_folder
from cidesign.hardware_profiles.lensless.schema import LenslessProfile
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.lensless.encoders.convolution import ConvolutionEncoder
from cidesign.modalities.lensless.merit import transfer_condition
from cidesign.modality import modality
from cidesign.models.system import ImagingSystem
from cidesign.physics.metrics import psnr_db, ssim

GREY, COLOUR = "lensless-imx250", "lensless-pi-hq"
LIGHT = {"full well": 1.0, "a hundredth": 0.01, "a hundred frames": 100.0}
REAL, REAL_SSIM, CONDITION = "real_psnr_db", "real_ssim", "condition"
REAL_CROPS = 24


def _cases(profile: str, side: int, images: int, validation: int, channels: int, epochs: int) -> dict[str, Case]:
    found = load_profile(profile)
    if not isinstance(found, LenslessProfile):
        raise SystemExit(f"{profile}: not a lensless camera")
    full_well = found.sensor.full_well_electrons.value
    return {
        name: Case(
            "lensless", side, images, validation, channels, epochs, {"photoelectrons_full_scale": part * full_well},
            profile,
        )
        for name, part in LIGHT.items()
    }  # fmt: skip


SCALES = {
    "smoke": _cases(GREY, 16, 32, 8, 4, 1),
    "minutes": _cases(GREY, 32, 256, 32, 8, 3),
    "cpu": _cases(COLOUR, 64, 960, 128, 16, 6),
}


def train(bench: Bench) -> None:
    """All rows of a case and seed."""
    ours = bench.settings()
    both = ours.changed(student_epochs=2 * bench.case.epochs)
    bench.row("E2E, S epochs", ours)
    bench.row("E2E, T + S epochs", both)
    teacher = bench.row("teacher", ours, "teacher", keep="distilled" not in bench.rows)
    bench.row("distilled", ours, guide=teacher, warm=True)
    for name, design in modality(ours.modality).fixed_designs(bench.maker(ours), bench.profile).items():
        bench.row(f"fixed: {name}", both, design=design)


@torch.no_grad()
def condition(system: ImagingSystem) -> Mapping[str, float]:
    """Of the transfer function."""
    encoder = system.encoder
    assert isinstance(encoder, ConvolutionEncoder)
    return {CONDITION: transfer_condition(encoder)}


def on_real(folder: Path) -> Callable[[ImagingSystem], Mapping[str, float]]:
    """Measures a system on crops of photographs: PSNR and SSIM; in colour where the sensor has colours."""
    stored: dict[tuple[int, int], torch.Tensor] = {}

    def crops(channels: int, side: int) -> torch.Tensor:
        if (channels, side) not in stored:
            if channels == 3:
                found = measured_colours(folder, side, REAL_CROPS, 0, frozenset()).images
            else:
                found = measure_folder(folder, side, REAL_CROPS, 0, frozenset(), Taking(False, False)).images[:, None]
            stored[channels, side] = torch.from_numpy(found.astype(np.float32) / np.iinfo(found.dtype).max)
        return stored[channels, side]

    @torch.no_grad()
    def measured(system: ImagingSystem) -> Mapping[str, float]:
        encoder = system.encoder
        assert isinstance(encoder, ConvolutionEncoder)
        truth = crops(encoder.channels, encoder.size[0])
        y = encoder(truth, torch.Generator().manual_seed(11))
        image = system.decoder(y, encoder).prediction.clamp(0, 1)
        scores = {REAL: float(psnr_db(image, truth).mean()), REAL_SSIM: float(ssim(image, truth).mean())}
        return {**scores, **condition(system)}

    return measured


def show(case: str, rows: list[dict[str, Any]]) -> None:
    """All rows, and what they gain over the best fixed mask."""
    value = REAL if any(at_epoch(rows, name, REAL, -1) for name in names_of(rows)) else "psnr_db"
    order = sorted(names_of(rows), key=lambda name: -float(np.mean(at_epoch(rows, name, value, -1))))
    best = next((name for name in order if name.startswith("fixed: ")), order[0])
    title = "photographs" if value == REAL else "procedural"
    head = ["row", "seeds", "procedural: PSNR / dB"]
    head += ["photographs: PSNR / dB", "SSIM"] if value == REAL else []
    lines = []
    for name in order:
        line = [name, str(sum(name in found for found in rows)), mean(at_epoch(rows, name, "psnr_db", -1))]
        if value == REAL:
            line += [mean(at_epoch(rows, name, REAL, -1)), mean(at_epoch(rows, name, REAL_SSIM, -1), 3)]
        less = "" if name == best else mean(differences(rows, name, best, value))
        lines.append([*line, mean(at_epoch(rows, name, CONDITION, -1), 0), less])
    table([*head, "condition", f"{title}: less {best} / dB"], lines)
    for other in ("E2E, S epochs", "E2E, T + S epochs"):
        if gains := differences(rows, "distilled", other, value):
            print(f"\n{case}: distilled less {other}: {mean(gains)} dB ({title})")


if __name__ == "__main__":
    Study("lensless", SCALES, train, condition, on_real).main(__doc__, show)

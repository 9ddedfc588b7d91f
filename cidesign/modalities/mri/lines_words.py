"""What it means, in words, that on a full scan fixed lines are better than those of the run."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from cidesign.modalities.mri.panels import METHODS
from cidesign.modalities.mri.record import LinesEntry

# Smaller differences are less than another slice would make.
TOLD_DB = 0.2


def lines_words(entries: Sequence[LinesEntry], own: str, run: Path | None) -> list[str]:
    """One line where the best image of fixed lines is more than 0.2 dB above the best of the `own` lines.

    `run`: the one whose lines these are; its command is then named, None of lines that are given.
    """
    scored = [entry for entry in entries if entry.psnr_db is not None]
    mine = [entry for entry in scored if entry.lines == own]
    others = [entry for entry in scored if entry.lines != own]
    if not mine or not others:
        return []
    best, beaten = (max(group, key=lambda entry: entry.psnr_db or 0.0) for group in (others, mine))
    gain = (best.psnr_db or 0.0) - (beaten.psnr_db or 0.0)
    if gain <= TOLD_DB:
        return []
    take = ""
    if run is not None:
        name, out = shlex.quote(best.lines), run.with_name(f"{run.name}-{best.lines.replace(' ', '-')}")
        command = f"cidesign design --fixed {name} --run {shlex.quote(str(run))} --out {shlex.quote(str(out))}"
        take = f"; take it with `{command}`"
    return [
        f"on this scan the lines of the {best.lines} are better by {gain:.2f} dB ({METHODS[best.reconstruction]}, "
        f"against {METHODS[beaten.reconstruction]} of the {own}'s lines, the best of each){take}"
    ]

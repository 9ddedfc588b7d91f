"""What it means, in words, that a fixed design is as good as the learnt one on the measured images."""

import re
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from cidesign.distill.comparison.compare import Row
from cidesign.distill.comparison.evaluate import held
from cidesign.distill.tasks.base import Column

# Smaller gains are less than another seed would change, whatever the number of images.
LEVEL_DB = 0.1


def fixed_words(rows: Sequence[Row], fixed: Collection[str], scenes: int, score: Column, run: Path) -> list[str]:
    """One line where the best of the `fixed` designs is level with the first system, or better; none elsewhere.

    Level: within two standard errors of the paired differences (over `scenes` independent ones), or within 0.1 dB.
    """
    first, others = rows[0], [row for row in rows[1:] if row.name in fixed]
    if not others:
        return []
    best = max(others, key=lambda row: row.images[score.metric])
    found = held(best.name, first.scores, best.scores, scenes)
    gain, lost, won = found.difference, found.wins == "classical", found.wins == "network"
    error = "" if found.standard_error is None else f", standard error {found.standard_error:.{score.digits}f}"
    small = score.unit == "dB" and abs(gain) < LEVEL_DB
    if won and not small:
        return []
    verdict = "is better" if lost and not small else "is as good"
    unit = f" {score.unit}" if score.unit else ""
    folder = shlex.quote(str(run.with_name(f"{run.name}-{slug(best.name)}")))
    return [
        f"on these images {best.name} {verdict}, a design that needs no training ({first.name} - {best.name}: "
        f"{gain:+.{score.digits}f}{unit}{error}); take it with `cidesign design --fixed {shlex.quote(best.name)} --run "
        f"{shlex.quote(str(run))} --out {folder}`, and train a decoder for it with `cidesign distill --design {folder}`"
    ]


def slug(name: str) -> str:
    """A name as part of a folder's: lower-case letters, digits, and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")

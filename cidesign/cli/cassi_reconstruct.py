"""What `reconstruct` does for a coded-aperture bench: values for --json, and a text for people."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cidesign.cli.output import table

if TYPE_CHECKING:
    from cidesign.runs import CassiRun


def reconstruct_cassi(
    run: "CassiRun", capture: Path, calibration: Path, folder: Path, *, accept_failed: bool = False, force: bool = False
) -> tuple[dict[str, Any], str]:
    """Reconstruct the scene of a capture with the student and baselines, and write cubes, pictures and a record."""
    from cidesign.files import refuse_existing
    from cidesign.reconstruct import cassi
    from cidesign.reconstruct.cassi_outcome import write_cube_outcome
    from cidesign.reconstruct.outcome import RECORD_FILE

    refuse_existing(folder, force)
    outcome = cassi.reconstruct_cassi(run, capture, calibration, accept_failed)
    write_cube_outcome(folder, outcome, force)
    value = {"folder": str(folder), "file": str(folder / RECORD_FILE), **outcome.record}
    notes = "\n".join(f"note: {text}" for text in outcome.remarks)
    return value, f"{folder}: {outcome.heading}\n{table(outcome.rows, outcome.header)}\n{notes}"

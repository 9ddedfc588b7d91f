"""What `reconstruct` does for a coded-aperture bench: values for --json, and a text for people."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cidesign.runs import CassiRun


def reconstruct_cassi(
    run: "CassiRun", capture: Path, calibration: Path, folder: Path, *, accept_failed: bool = False, force: bool = False
) -> tuple[dict[str, Any], str]:
    """Reconstruct the scene of a capture with the student and baselines, and write cubes, pictures and a record."""
    from cidesign.cli.reconstruct import shown_outcome
    from cidesign.files import refuse_existing
    from cidesign.modalities.cassi import reconstruct as cassi
    from cidesign.modalities.cassi.outcome import write_cube_outcome

    refuse_existing(folder, force)
    outcome = cassi.reconstruct_cassi(run, capture, calibration, accept_failed)
    write_cube_outcome(folder, outcome, force)
    return shown_outcome(outcome, folder)

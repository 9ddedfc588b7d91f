"""What every reconstruction holds its capture against, and what all their records say; without torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cidesign import __version__
from cidesign.calibration.base import Recorded
from cidesign.calibration.verify import Verification, require_passed
from cidesign.checks import Check, Status
from cidesign.reconstruct.record import SCHEMA_VERSION
from cidesign.records import now_utc
from cidesign.runs import Run

# How a check that is no fault is remarked on, by its status.
_REMARKS: dict[Status, str] = {"corrected": "{name}: {text}", "not checked": "{name}: not checked: {text}"}


def common_entries(run: Run, capture: str, notes: Sequence[str]) -> dict[str, object]:
    """What the records of all reconstructions say, whatever was captured; each note once."""
    return entries_of(run.settings.modality, str(run.known_as), run.design.design_digest, capture, notes)


def entries_of(
    modality: str, decoder: str, design_digest: str, capture: str, notes: Sequence[str]
) -> dict[str, object]:
    """The same where a file, and no run, holds the decoder."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "reconstruction",
        "modality": modality,
        "cidesign_version": __version__,
        "created_utc": now_utc(),
        "run": decoder,
        "design_digest": design_digest,
        "capture": capture,
        "notes": list(dict.fromkeys(notes)),
    }


@dataclass
class Gate:
    """All checks so far, and what is to be said of them."""

    remarked: tuple[Status, ...]
    capture: Recorded
    accept_failed: bool
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def require(self, checks: list[Check]) -> None:
        """Raise `LimitError` where one of these failed."""
        self.checks += checks
        found = Verification(score=None, score_meaning="checks of this capture", checks=checks)
        self.notes += require_passed(self.capture.path, found, self.accept_failed)
        self.notes += [
            _REMARKS[check.status].format(name=check.name, text=check.text)
            for check in checks
            if check.status in self.remarked
        ]

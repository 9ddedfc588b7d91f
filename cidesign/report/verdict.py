"""The first line of a report: what was designed, whether it may be built, and what limits it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from cidesign.calibration.verify import Verdict
from cidesign.checks import WORDS, Check, Limit, binding, not_checked
from cidesign.designs.checking import Listener, check_path
from cidesign.designs.folder import is_design_folder
from cidesign.errors import CidesignError, LimitError
from cidesign.export.family import family_of
from cidesign.files import JsonObject
from cidesign.modality import modality
from cidesign.runs import Run
from cidesign.text import counted, joined

SAID: dict[Verdict, str] = {
    "passed": "PASSED, it may be built",
    "failed": "FAILED, it must not be built as it is",
    "not verified": "NOT VERIFIED",
}
# What was not checked, by name; --json counts all.
MOST_NAMED = 3


@dataclass(frozen=True)
class BuildVerdict:
    """What the checks of a design, and of its device files where there are some, say of building it.

    `limit` is the one of which most is taken; None where the modality knows of none.
    """

    designed: str
    checks: tuple[Check, ...]
    limit: Limit | None

    @property
    def verdict(self) -> Verdict:
        """Failed where any check did; not verified where one could not be made, or there is none; else passed."""
        found = {check.status for check in self.checks}
        if "failed" in found:
            return "failed"
        return "not verified" if "not checked" in found or not found else "passed"

    @property
    def line(self) -> str:
        """All of it in one line."""
        why = "" if self.limit is None else f"; what limits it: {self.limit}"
        return f"{self.designed}: {SAID[self.verdict]} ({self._because()}){why}"

    def _because(self) -> str:
        failed, unseen = ([one for one in self.checks if one.status == status] for status in ("failed", "not checked"))
        if failed:
            more = f", and {len(failed) - 1} more" if failed[1:] else ""
            return f"{failed[0].text}{more}"
        if unseen:
            names = [one.name for one in unseen]
            others = [f"{len(names) - MOST_NAMED} more"] if names[MOST_NAMED:] else []
            return f"not checked: {joined([*names[:MOST_NAMED], *others], 'and')}"
        passed = sum(check.status == "passed" for check in self.checks)
        return f"{counted(passed, 'check')} passed" if self.checks else "nothing was checked"

    def value(self) -> JsonObject:
        """The same for --json."""
        limit = self.limit
        counts = Counter(check.status for check in self.checks)
        return {
            "designed": self.designed,
            "verdict": self.verdict,
            "verdict_line": self.line,
            "checks": {WORDS.get(status, status): number for status, number in counts.items()},
            "limit": None if limit is None else {**limit.model_dump(), "share": limit.share},
        }


def build_verdict(run: Run) -> BuildVerdict:
    """The verdict on the design of a run, and on the exports in its folder, which are read again."""
    settings, kind = run.settings, modality(run.settings.modality)
    given = "" if settings.design is None else "a given design, "
    task = "" if settings.task == "reconstruct" else f"; task {settings.task}"
    designed = f"{given}{kind.described(settings, run.profile)}{task}, for {run.profile.id}"
    folder = run.known_as if is_design_folder(run.known_as) else run.path
    return BuildVerdict(designed, tuple(_checks(run, folder)), binding(kind.limits(run)))


class _Gathering(Listener):
    def __init__(self) -> None:
        self.checks: list[Check] = []

    def found(self, path: Path, check: Check) -> None:
        """A finding, as it is made: those before an error count too."""
        self.checks.append(check)


def _checks(run: Run, folder: Path) -> list[Check]:
    heard = _Gathering()
    try:
        exports = check_path(folder, listener=heard).exports
    except CidesignError as error:
        # What a check of a run or an export raises is what is wrong with it.
        of_limit = isinstance(error, LimitError)
        name, fault = ("limits of the device", "limit") if of_limit else ("device files", "file")
        return [*heard.checks, Check(name=name, status="failed", text=str(error), fault=fault)]
    left = family_of(run.design).left_to_files
    if left and not exports:
        heard.checks.append(not_checked(left, "the device files show it: `cidesign export` writes and checks them"))
    return heard.checks

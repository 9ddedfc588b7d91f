"""What points take: memory and disk from the shapes of their networks, time from the steps of runs like them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cidesign.distill.needs import Footprint, memories_of
from cidesign.distill.run_folder import METRICS_FILE
from cidesign.errors import CidesignError
from cidesign.files import canonical_json
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run
from cidesign.sweep.folder import Sweep
from cidesign.sweep.point import Point
from cidesign.sweep.resolve import Resolved

# Records, metrics, log and the design of a run, beside its weights.
RECORDS_BYTES = 200_000
# Settings that neither shapes nor steps depend on, beside all numbers that are not whole.
NOT_OF_SHAPES = ("seed", "preset", "data", "teacher", "design", "recipe", "augmentation", "schedule", "threads")
NOT_OF_STEPS = (
    *NOT_OF_SHAPES, "images", "validation_images", "teacher_epochs", "student_epochs", "ladder", "only_teacher",
    "start", "strategy", "losses", "weighting", "optics_start", "exploring", "classes",
)  # fmt: skip


class Takes(NamedTuple):
    """Of one run: memory at its peak (None: its decoder does not tell by its shapes), what it keeps on disk when it is
    done, and what checkpoints take there until then."""

    memory_bytes: int | None
    kept_bytes: int
    checkpoint_bytes: int


def takes_of(resolved: Mapping[str, Resolved], points: Iterable[Point]) -> dict[str, Takes]:
    """What each point takes, by name; worked out once for all points of the same shapes."""
    known: dict[bytes, Takes] = {}
    found = {}
    for point in points:
        one = resolved[point.digest]
        key = _shape(one.settings, NOT_OF_SHAPES) + one.profile.digest.encode()
        if key not in known:
            known[key] = _takes(one)
        found[point.name] = known[key]
    return found


def _takes(one: Resolved) -> Takes:
    try:
        found = Footprint(one.settings, one.profile, None if one.teacher is None else one.teacher.record)
        host = memories_of(found)[0].needed_bytes
    except CidesignError:
        raise
    except Exception:  # another package's decoder may fail in any way where there are no numbers
        return Takes(None, RECORDS_BYTES, RECORDS_BYTES)
    weights = found.copied_bytes() // 4
    # Student, and its teacher or a copy of the stored one; a new checkpoint is written beside the old one.
    return Takes(host, 2 * weights + RECORDS_BYTES, 2 * found.copied_bytes())


def _shape(settings: TrainingSettings, without: tuple[str, ...]) -> bytes:
    """What shapes depend on; of numbers that are not whole at most whether they are 0."""
    values: dict[str, Any] = {}
    for name, value in settings.model_dump(mode="json").items():
        if name not in without:
            values[name] = bool(value) if isinstance(value, float) else value
    return canonical_json(values)


class Pace:
    """Seconds per step of the runs of a sweep, to tell how long others like them will take."""

    def __init__(self, sweep: Sweep | None) -> None:
        self._seconds: dict[bytes, list[float]] = {}
        if sweep is None:
            return
        for point in sweep.points:
            measured = _measured(sweep, point)
            if measured is not None:
                self._seconds.setdefault(measured[0], []).append(measured[1])

    def seconds(self, settings: TrainingSettings, steps: int) -> float | None:
        """How long so many steps take; None where nothing like it was trained here yet."""
        found = self._seconds.get(_shape(settings, NOT_OF_STEPS))
        return None if not found else steps * sum(found) / len(found)


def _measured(sweep: Sweep, point: Point) -> tuple[bytes, float] | None:
    lines = metrics_of(sweep, point)
    if not lines:
        return None
    try:
        settings = Run(sweep.run_path(point)).settings
    except CidesignError:
        return None
    steps = len(lines) * (settings.images // settings.batch)
    return _shape(settings, NOT_OF_STEPS), float(lines[-1]["seconds"]) / max(steps, 1)


def metrics_of(sweep: Sweep, point: Point) -> list[dict[str, Any]]:
    """The finished epochs of a point, as in its `metrics.jsonl`; a line that is being written is left out."""
    try:
        text = (sweep.run_path(point) / METRICS_FILE).read_text()
    except (OSError, UnicodeDecodeError):
        return []
    found = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and isinstance(value.get("seconds"), int | float):
            found.append(value)
    return found

"""One point of a sweep as it is recorded: what is trained, under which name, and what it needs."""

import re
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from cidesign.records import Digest, Strict
from cidesign.run_settings import shown_value

# The folder of a point lies in one of these.
POINTS, TEACHERS = "points", "teachers"
# Of a digest, what a name ends with; and the most letters before it.
DIGEST_LETTERS, MOST_LETTERS = 8, 60
PointName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}$")]
Kind = Literal["run", "teacher", "e2e", "fixed"]


class Point(Strict):
    """One run of a sweep.

    `kind`: a `run` of the grid, a stored `teacher` that runs share, `e2e` or a `fixed` design that runs are held
    against.  `values`: its settings that are varied, by which tables group.  `settings` are all that are asked for by
    name, beside `profile`, `preset`, a `design` (a folder or file) and a `teacher` (a run, outside the sweep);
    `fixed` names the fixed design.  `needs`: the points that must be done first, a run's stored teacher; `beside`: the
    names of the points that a run is held against.  `digest` stands for all that decides the result but the machine.
    `steps` and `epochs` are those of all its training.
    """

    name: PointName
    kind: Kind
    values: dict[str, JsonValue]
    profile: str
    profile_digest: Digest
    preset: str
    settings: dict[str, JsonValue]
    design: str | None = None
    teacher: str | None = None
    fixed: str | None = None
    needs: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    digest: Digest
    steps: int
    epochs: int

    @property
    def place(self) -> str:
        """Where its run folder is, below the folder of the sweep."""
        return f"{TEACHERS if self.kind == 'teacher' else POINTS}/{self.name}"


def name_of(kind: Kind, fixed: str | None, values: dict[str, JsonValue], digest: str) -> str:
    """`seed-1_side-32-3f2a91c0`: what is varied, cut where it is long, and the beginning of the digest."""
    words = [] if kind == "run" else [kind if fixed is None else f"{kind}-{fixed}"]
    words += [f"{setting}-{_short(value)}" for setting, value in values.items()]
    readable = "_".join(_safe(word) for word in words)[:MOST_LETTERS].rstrip("-_.+") or kind
    return f"{readable}-{digest[:DIGEST_LETTERS]}"


def described(kind: Kind, fixed: str | None, values: dict[str, JsonValue]) -> str:
    """What a point is, for people: `seed 1, side 32`."""
    head = {"run": "", "teacher": "teacher", "e2e": "E2E", "fixed": f"fixed design {fixed}"}[kind]
    words = [head, *(f"{setting} {shown_value(value)}" for setting, value in values.items())]
    return ", ".join(word for word in words if word) or "the point of [base] alone"


def _short(value: JsonValue) -> str:
    if isinstance(value, list):
        return ".".join(_short(one) for one in value)
    if isinstance(value, dict):
        return ".".join(f"{key}.{_short(one)}" for key, one in value.items())
    # Of a path the last word, which says most.
    return f"{value:g}" if isinstance(value, float) else str(value).rstrip("/").rpartition("/")[2]


def _safe(word: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+]+", "-", word).strip("-.+")

"""What a sweep is asked for: a TOML file of sections, each typed and checked where it is read."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from cidesign.errors import FileError, InputError
from cidesign.files import canonical_json, read_limited
from cidesign.run_settings import Threads, shown_value, unknown, validated

MAX_SPEC_BYTES = 1_000_000
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Retries = Annotated[int, Field(ge=0, le=100)]
Word = Annotated[str, Field(min_length=1, max_length=200)]
Settings = dict[Word, JsonValue]


class Section(BaseModel):
    """A frozen section that refuses names it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Range(Section):
    """Numbers from `low` to `high`, both of them possible: in steps of `step`, or on a logarithmic scale where `log`.

    Whole ones where both limits are written so (1, and not 1.0).
    """

    low: int | float
    high: int | float
    log: bool = False
    step: Annotated[int | float, Field(gt=0, allow_inf_nan=False)] | None = None

    @property
    def whole(self) -> bool:
        """Whether its numbers are whole ones."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low {self.low:g}, high {self.high:g}: low must be below high")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low:g}: a logarithmic scale begins above 0")
        if self.step is None:
            return self
        if self.log:
            raise ValueError(f"step {self.step:g}: a logarithmic scale has no steps; leave one of them out")
        if self.whole and not isinstance(self.step, int):
            raise ValueError(f"step {self.step:g}: low and high are whole, so the step must be")
        steps = (self.high - self.low) / self.step
        if abs(steps - round(steps)) > 1e-8 * max(steps, 1.0):
            raise ValueError(f"step {self.step:g}: does not lead from low {self.low:g} to high {self.high:g}")
        return self


class Search(Section):
    """Points that are proposed one after another: `trials` of them, for the best `metric`, of a `space`.

    A setting of the space has a list of values to choose from, or a range.  Each proposal is trained with all
    combinations of the grid, and judged by the mean.  `metric` None: the score of the task; `direction` None: the
    better one.
    """

    trials: Count
    space: dict[Word, list[JsonValue] | Range] = Field(min_length=1)
    metric: Word | None = None
    direction: Literal["maximize", "minimize"] | None = None

    @field_validator("space", mode="before")
    @classmethod
    def _each_by_its_kind(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        try:
            return {name: _space(name, value) for name, value in raw.items()}
        except InputError as error:
            raise ValueError(str(error)) from error


def _space(name: str, value: object) -> list[JsonValue] | Range:
    """The values of a setting that is searched; raises `InputError`."""
    if isinstance(value, Range):
        return value
    if isinstance(value, Mapping):
        try:
            return validated(Range, value)
        except InputError as error:
            raise InputError(f"space {name}: {error}") from error
    if not isinstance(value, list):
        needed = "a list of values is needed, or a range as in {low = 1e-4, high = 1e-2, log = true}"
        raise InputError(f"space {name} {shown_value(value)}: {needed}")
    if not value:
        raise InputError(f"space {name}: its list of values is empty; give at least one")
    if twice := _twice(value):
        raise InputError(f"space {name} {shown_value(twice[0])}: stands in its list twice")
    return value


def _twice(values: Sequence[JsonValue]) -> list[JsonValue]:
    """Values that stand in a list before."""
    seen = [canonical_json(value) for value in values]
    return [value for number, value in enumerate(values) if seen[number] in seen[:number]]


class Compare(Section):
    """What each point of the grid is held against: end-to-end training, and all or some of the fixed designs."""

    e2e: bool = False
    fixed: bool | Annotated[tuple[Word, ...], Field(strict=False)] = False


class Jobs(Section):
    """How often a point that failed is tried again, and how many threads each run computes with.

    `threads` None: as many as are fastest, up to the share of the machine that a job has.
    """

    retries: Retries = 1
    threads: Threads | None = None


class Slurm(Section):
    """What each task of an array asks SLURM for; `throttle`: how many run at once, `extra`: other options of sbatch."""

    minutes: Count
    partition: Word | None = None
    account: Word | None = None
    cpus: Count = 1
    memory_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    gpus: Annotated[int, Field(ge=0, le=1024)] = 0
    throttle: Count | None = None
    extra: dict[Word, str | int] = Field(default_factory=dict)


class SweepSpec(Section):
    """A sweep: settings that all runs share, and lists whose combinations are its points.

    `teacher` is None where every run trains its own teacher; else points share stored ones, which have the settings of
    their points but for these.
    """

    base: Settings
    grid: dict[Word, Annotated[tuple[JsonValue, ...], Field(strict=False)]] = Field(default_factory=dict)
    search: Search | None = None
    compare: Compare = Field(default_factory=Compare)
    teacher: Settings | None = None
    jobs: Jobs = Field(default_factory=Jobs)
    slurm: Slurm | None = None

    @model_validator(mode="after")
    def _check_grid(self) -> Self:
        if not self.grid and self.search is None:
            raise ValueError("[grid] is empty: name at least one setting with its values, as in seed = [1, 2, 3]")
        searched = self.search.space if self.search is not None else {}
        for name, values in self.grid.items():
            if not values:
                raise ValueError(f"[grid] {name}: its list of values is empty; give at least one")
            if twice := _twice(values):
                raise ValueError(f"[grid] {name} {shown_value(twice[0])}: stands in its list twice")
            if name in searched:
                raise ValueError(f"{name}: is in [grid] and in [search]; leave it out of one of them")
        for name in (*self.grid, *searched):
            if name in self.base:
                raise ValueError(f"{name}: is in [base] and varied; leave it out of [base]")
        if not {"profile", "design"} & {*self.base, *self.grid}:
            raise ValueError("[base] profile: is needed, for example profile = 'dlp4500'")
        return self

    @model_validator(mode="after")
    def _check_teacher(self) -> Self:
        varied = {*self.base, *self.grid, *(self.search.space if self.search is not None else ())}
        if self.teacher is not None and "teacher" in varied:
            raise ValueError(
                "teacher: is named in [base] or varied, and [teacher] trains others; leave one of them out"
            )
        if self.compare.e2e and "design" in varied:
            raise ValueError("[compare] e2e: the optics are given (design), so nothing is learnt end to end")
        if self.compare.fixed and "design" in varied:
            raise ValueError("[compare] fixed: the optics are given (design); leave it out")
        return self

    @property
    def size(self) -> int:
        """How many combinations the grid has; proposed points and what is compared come on top."""
        return math.prod(len(values) for values in self.grid.values()) if self.grid else 0


_SECTIONS: Mapping[str, type[Section]] = {"search": Search, "compare": Compare, "jobs": Jobs, "slurm": Slurm}


def read_spec(path: Path) -> SweepSpec:
    """The spec in a TOML file; raises `FileError` for a file that cannot be read, and `InputError` for what it asks."""
    try:
        raw = tomllib.loads(read_limited(path, "sweep spec", MAX_SPEC_BYTES).decode())
    except ValueError as error:  # not TOML, or not text
        raise FileError(f"{path}: this sweep spec is not sound TOML ({error})") from error
    try:
        return spec_of(raw)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def spec_of(raw: Mapping[str, Any]) -> SweepSpec:
    """The spec in a mapping of sections; raises `InputError`, one line."""
    for name, section in raw.items():
        if name not in SweepSpec.model_fields:
            raise InputError(unknown(f"[{name}]", [f"[{known}]" for known in SweepSpec.model_fields]))
        if not isinstance(section, Mapping):
            raise InputError(f"{name}: is a section; write [{name}] and its settings below")
    if "base" not in raw:
        raise InputError("[base] is missing: the settings that all runs share, profile among them")
    typed: dict[str, Any] = dict(raw)
    for name, kind in _SECTIONS.items():
        if name in raw:
            typed[name] = _section(name, kind, raw[name])
    return validated(SweepSpec, typed)


def _section(name: str, kind: type[Section], values: Mapping[str, Any]) -> Section:
    try:
        return validated(kind, values)
    except InputError as error:
        raise InputError(f"[{name}] {error}") from error

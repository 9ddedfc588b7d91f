"""What a point trains: its settings, checked for its device as `cidesign distill` checks them, design and teacher."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import JsonValue

from cidesign.designs.fixed import fixed_designs
from cidesign.designs.given import Given, read_given
from cidesign.distill.given import GivenDesign
from cidesign.distill.loop import epochs_of, phases_of
from cidesign.distill.presets import settings_for
from cidesign.distill.teachers import AUTO, NONE, StoredTeacher, chosen_settings, misfit
from cidesign.errors import FileError, InputError
from cidesign.files import canonical_json, sha256_bytes
from cidesign.hardware_profiles.loader import load_profile
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.pattern import Design
from cidesign.run_settings import TrainingSettings

# What is chosen for the machine that trains, unless it is asked for.
OF_MACHINES = ("device", "precision", "threads")


class Asked(NamedTuple):
    """What is asked of one training: settings by name, beside what has an argument of its own."""

    profile: str | None
    preset: str
    design: str | None
    teacher: str | None
    settings: dict[str, JsonValue]


class Resolved(NamedTuple):
    """Complete settings, and what they are for; `teacher_epochs` are its own, or those of its stored teacher."""

    settings: TrainingSettings
    profile: HardwareProfile
    design: Design | None
    design_digest: str | None
    teacher: StoredTeacher | None
    teacher_epochs: int

    @property
    def epochs(self) -> int:
        """Of all phases."""
        return sum(epochs_of(self.settings, phase) for phase in phases_of(self.settings))

    @property
    def steps(self) -> int:
        """Of all phases."""
        return self.epochs * (self.settings.images // self.settings.batch)

    def digest(self, asked: Asked, kind: str, *beside: str | None) -> str:
        """Stands for everything that decides the result but the machine; settings as the defaults say do not count."""
        fields = type(self.settings).model_fields
        left_out = {"design", "teacher", *(name for name in OF_MACHINES if name not in asked.settings)}
        stored = self.settings.model_dump(mode="json", exclude=left_out, exclude_defaults=True)
        weights = None if self.teacher is None else self.teacher.record.weights_digest
        kept = {name: value for name, value in stored.items() if name in fields}
        parts = [kind, self.profile.digest, self.design_digest, weights, *beside]
        return sha256_bytes(canonical_json([kept, *parts]))


class Resolver:
    """Settings of many points; what differs in the seed alone is worked out once."""

    def __init__(self) -> None:
        self.profile = cache(load_profile)
        self._given = cache(_given)
        self._known: dict[bytes, Resolved] = {}
        self._fixed: dict[bytes, dict[str, Design]] = {}

    def resolved(
        self,
        asked: Asked,
        only_teacher: bool = False,
        needed: "Resolved | None" = None,
        fixed: GivenDesign | None = None,
    ) -> Resolved:
        """The settings of a training; `needed` are those of the stored teacher that it will take, which the sweep
        trains, `fixed` its design.  Raises as `cidesign.distill` does."""
        rest = {name: value for name, value in asked.settings.items() if name != "seed"}
        needed_key = b"" if needed is None else canonical_json(needed.settings.model_dump(mode="json"))
        name = None if fixed is None else (fixed.name, fixed.design.design_digest)
        key = canonical_json([*asked[:4], rest, only_teacher, name]) + needed_key
        if key not in self._known:
            self._known[key] = self._worked_out(asked, only_teacher, needed, fixed)
        found, seed = self._known[key], asked.settings.get("seed")
        return found if seed is None else found._replace(settings=found.settings.changed(seed=seed))

    def fixed_designs(self, resolved: Resolved) -> dict[str, Design]:
        """The designs that are not learnt, by name; some are drawn at random, by the seed."""
        key = canonical_json(resolved.settings.model_dump(mode="json")) + resolved.profile.digest.encode()
        if key not in self._fixed:
            self._fixed = {key: fixed_designs(resolved.settings, resolved.profile)}
        return self._fixed[key]

    def _worked_out(
        self, asked: Asked, only_teacher: bool, needed: Resolved | None, fixed: GivenDesign | None
    ) -> Resolved:
        given = None if asked.design is None else self._given(asked.design, asked.profile)
        if given is None and asked.profile is None:
            raise InputError("profile: is needed, for example profile = 'dlp4500'")
        profile = given.profile if given is not None else self.profile(str(asked.profile))
        design = fixed if fixed is not None else None if given is None else given.given
        values: Mapping[str, Any] = asked.settings
        _require_data(values.get("data"))
        _require_named(asked)
        if needed is not None:
            settings = settings_for(profile, asked.preset, design, teacher="stored", **values)
            reason = misfit(needed.settings, needed.profile, settings, profile)
            if reason is not None:
                raise InputError(f"the teacher that [teacher] makes does not fit: it {reason}")
            teacher, epochs = None, needed.settings.teacher_epochs
        else:
            chosen = chosen_settings(profile, asked.preset, design, asked.teacher or NONE, only_teacher, values)
            settings, teacher = chosen.settings, chosen.teacher
            epochs = settings.teacher_epochs if teacher is None else teacher.record.epochs
        found = None if design is None else design.design
        return Resolved(settings, profile, found, None if found is None else found.design_digest, teacher, epochs)


def _given(design: str, profile: str | None) -> Given:
    return read_given(Path(design), None if profile is None else load_profile(profile))


def _require_named(asked: Asked) -> None:
    """Raise `InputError` for a choice that would be left to what is found on the machine, or to a single run."""
    ways = {
        "teacher": "name a run, or write a section [teacher]",
        "ladder": "put the teachers into [grid], as in ladder = ['real', '4-bit']",
        "strategy": "leave it out, and write e2e = true below [compare]",
    }
    for name, way in ways.items():
        if (asked.teacher if name == "teacher" else asked.settings.get(name)) == AUTO:
            raise InputError(f"{name} auto: a sweep takes what its spec says; {way}")


def _require_data(data: object) -> None:
    """Raise `FileError` for images that are not there: every run of the sweep would find that out by itself."""
    if isinstance(data, str) and data and data != "procedural" and not Path(data).exists():
        raise FileError(f"data {data}: no such file or folder; name images that are there, or leave it out")

"""Finding and reading profiles; what is wrong in a file is said with the field's path, value and what is allowed."""

import copy
import difflib
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar, get_args

from cidesign.errors import FileError, InputError
from cidesign.files import read_limited
from cidesign.hardware_profiles.dmd.controllers import require_known
from cidesign.plugins import known_names

if TYPE_CHECKING:  # pydantic takes longer to import than `profiles list` takes to run
    from pydantic import BaseModel, ValidationError

    from cidesign.hardware_profiles.dmd.schema import DmdProfile
    from cidesign.hardware_profiles.mri.schema import MriProfile
    from cidesign.hardware_profiles.schema import HardwareProfile

_P = TypeVar("_P", bound="BaseModel")
MAX_PROFILE_BYTES = 1_000_000
_FOLDER = Path(__file__).parent


class ProfileEntry(NamedTuple):
    """One line of the list of known profiles."""

    id: str
    kind: str
    name: str
    path: Path


def shipped_profiles() -> list[ProfileEntry]:
    """The profiles that come with the package, in order of their id; the files are not validated here."""
    entries = []
    for path in sorted(_FOLDER.glob("*/*.toml")):
        raw = _parse(path)
        entries.append(ProfileEntry(str(raw["id"]), str(raw["kind"]), str(raw["name"]), path))
    return sorted(entries)


def load_profile(name_or_path: str) -> "HardwareProfile":
    """Load a shipped profile by its id, or a user's own TOML file by its path.

    Raises `InputError` for an unknown name (with the nearest ones) and `FileError` for a file that is wrong.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml" or "/" in name_or_path or "\\" in name_or_path:
        return read_profile(path)
    known = {entry.id: entry.path for entry in shipped_profiles()}
    if name_or_path in known:
        return read_profile(known[name_or_path])
    near = difflib.get_close_matches(name_or_path.lower(), known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
    raise InputError(
        f"unknown profile {name_or_path!r}: {hint}; `cidesign profiles list` shows all, "
        "and the path of your own .toml file works too"
    )


def as_profile(asked: "str | HardwareProfile", profile_type: "type[_P]", described: str) -> "_P":
    """A profile of one type, by its name or as it is; raises `InputError` when it is one of another kind.

    `described` is what is needed: `a micromirror device`.
    """
    profile = load_profile(asked) if isinstance(asked, str) else asked
    if not isinstance(profile, profile_type):
        from cidesign.hardware_profiles import schema

        fitting = (entry for entry in shipped_profiles() if issubclass(schema.profile_type(entry.kind), profile_type))
        known = ", ".join(entry.id for entry in fitting)
        raise InputError(
            f"{profile.id} is a profile of kind {profile.kind}; {described} is needed here, such as {known}"
        )
    return profile


def load_dmd(name_or_path: str) -> "DmdProfile":
    """Load the profile of a micromirror device; raises `InputError` when the name is that of another kind."""
    from cidesign.hardware_profiles.dmd.schema import DmdProfile

    return as_profile(name_or_path, DmdProfile, "a micromirror device")


def shipped_dmds() -> "list[DmdProfile]":
    """The shipped profiles of micromirror devices, in order of their id."""
    return [load_dmd(str(entry.path)) for entry in shipped_profiles() if entry.kind == "dmd"]


def load_mri(name_or_path: str) -> "MriProfile":
    """Load the profile of a scanner; raises `InputError` when the name is that of another kind."""
    from cidesign.hardware_profiles.mri.schema import MriProfile

    return as_profile(name_or_path, MriProfile, "a scanner")


def read_profile(path: Path) -> "HardwareProfile":
    """Read and validate a profile file; raises `FileError` that names the first wrong field and how many there are."""
    from cidesign.hardware_profiles.dmd.schema import DmdProfile

    profile = validate_profile(_parse(path), str(path))
    if isinstance(profile, DmdProfile):
        # Only here: a run whose controller came in a package that is not installed can still be opened.
        require_known(profile.controller.value, path)
    return profile


def validate_profile(raw: Mapping[str, object], where: str) -> "HardwareProfile":
    """Validate a profile that was read from `where` (a TOML file, or the copy in a run folder)."""
    from pydantic import ValidationError

    from cidesign.hardware_profiles.schema import GROUP, KINDS, SCHEMA_VERSION, profile_type

    version = raw.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise FileError(
            f"{where}: schema_version {version} is newer than this program knows ({SCHEMA_VERSION}); update cidesign"
        )
    kind = raw.get("kind")
    known = known_names(KINDS, GROUP)
    if not isinstance(kind, str) or kind not in known:
        raise FileError(f"{where}: kind is {kind!r}; allowed: {', '.join(sorted(known))}")
    found = profile_type(kind)
    try:
        return found.model_validate(raw)
    except ValidationError as error:
        raise FileError(f"{where}: {_first_problem(error, found)}") from error


def _parse(path: Path) -> dict[str, object]:
    content = read_limited(path, "profile", MAX_PROFILE_BYTES)
    try:
        return copy.deepcopy(_read(content))
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: this profile is not valid TOML ({error})") from error


@lru_cache(maxsize=64)
def _read(content: bytes) -> dict[str, object]:
    """A profile's file as nested values; all shipped ones are looked at for the name of one."""
    return tomllib.loads(content.decode())


def _first_problem(error: "ValidationError", model: "type[BaseModel]") -> str:
    # A misspelt field is reported twice, as unknown and as missing; the unknown one says what to mend.
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    path = ".".join(str(part) for part in problem["loc"]) or "the profile"
    more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
    if problem["type"] == "extra_forbidden":
        allowed = sorted(_fields_at(model, problem["loc"][:-1]))
        near = difflib.get_close_matches(str(problem["loc"][-1]), allowed, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        return f"{path}: unknown field; {hint}allowed here: {', '.join(allowed)}{more}"
    if problem["type"] == "missing":
        return f"{path}: this value is missing; add it as {{ value = ..., source = ..., confidence = ... }}{more}"
    shown = repr(problem["input"])
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return f"{path}: {shown} is not allowed: {problem['msg']}{more}"


def _fields_at(model: "type[BaseModel]", location: tuple[int | str, ...]) -> set[str]:
    """The field names that the schema allows at a location of a validation error."""
    from pydantic import BaseModel

    def models_in(annotation: object) -> list[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return [annotation]
        return [found for part in get_args(annotation) for found in models_in(part)]

    current: list[type[BaseModel]] = [model]
    for part in location:
        nested = [
            found
            for candidate in current
            if part in candidate.model_fields
            for found in models_in(candidate.model_fields[str(part)].annotation)
        ]
        current = nested or current  # keys of dictionaries and list positions do not change the model
    return {name for candidate in current for name in candidate.model_fields}

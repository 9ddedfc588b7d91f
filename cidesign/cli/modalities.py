"""Which module serves a modality's bench commands: `simulate`, `calibrate`, `reconstruct` and the plan."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from cidesign.errors import InputError
from cidesign.runs import CassiRun, MriRun, Run, SinglePixelRun

Verb = Literal["simulate", "calibrate", "reconstruct", "plan"]
_KINDS: dict[str, tuple[str, type[Run]]] = {
    "single-pixel": ("spc", SinglePixelRun),
    "cassi": ("cassi", CassiRun),
    "mri": ("mri", MriRun),
}
_MODULES = {("cassi", "reconstruct"): "cidesign.cli.cassi_reconstruct"}


def bench_function(run: Run, verb: Verb) -> tuple[Run, Callable[..., Any]]:
    """The run as one of its modality, and the function that does `verb` for it."""
    short, kind = _KINDS[run.settings.modality]
    module = importlib.import_module(_MODULES.get((short, verb), f"cidesign.cli.{short}_capture"))
    function: Callable[..., Any] = getattr(module, f"{verb}_{short}")
    return kind(run.path), function


def read_bench_file(path: Path | None) -> tuple[dict[str, Any], dict[str, float]]:
    """The tables of a `bench.toml`: [settings] (names as with --set) and [faults] (name = strength).

    Raises `InputError` for a file that is no such TOML.
    """
    import tomllib

    from cidesign.files import read_limited

    if path is None:
        return {}, {}
    try:
        content = tomllib.loads(read_limited(path, "bench file", 1_000_000).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: this bench file is no TOML ({error})") from error
    unknown = sorted(set(content) - {"settings", "faults"})
    if unknown or not all(isinstance(part, dict) for part in content.values()):
        raise InputError(
            f"{path}: a bench file has the tables [settings] and [faults]; found {', '.join(sorted(content))}"
        )
    faults = content.get("faults", {})
    wrong = [name for name, value in faults.items() if isinstance(value, bool) or not isinstance(value, int | float)]
    if wrong:
        raise InputError(f"{path}: faults.{wrong[0]} is no number; write the strength of the fault")
    return content.get("settings", {}), faults

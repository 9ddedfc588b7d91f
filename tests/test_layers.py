"""Imports point one way, and the bench half never imports torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each room may import from itself and from the rooms named here.
_PROFILES = {f"hardware_profiles.{name}" for name in ("dmd", "aperture", "lensless", "mri")}
_DESIGN = {"errors", "units", "checks", "hardware_profiles", "hardware_profiles.mask", "pattern"} | _PROFILES
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "units": {"errors"},
    "files": {"errors"},
    "text": set(),
    "records": {"errors"},
    "checks": {"records"},
    "orientation": {"records"},
    "signals": set(),
    # How far a computation is: any room may tell it.
    "progress": set(),
    # Names the verbs as text, so that `import cidesign` loads none of them.
    "verbs": set(),
    "verb_settings": {"errors"},
    "locks": {"errors", "files", "records"},
    # What other packages add; it knows nothing of what that may be.
    "plugins": {"errors"},
    # Other people's files, and the bounded process for their parsers; a reader names itself to it, it knows none.
    "io": {"errors", "files", "records", "pattern"},
    # A family's schema knows what all schemas share; the loader knows all families.
    **{
        name: {"errors", "units", "files", "plugins", "hardware_profiles.sourced", "hardware_profiles.mask"}
        for name in _PROFILES
    },
    "hardware_profiles.sourced": {"errors", "units", "files"},
    # Whatever a mask is for, its process is described alike.
    "hardware_profiles.mask": {"errors", "units", "files", "hardware_profiles.sourced"},
    "hardware_profiles": {"errors", "units", "files", "plugins", "hardware_profiles.sourced"} | _PROFILES,
    "pattern": {"errors", "units", "files"},
    "constraints.sequence": _DESIGN,
    "constraints.rules": _DESIGN | {"constraints.sequence"},
    "constraints.aperture": _DESIGN | {"constraints.rules"},
    "constraints.kspace": _DESIGN | {"constraints.rules"},
    "constraints.points": _DESIGN | {"constraints.rules", "constraints.kspace"},
    "constraints.gradients": _DESIGN,
    "run_settings": {"errors"},
    # Decoders that know their operator, as other programs run them.
    "frozen": {"errors", "files", "records", "pattern"},
}
_LOW = set(MAY_IMPORT)
_NUMPY_RULES = {name for name in _LOW if name.startswith("constraints.")}
# What every exporter, and every calibration, shares; the families and modalities beside it know nothing of one another.
MAY_IMPORT["export"] = set(_LOW)
for _family in ("dmd", "aperture", "mri"):
    MAY_IMPORT[f"export.{_family}"] = _LOW | {"export"}
_EXPORTS = {name for name in MAY_IMPORT if name.startswith("export")}
MAY_IMPORT["calibration"] = set(_LOW)
for _modality in ("cassi", "lensless", "mri"):
    MAY_IMPORT[f"calibration.{_modality}"] = _LOW | {"calibration"}
# The camera beside a micromirror device is an instrument of the single-pixel bench.
MAY_IMPORT["calibration.camera"] = _LOW | {"calibration"}
MAY_IMPORT["calibration.single_pixel"] = _LOW | {"calibration", "calibration.camera"}
_CALIBRATIONS = {name for name in MAY_IMPORT if name.startswith("calibration")}
MAY_IMPORT["device"] = _LOW | {"export", "export.dmd"}
BENCH_HALF = _LOW | _EXPORTS | _CALIBRATIONS | {"device"}
# The interface: what it names of the rooms above it, it names for type checkers alone.
MAY_IMPORT["modality"] = {"errors", "files"}
MAY_IMPORT["runs"] = _LOW | {"modality"}
_SHARED = _LOW | {"modality", "runs"}
# Physics takes numbers, tensors and rules, and nothing of profiles, files or runs.
MAY_IMPORT["physics"] = {"errors", "units", "pattern", "progress"} | _NUMPY_RULES
MAY_IMPORT["data"] = _SHARED
MAY_IMPORT["models"] = _SHARED | {"physics", "data"}
# Programs that show trainings: they are told lines of numbers, and know nothing of what is trained.
MAY_IMPORT["tracking"] = {"errors", "files"}
MAY_IMPORT["distill"] = MAY_IMPORT["models"] | {"models", "tracking"}
# What `export` and `check` do, for any family: each is found by its name in the table of families; and a design as the
# optics of a run that was never trained.
MAY_IMPORT["designs"] = MAY_IMPORT["distill"] | {"distill", "export"}
MAY_IMPORT["reconstruct"] = MAY_IMPORT["distill"] | {"calibration", "distill"}
# The bench verbs, which know the interface only.
MAY_IMPORT["benchwork"] = MAY_IMPORT["reconstruct"] | {"reconstruct"}
MAY_IMPORT["report"] = MAY_IMPORT["reconstruct"] | {"reconstruct"}
_LEARNING = MAY_IMPORT["report"] | {"report"}
# A page about a run says what the checks of its design and its exports find.
MAY_IMPORT["report"] |= {"designs", "export"}
# A modality knows everything that is shared, its own calibration and the files of its device, and no other modality.
_FAMILIES = {"single_pixel": "dmd", "cassi": "aperture", "lensless": "aperture", "mri": "mri"}
for _modality, _family in _FAMILIES.items():
    own = {f"calibration.{_modality}", f"export.{_family}", "export"}
    MAY_IMPORT[f"modalities.{_modality}"] = _LEARNING | own
MAY_IMPORT["modalities.single_pixel"] |= {"calibration.camera"}
# Many runs: what trains one is asked for as `distill` asks for it.
MAY_IMPORT["sweep"] = _LEARNING | {"designs"}
# What is installed here; works where what the rooms above load is missing.
MAY_IMPORT["doctor"] = {"errors", "units", "text", "files", "verbs", "device", "distill"}
# The verbs as functions; the command line is a face on them.
MAY_IMPORT["api"] = set(MAY_IMPORT)
MAY_IMPORT["cli"] = set(MAY_IMPORT)
# Suites for people's own plug-ins: they may import the product, which never imports them.
MAY_IMPORT["testing"] = set(MAY_IMPORT) - {"cli"}
MAY_IMPORT["__main__"] = {"cli"}
# Harnesses and the laws of plug-ins: no room may import them, the command line included.
MAY_IMPORT["testing"] = set(MAY_IMPORT) - {"cli", "__main__"}


def _modules() -> list[tuple[str, Path]]:
    found = []
    for source in ("cidesign", "export", "calibration", "hardware_profiles"):
        for path in (ROOT / source).rglob("*.py"):
            parts = list(path.relative_to(ROOT).with_suffix("").parts)
            if parts[0] == "cidesign":
                parts = parts[1:]
            if parts[-1] == "__init__":
                parts = parts[:-1]
            found.append((".".join(parts), path))
    return sorted(found)


def _layer(module: str) -> str | None:
    parts = module.split(".")
    for length in (2, 1):
        name = ".".join(parts[:length])
        if name in MAY_IMPORT:
            return name
    return None


def _for_type_checkers(tree: ast.Module) -> set[ast.AST]:
    """The nodes below `if TYPE_CHECKING:`."""
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    return {inner for guard in guards for inner in ast.walk(guard)}


def _imports(path: Path) -> set[str]:
    names = set()
    tree = ast.parse(path.read_text())
    for_checkers = path in [ROOT / "cidesign" / name for name in ("modality.py", "runs.py", "__init__.py")]
    left_out = _for_type_checkers(tree) if for_checkers else set()
    for node in ast.walk(tree):
        if node in left_out:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.removeprefix("cidesign.") for name in names if name.startswith("cidesign.")}


@pytest.mark.parametrize(("module", "path"), _modules(), ids=[name or "cidesign" for name, _ in _modules()])
def test_imports_point_downwards(module: str, path: Path) -> None:
    layer = _layer(module)
    if layer is None:
        assert module in ("", "constraints", "modalities"), f"{module}: put this module into MAY_IMPORT"
        assert not {name for name in _imports(path) if _layer(name)} - {"verbs", "verbs.NAMES", "verbs.verb"}
        return
    wrong = {name for name in _imports(path) if (target := _layer(name)) and target not in MAY_IMPORT[layer] | {layer}}
    assert not wrong, f"{module} may not import {', '.join(sorted(wrong))}"


def test_every_rule_is_about_a_module_that_is_there() -> None:
    assert set(MAY_IMPORT) == {layer for name, _ in _modules() if (layer := _layer(name))}


def test_bench_half_runs_without_torch() -> None:
    bench = ["cidesign." + name for name, _ in _modules() if _layer(name) in BENCH_HALF]
    program = (
        f"import sys, importlib\nsys.modules['torch'] = None\nfor name in {bench!r}: importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, check=True)
    for name, path in _modules():
        if _layer(name) in BENCH_HALF:
            tree = ast.parse(path.read_text())
            roots = {
                alias.name.split(".")[0]
                for node in ast.walk(tree)
                if isinstance(node, ast.Import)
                for alias in node.names
            } | {
                node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
            }
            assert "torch" not in roots, f"{name} imports torch"

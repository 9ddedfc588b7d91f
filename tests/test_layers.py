"""Imports point one way, and the bench half never imports torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each layer may import from itself and from the layers named here.
_FILES = {"errors", "units", "files", "records"}
_DESIGN = {"errors", "units", "hardware_profiles", "pattern"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "units": {"errors"},
    "files": {"errors"},
    "records": {"errors"},
    # The bounded process for other people's parsers; a reader names itself to it, it knows none.
    "io": {"errors"},
    "hadamard": {"errors"},
    "matlab": {"errors", "io", "records"},
    "matlab_child": {"io"},
    "hardware_profiles": {"errors", "units", "files"},
    "pattern": {"errors", "units", "files"},
    "constraints.sequence": _DESIGN,
    "constraints.rules": _DESIGN | {"constraints.sequence"},
    "constraints.aperture": _DESIGN | {"constraints.rules"},
    "constraints.kspace": _DESIGN | {"constraints.rules"},
    "locks": {"errors", "files"},
    "run_settings": {"pattern"},
    "runs": _FILES | _DESIGN | {"run_settings"},
    # Readers of single arrays, for training images and for raw data alike.
    "data.arrays": {"errors", "files"},
    "export.bart_files": {"errors", "files", "pattern"},
}
_LOW = set(MAY_IMPORT)
_NUMPY_RULES = {name for name in _LOW if name.startswith("constraints.")}
for _bench in ("export", "calibration", "device"):
    MAY_IMPORT[_bench] = set(_LOW)
MAY_IMPORT["device"] |= {"export"}
# A rule's torch face knows the rule, and nothing of profiles, files or runs.
MAY_IMPORT["constraints.relax"] = {"errors", "constraints.rules"}
MAY_IMPORT["constraints.relax_aperture"] = {"errors", "pattern", "constraints.aperture"}
MAY_IMPORT["constraints.relax_kspace"] = {"errors", "pattern", "constraints.kspace"}
_RELAX = {"constraints.relax", "constraints.relax_aperture", "constraints.relax_kspace"}
# Nor does physics: it takes numbers, tensors and rules.
MAY_IMPORT["physics"] = {"errors", "units", "hadamard", "pattern"} | _NUMPY_RULES | _RELAX
MAY_IMPORT["data"] = _FILES | {"io", "matlab", "hardware_profiles", "run_settings", "data.arrays"}
MAY_IMPORT["models"] = _LOW | _RELAX | {"physics", "data"}
MAY_IMPORT["distill"] = MAY_IMPORT["models"] | {"models"}
MAY_IMPORT["reconstruct"] = (MAY_IMPORT["models"] | {"models", "calibration"}) - {"data"}
MAY_IMPORT["report"] = MAY_IMPORT["reconstruct"] | {"reconstruct"}
MAY_IMPORT["cli"] = set(MAY_IMPORT)
MAY_IMPORT["__main__"] = {"cli"}

BENCH_HALF = {"export", "calibration", "device"} | _LOW


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


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.removeprefix("cidesign.") for name in names if name.startswith("cidesign.")}


@pytest.mark.parametrize(("module", "path"), _modules(), ids=[name or "cidesign" for name, _ in _modules()])
def test_imports_point_downwards(module: str, path: Path) -> None:
    layer = _layer(module)
    if layer is None:
        assert module in ("", "constraints"), f"{module}: put this module into MAY_IMPORT"
        assert not {name for name in _imports(path) if _layer(name)}
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

"""Imports point one way, and the bench half never imports torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Each layer may import from itself and from the layers named before it.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "units": {"errors"},
    "files": {"errors"},
    "records": {"errors"},
    "hardware_profiles": {"errors", "units", "files"},
    "pattern": {"errors", "units", "files"},
    "constraints.sequence": {"errors", "units", "hardware_profiles", "pattern"},
    "constraints.rules": {"errors", "units", "hardware_profiles", "pattern", "constraints.sequence"},
    "constraints.aperture": {"errors", "units", "hardware_profiles", "pattern", "constraints.rules"},
    "constraints.kspace": {"errors", "units", "hardware_profiles", "pattern", "constraints.rules"},
    "runs": {"errors", "units", "files", "records", "hardware_profiles", "pattern"},
}
_LOW = set(MAY_IMPORT)
for _bench in ("export", "calibration", "device"):
    MAY_IMPORT[_bench] = set(_LOW)
MAY_IMPORT["device"] |= {"export"}
_RELAX = {"constraints.relax", "constraints.relax_aperture", "constraints.relax_kspace"}
for _face in _RELAX:
    MAY_IMPORT[_face] = set(_LOW)
MAY_IMPORT["physics"] = _LOW | _RELAX
MAY_IMPORT["models"] = MAY_IMPORT["physics"] | {"physics"}
MAY_IMPORT["data"] = set(_LOW)
MAY_IMPORT["distill"] = MAY_IMPORT["models"] | {"models", "data"}
MAY_IMPORT["reconstruct"] = MAY_IMPORT["models"] | {"models", "calibration"}
MAY_IMPORT["report"] = MAY_IMPORT["reconstruct"] | {"reconstruct"}
EVERYTHING = set(MAY_IMPORT)
MAY_IMPORT["cli"] = EVERYTHING
MAY_IMPORT["demo"] = EVERYTHING
MAY_IMPORT["__main__"] = {"cli"}

BENCH_HALF = (
    "hardware_profiles",
    "export",
    "calibration",
    "device",
    "constraints.rules",
    "constraints.sequence",
    "constraints.aperture",
    "constraints.kspace",
)


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

"""The bridge computer has only what requirements-bridge.txt lists: no import may need more."""

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from cidesign.export.dmd import formats
from cidesign.export.family import FAMILIES
from cidesign.hardware_profiles.dmd import controllers
from cidesign.hardware_profiles.schema import KINDS

ROOT = Path(__file__).parents[3]
COMMANDS = ("bridge", "emulate", "upload", "check", "profiles")
MAPPED = ("export", "calibration", "hardware_profiles")
# `check` reads masks and sequences too, by modules that it imports when it meets one; a DMD's bridge never does.
OTHER_MODALITIES = re.compile(r"cidesign\.(modalities\.(cassi|mri)(\..*)?|export\.(aperture|mri)(\..*)?)")
# Distributions whose import name is another one.
IMPORT_NAMES = {"pillow": "PIL", "pyserial": "serial", "hidapi": "hid"}


def _listed() -> set[str]:
    lines = (ROOT / "requirements-bridge.txt").read_text().splitlines()
    return {re.split(r"[ ;<>=]", line)[0].lower() for line in lines if line and not line.startswith("#")}


def _source(module: str) -> Path | None:
    parts = module.split(".")
    base = ROOT.joinpath(*(parts[1:] if len(parts) > 1 and parts[1] in MAPPED else parts))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _imports(path: Path) -> set[str]:
    names = set()
    tree = ast.parse(path.read_text())
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    unused = {inner for guard in guards for inner in ast.walk(guard)}
    for node in ast.walk(tree):
        if node in unused:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def _closure() -> tuple[set[str], dict[str, str]]:
    """Every module of ours that the commands can reach, and each third-party root with one that imports it."""
    todo = ["cidesign.cli", "cidesign.__main__", *(f"cidesign.cli.{name}" for name in COMMANDS)]
    # These are imported by their names in tables.
    tables = (FAMILIES, KINDS, controllers.MODULES, formats.MODULES)
    todo += [value.partition(":")[0] for table in tables for value in table.values()]
    ours: set[str] = set()
    theirs: dict[str, str] = {}
    while todo:
        module = todo.pop()
        source = _source(module) if module.startswith("cidesign") else None
        if module in ours or source is None or OTHER_MODALITIES.fullmatch(module):
            continue
        ours.add(module)
        for name in _imports(source):
            root = name.split(".")[0]
            if root == "cidesign":
                todo.append(name)
            elif root not in sys.stdlib_module_names:
                theirs.setdefault(root, module)
    return ours, theirs


def test_every_import_is_listed() -> None:
    ours, theirs = _closure()
    assert {"cidesign.device.dlpc350.display", "cidesign.device.dlpc900.driver", "cidesign.export.dmd.verify"} <= ours
    allowed = {IMPORT_NAMES.get(name, name) for name in _listed()}
    # pydantic brings its core, and no other version of it fits.
    missing = {root: module for root, module in theirs.items() if root not in allowed | {"pydantic_core"}}
    assert not missing, "put these into requirements-bridge.txt, or import less"
    assert allowed <= set(theirs), "listed, but nothing imports it"
    assert "torch" not in theirs


def _import_names(distribution: str) -> set[str]:
    """What a distribution and everything it requires makes importable."""
    names: set[str] = set()
    todo, seen = [distribution], set()
    while todo:
        name = re.split(r"[ ;<>=!~\[(]", todo.pop())[0].lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # hidapi and smbus2 need hardware and are not installed for the tests
        names |= {str(file).split("/")[0].removesuffix(".py").split(".")[0] for file in found.files or ()}
        todo += [text for text in found.requires or () if "extra ==" not in text]
    return names


PROGRAM = """
import sys
blocked = set({blocked!r})

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ImportError(name + " is not on the bridge computer")

sys.meta_path.insert(0, Block())
{rest}
"""


def _alone(rest: str) -> list[str]:
    """The command that runs a program where every installed package is hidden but those listed and what they need."""
    there = set().union(*(_import_names(name) for name in _listed()))
    ours = {name for name, owners in metadata.packages_distributions().items() if "cidesign" in owners}
    blocked = sorted(set(metadata.packages_distributions()) - there - ours)
    assert {"torch", "scipy", "cv2"} <= set(blocked)
    return [sys.executable, "-W", "error", "-c", PROGRAM.format(blocked=blocked, rest=rest)]


def test_every_module_imports_with_nothing_else_there() -> None:
    ours, _ = _closure()
    rest = (
        f"import importlib\nfor name in {sorted(ours - {'cidesign.__main__'})!r}:\n    importlib.import_module(name)\n"
    )
    subprocess.run(_alone(rest), cwd=ROOT, check=True)
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run(_alone("import torch"), cwd=ROOT, check=True, stderr=subprocess.DEVNULL)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
def test_a_bridge_runs_with_nothing_else_there(tmp_path: Path) -> None:
    main = "from cidesign.cli import main\nsys.argv = ['cidesign', *{words!r}]\nmain()\n"
    words = ["bridge", "--backend", "emulator", "--profile", "dlp4500", "--link", str(tmp_path / "dmd")]
    bridge = subprocess.Popen(_alone(main.format(words=words)), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert bridge.stdout is not None
        assert bridge.stdout.readline().startswith("port: ")
        ask = ["upload", "--status", "--port", str(tmp_path / "dmd"), "--json"]
        subprocess.run(_alone(main.format(words=ask)), cwd=ROOT, check=True, stdout=subprocess.DEVNULL, timeout=60)
        bridge.terminate()
        assert bridge.wait(60) == 0
    finally:
        bridge.kill()
        bridge.wait()
        if bridge.stdout is not None:
            bridge.stdout.close()

"""requirements-bench.txt is all that the bench half imports, with what that needs, in the versions of the tests."""

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
# The rooms that never import torch; what runs and designs are needed for there is in test_layers.
BENCH_HALF = ("hardware_profiles", "export", "calibration", "cidesign/device", "cidesign/io", "cidesign/frozen")
# What brings a format or a modality that a bench may never meet, each an extra and refused in one line where absent.
EXTRAS = {"finufft", "ismrmrd", "pydicom", "pypulseq", "twixtools"}
DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-python-headless", "hid": "hidapi", "serial": "pyserial"}


def _listed() -> dict[str, Requirement]:
    lines = (ROOT / "requirements-bench.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(one.name): one for one in found}


def _imported() -> dict[str, Path]:
    """Each third-party package that the bench half imports, inside functions too, with a file that does."""
    found: dict[str, Path] = {}
    for path in (path for folder in BENCH_HALF for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            named += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            found |= {name.split(".")[0]: path for name in named}
    return {name: path for name, path in found.items() if name not in {*sys.stdlib_module_names, "cidesign"}}


def test_every_import_of_the_bench_half_is_listed() -> None:
    imported = _imported()
    assert {"scipy", "onnxruntime", "matplotlib", "serial"} <= set(imported)
    listed = set(_listed())
    assert {
        name: path
        for name, path in imported.items()
        if name not in EXTRAS and canonicalize_name(DISTRIBUTIONS.get(name, name)) not in listed
    } == {}


def test_it_holds_all_that_its_packages_need_and_nothing_of_torch() -> None:
    # pip is told --no-deps: what is not listed is not installed.
    listed = _listed()
    missing = {}
    for name, one in listed.items():
        try:
            needed = [Requirement(text) for text in metadata.requires(name) or ()]
        except metadata.PackageNotFoundError:
            assert name in {"colorama", "hidapi", "smbus2"}, f"{name} is not installed here"
            continue
        for other in needed:
            if other.marker is None or other.marker.evaluate({"extra": ""}):
                there = listed.get(canonicalize_name(other.name))
                if there is None or not other.specifier.contains(_version(there)):
                    missing[f"{one.name} needs {other}"] = there
    assert missing == {}
    assert not {"torch", "torchmetrics"} & set(listed)


def _version(one: Requirement) -> str:
    (pinned,) = one.specifier
    assert pinned.operator == "==", f"{one}: with --no-deps nothing chooses a version"
    return pinned.version


def test_the_versions_are_those_of_the_tests() -> None:
    tested = dict(
        re.split("==", line) for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    )
    versions = {canonicalize_name(name): version for name, version in tested.items()}
    listed = {name: _version(one) for name, one in _listed().items()}
    assert {name: version for name, version in listed.items() if versions.get(name, version) != version} == {}
    assert set(listed) - set(versions) == {"colorama", "hidapi", "smbus2"}

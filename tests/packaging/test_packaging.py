"""The package list is complete and the mapped folders are never imported by their bare names."""

import configparser
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("cidesign", "export", "calibration", "hardware_profiles")


def _options() -> configparser.SectionProxy:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config["options"]


def test_every_package_folder_is_listed() -> None:
    mapping = dict(line.split(" = ") for line in _options()["package_dir"].strip().splitlines())
    by_folder = {folder: package for package, folder in mapping.items()}
    found = set()
    for source in SOURCES:
        for marker in (ROOT / source).rglob("__init__.py"):
            parts = marker.parent.relative_to(ROOT).parts
            found.add(".".join((by_folder[parts[0]], *parts[1:])))
    assert found == set(_options()["packages"].split())


def test_version_is_the_same_everywhere() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    namespace: dict[str, object] = {}
    lines = (ROOT / "cidesign" / "__init__.py").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("__version__"))
    exec(line, namespace)  # noqa: S102 - our own file
    assert namespace["__version__"] == config["metadata"]["version"]


def test_module_runs_inside_the_checkout() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cidesign", "profiles", "list"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "dlp4500" in done.stdout

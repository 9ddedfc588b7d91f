"""Run `mypy --strict` over the package as it is installed: the mapped folders under their real names.

mypy cannot follow setuptools' finder for `package_dir`, so the folders are copied where they belong.
"""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
TARGET = ROOT / ".typecheck"


def main() -> int:
    """Copy the packages to `.typecheck/` and check them there."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    mapping = dict(line.split(" = ") for line in config["options"]["package_dir"].strip().splitlines() if line.strip())
    shutil.rmtree(TARGET, ignore_errors=True)
    for package in sorted(mapping):
        folder = TARGET.joinpath(*package.split("."))
        shutil.copytree(ROOT / mapping[package], folder, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "-p", "cidesign"]
    return subprocess.run(command, cwd=TARGET, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

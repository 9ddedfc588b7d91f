"""Run `mypy --strict` over the package as it is installed: the mapped folders under their real names.

The scripts of `benchmarks/` are not strict, but what they import and call must be there: no test runs most of them.
mypy cannot follow setuptools' finder for `package_dir`, so the folders are copied where they belong.
"""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
TARGET = ROOT / ".typecheck"
SCRIPTS = ROOT / "benchmarks"
# What is loose in scripts; names, arguments and imports that are not there stay errors.
LOOSE = (
    "arg-type", "assignment", "call-overload", "func-returns-value", "index", "misc", "operator", "override",
    "return-value", "type-abstract", "union-attr", "var-annotated",
)  # fmt: skip


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
    strict = subprocess.run(command, cwd=TARGET, check=False).returncode
    return strict or subprocess.run(_of_scripts(), cwd=ROOT, env=_found_there(), check=False).returncode


def _of_scripts() -> list[str]:
    scripts = sorted(str(path) for path in SCRIPTS.rglob("*.py") if path.name != "__init__.py")
    loose = [f"--disable-error-code={code}" for code in LOOSE]
    options = ["--config-file=", "--ignore-missing-imports", "--check-untyped-defs", "--explicit-package-bases"]
    return [sys.executable, "-m", "mypy", *options, *loose, *scripts]


def _found_there() -> dict[str, str]:
    """Where the package is, and the folders from which scripts import their neighbours."""
    alone = (path for path in sorted(SCRIPTS.iterdir()) if path.is_dir() and not (path / "__init__.py").exists())
    folders = [TARGET, SCRIPTS, *alone]
    return {**os.environ, "MYPYPATH": os.pathsep.join(str(folder) for folder in folders)}


if __name__ == "__main__":
    sys.exit(main())

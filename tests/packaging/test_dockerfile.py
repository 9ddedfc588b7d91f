"""The container recipe, as far as it can be looked at where no container can be built."""

import configparser
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCKERFILE = ROOT / "packaging" / "Dockerfile"


def _instructions() -> list[tuple[str, str]]:
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    text = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def _copies() -> list[tuple[list[str], str]]:
    found = [shlex.split(rest) for word, rest in _instructions() if word == "COPY"]
    return [(words[:-1], words[-1]) for words in found]


def _run(tmp_path: Path, device: str) -> tuple[int, list[str], str]:
    """What the RUN line calls pip with, where pip is a stub."""
    ((_, line),) = [one for one in _instructions() if one[0] == "RUN"]
    (tmp_path / "pip").write_text('#!/bin/sh\necho "$PIP_EXTRA_INDEX_URL"\nprintf "%s\\n" "$@"\n')
    (tmp_path / "pip").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "DEVICE": device}
    done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, check=False, timeout=60)
    index, _, words = done.stdout.partition("\n")
    return done.returncode, words.splitlines(), index


def test_it_is_of_known_instructions_in_order() -> None:
    words = [word for word, _ in _instructions()]
    assert words[0] == "FROM"
    assert set(words) <= {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "ENTRYPOINT", "CMD"}
    base = dict(_instructions())["FROM"]
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lowest = config["options"]["python_requires"].removeprefix(">=")
    assert base == f"python:{lowest}-slim"


def test_pip_installs_what_the_readme_says_and_sweeps_in_locked_versions(tmp_path: Path) -> None:
    (extras,) = re.findall(r"pip install '\.\[([a-z,]+)\]'", (ROOT / "README.md").read_text())
    command = ["install", "--no-cache-dir", "-c", "constraints.txt", f".[{extras},sweep]"]
    assert _run(tmp_path, "cpu") == (0, command, "https://download.pytorch.org/whl/cpu")
    assert _run(tmp_path, "gpu") == (0, command, "")
    assert _run(tmp_path, "tpu")[:2] == (1, [])
    locked = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    asked = [config["options"]["install_requires"]]
    asked += [config["options.extras_require"][extra] for extra in (*extras.split(","), "sweep")]
    names = {line.split()[0].lower() for text in asked for line in text.strip().splitlines()}
    assert names <= locked


def test_the_commands_that_it_names_are_those_that_build_it() -> None:
    commands = re.findall(r"^#   (docker build .*)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert commands == [
        "docker build --file packaging/Dockerfile --tag cidesign:cpu .",
        "docker build --file packaging/Dockerfile --build-arg DEVICE=gpu --tag cidesign:gpu .",
    ]
    page = (ROOT / "docs" / "scale.md").read_text()
    assert all(command in page for command in commands)


def test_what_it_copies_is_there_and_is_enough_for_a_wheel(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    for sources, target in _copies():
        for source in sources:
            assert (ROOT / source).exists(), source
            there = tmp_path / target / Path(source).name if target == "./" else tmp_path / target
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, there, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, there)
    build = "import setuptools.build_meta as b; print(b.build_wheel('.'))"
    command = [sys.executable, "-W", "ignore", "-c", build]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300)
    names = set(zipfile.ZipFile(tmp_path / done.stdout.splitlines()[-1]).namelist())
    wanted = {str(path.relative_to(ROOT)) for path in (ROOT / "cidesign").rglob("*.py")}
    assert wanted <= names
    assert "cidesign/hardware_profiles/loader.py" in names
    # Files that are no modules: profiles and their like.
    assert [name for name in names if name.endswith(".toml")]

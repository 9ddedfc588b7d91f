"""The recipe for conda-forge asks for what setup.cfg asks for."""

import configparser
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "packaging" / "conda" / "recipe.yaml"
# What conda-forge calls otherwise than PyPI.
CONDA_NAMES = {"matplotlib": "matplotlib-base", "opencv-python-headless": "py-opencv", "torch": "pytorch"}


def _recipe() -> Any:
    return yaml.safe_load(RECIPE.read_text())


def _setup() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def test_the_dependencies_are_those_of_the_package() -> None:
    lines = _setup()["options"]["install_requires"].strip().splitlines()
    wanted = {}
    for line in lines:
        name, _, versions = line.partition(" ")
        wanted[CONDA_NAMES.get(name, name)] = versions.replace(" ", "")
    python, *others = _recipe()["requirements"]["run"]
    assert dict(line.split(" ") for line in others) == wanted
    assert python == "python >=${{ python_min }}"


def test_name_version_python_license_and_command_are_those_of_the_package() -> None:
    setup, recipe = _setup(), _recipe()
    context = recipe["context"]
    assert (context["name"], context["version"]) == (setup["metadata"]["name"], setup["metadata"]["version"])
    assert f">={context['python_min']}" == setup["options"]["python_requires"]
    assert recipe["about"]["license"] == setup["metadata"]["license"]
    assert (RECIPE.parent / recipe["source"]["path"] / recipe["about"]["license_file"]).is_file()
    assert recipe["build"]["python"]["entry_points"] == [setup["options.entry_points"]["console_scripts"].strip()]


def test_rattler_build_reads_and_renders_it() -> None:
    rattler_build = pytest.importorskip("rattler_build", reason="py-rattler-build is not installed")
    (variant,) = rattler_build.Stage0Recipe.from_file(str(RECIPE)).render()
    assert (variant.recipe.package.name, variant.recipe.build.noarch) == ("cidesign", "python")
    assert "pytorch >=2.4" in [str(one) for one in variant.recipe.requirements.run]

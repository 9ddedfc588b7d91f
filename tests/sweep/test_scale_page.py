"""Commands and specs of docs/scale.md are such as are understood."""

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from cidesign.cli import group
from cidesign.sweep.spec import spec_of

PAGE = (Path(__file__).parent.parent.parent / "docs" / "scale.md").read_text()
COMMANDS = re.findall(r"^    (cidesign .*)$", PAGE, re.MULTILINE)
BLOCKS = re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_understood(line: str) -> None:
    _, *words = shlex.split(line.partition(" > ")[0])
    found: click.Command = group
    while isinstance(found, click.Group):
        context = click.Context(found)
        name = words.pop(0)
        following = found.get_command(context, name)
        assert following is not None, name
        found = following
    found.make_context(found.name, words)


def test_the_sections_of_the_page_are_a_spec() -> None:
    text = "\n".join(block for block in BLOCKS if re.search(r"^    \[", block, re.MULTILINE))
    raw = tomllib.loads(re.sub(r"^    ", "", text, flags=re.MULTILINE))
    assert {"base", "grid", "teacher", "compare", "jobs", "slurm"} <= set(raw)
    spec = spec_of(raw)
    assert spec.slurm is not None
    assert spec.slurm.extra == {"constraint": "a100", "exclusive": ""}
    assert spec.size == 9


def test_files_that_it_names_are_there() -> None:
    for name in re.findall(r"\]\(\.\./([^)]+)\)", PAGE):
        assert (Path(__file__).parent.parent.parent / name).is_file()

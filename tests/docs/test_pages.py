"""What README and pages tell to type is there to be typed; the README is short, and its links lead somewhere."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cidesign.cli import group

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "docs" / "gallery").glob("*.rst"))]
# Two screens of a terminal or of a page.
SCREENS_LINES = 80
# An indented line or one in a table that begins with the command; a comment, or what a shell would do next, ends it.
TYPED = re.compile(r"(?m)^    (?:\$ )?(cidesign .+)$|\| `(cidesign [^`]+)` \|")
SHELL = re.compile(r"\s(?:#|&&|\|\||\||>|<|&)(?:\s|$).*|;.*")


def _commands(page: Path) -> Iterator[str]:
    for found in TYPED.finditer(page.read_text()):
        line = found[1] or found[2]
        for part in line.split("&&"):
            if part.strip().startswith("cidesign "):
                yield SHELL.sub("", part.strip())


ALL = [
    pytest.param(line, id=f"{page.name}-{number}")
    for page in PAGES
    if "_build" not in page.parts and "made" not in page.parts
    for number, line in enumerate(_commands(page))
]


@pytest.mark.parametrize("line", ALL)
def test_a_command_that_is_shown_has_these_options(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = group
    context = click.Context(group, info_name="cidesign")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"no command {words[0]!r}"
        command, words = found, words[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    options, arguments, _ = command.make_parser(context).parse_args(args=list(words))
    for parameter in command.params:
        given = options.get(parameter.name or "")
        if isinstance(parameter.type, click.Choice) and isinstance(given, str) and not re.fullmatch("[A-Z]+", given):
            assert given in parameter.type.choices
    assert all(not word.startswith("--") for word in arguments)


def test_many_commands_are_shown() -> None:
    assert len(ALL) > 100


def test_the_readme_fits_two_screens() -> None:
    assert len(README.read_text().splitlines()) <= SCREENS_LINES


def test_the_links_of_the_readme_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", README.read_text())
    assert len(targets) > 20
    assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []

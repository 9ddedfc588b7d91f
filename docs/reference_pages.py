"""Pages of the reference that the program tells of itself: commands, profiles, faults of simulated benches.

Sphinx calls `write` before it reads the pages; what it makes is not kept in the repository.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from cidesign.cli import group
from cidesign.hardware_profiles.loader import load_profile, shipped_profiles
from cidesign.hardware_profiles.schema import sourced_values, unit_of
from cidesign.modality import modalities

WIDTH = 110
CONFIDENCE = (
    "Confidence: P primary source, 2 two independent sources, M measured or computed, T third party, D chosen here."
)


def write(folder: Path) -> None:
    """Write all pages below a folder, each only where its text has changed."""
    folder.mkdir(exist_ok=True)
    pages = {"commands.md": _commands(), "faults.md": _faults(), "profiles.md": _profiles()}
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _commands() -> str:
    parts = ["# Commands\n", "What `--help` says, of every command.\n"]
    for name, command in _all(group, ("cidesign",)):
        parts += [f"## {' '.join(name[1:]) or 'cidesign'}\n", "```text", _help(name, command), "```\n"]
    return "\n".join(parts)


def _all(command: click.Command, name: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name[-1])
        for word in command.list_commands(context):
            if (found := command.get_command(context, word)) is not None:
                yield from _all(found, (*name, word))


def _help(name: Sequence[str], command: click.Command) -> str:
    with click.Context(command, info_name=" ".join(name), terminal_width=WIDTH, max_content_width=WIDTH) as context:
        return command.get_help(context).rstrip()


def _faults() -> str:
    parts = [
        "# Faults of simulated benches\n",
        "`cidesign simulate RUN --fault NAME=STRENGTH`, or `ci.simulate(run, faults={NAME: STRENGTH})`. A calibration "
        "says the same names where a real bench resembles one.\n",
    ]
    for one in modalities():
        rows = [
            (f"`{name}`", kind.meaning, kind.unit or "-", f"{kind.default:g}", f"{kind.least:g} to {kind.most:g}")
            for name, kind in one.bench().faults.items()
        ]
        parts += [f"## {one.name}\n", _table(("fault", "strength is", "unit", "usual", "range"), rows)]
    return "\n".join(parts)


def _profiles() -> str:
    parts = [
        "# Profiles\n",
        "Every number that ships, with its source. A profile of your own is a copy with other numbers.\n",
        CONFIDENCE + "\n",
    ]
    for entry in shipped_profiles():
        profile = load_profile(entry.id)
        rows = [
            (f"`{path}`", _value(found.value), unit_of(path.rpartition(".")[2]), found.source, found.confidence)
            for path, found in sourced_values(profile)
        ]
        parts += [f"## {profile.id}\n", f"{profile.name}. {profile.summary}.\n"]
        parts.append(_table(("field", "value", "unit", "source", "confidence"), rows))
    return "\n".join(parts)


def _value(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines) + "\n"

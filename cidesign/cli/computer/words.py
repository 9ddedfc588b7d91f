"""What a shell offers after Tab: names of profiles, and run folders below runs/.  Nothing here loads torch."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from cidesign.hardware_profiles.loader import shipped_profiles

RUNS = Path("runs")


def profile_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The profiles that begin so, with what they are; where none does, files (a .toml of one's own)."""
    entries = [CompletionItem(entry.id, help=entry.name) for entry in shipped_profiles()]
    return _offered("file", entries, incomplete)


def run_folders(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The runs below runs/ that begin so; where none does, folders and files."""
    found = sorted(record.parent for record in RUNS.glob("*/run.json") if not record.parent.name.startswith("."))
    return _offered("file", [CompletionItem(str(run)) for run in found], incomplete)


def _offered(otherwise: str, items: list[CompletionItem], incomplete: str) -> list[CompletionItem]:
    # The kind first: bash forgets what it was told before that.
    return [
        CompletionItem(incomplete, type=otherwise),
        *(item for item in items if str(item.value).startswith(incomplete)),
    ]

"""`cidesign profiles`: list, show and check hardware profiles."""

from pathlib import Path

import click

from cidesign.cli.computer.words import profile_names
from cidesign.cli.output import json_option, next_step, quoted, result
from cidesign.hardware_profiles.loader import load_profile, read_profile, shipped_profiles
from cidesign.text import table


@click.group("profiles", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """What hardware is known, every number with its source."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_profiles)


@command.command("list")
@json_option
def list_profiles(as_json: bool = False) -> None:
    """List the profiles that come with cidesign; your own .toml file works wherever a name does."""
    entries = shipped_profiles()
    value = [{"id": entry.id, "kind": entry.kind, "name": entry.name} for entry in entries]
    result(
        value,
        table([(entry.id, entry.kind, entry.name) for entry in entries], ("id", "kind", "name")),
        as_json,
    )
    if not as_json:
        next_step(f"cidesign profiles show {entries[0].id}")


@command.command("show")
@click.argument("name", shell_complete=profile_names)
@json_option
def show_profile(name: str, as_json: bool) -> None:
    """Show every value of profile NAME (or a .toml file) with its unit, source and confidence."""
    from cidesign.hardware_profiles.schema import sourced_values, unit_of
    from cidesign.hardware_profiles.sourced import CONFIDENCE_MEANING

    profile = load_profile(name)
    rows = [
        (path, f"{_plain(item.value)} {unit_of(path)}".rstrip(), item.confidence, item.source)
        for path, item in sourced_values(profile)
    ]
    legend = "; ".join(f"{mark} {meaning}" for mark, meaning in CONFIDENCE_MEANING.items())
    text = (
        f"{profile.id}: {profile.name}\n{profile.summary}\n\n"
        f"{table(rows, ('field', 'value', 'confidence', 'source'))}\n\nconfidence: {legend}\ndigest: {profile.digest}"
    )
    result({**profile.model_dump(mode="json"), "digest": profile.digest}, text, as_json)
    next_step(f"cidesign distill --profile {quoted(name)}")


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def check_profile(file: Path, as_json: bool) -> None:
    """Check a profile FILE (or a known name): units, ranges, missing values, unknown fields."""
    profile = read_profile(file) if file.exists() else load_profile(str(file))
    value = {"id": profile.id, "kind": profile.kind, "digest": profile.digest, "valid": True}
    result(value, f"{file}: valid; {profile.kind} profile {profile.id!r}, digest {profile.digest}", as_json)
    next_step(f"cidesign distill --profile {quoted(file)}")


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

"""`cidesign upload`: an export folder into a device, over a serial port."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from cidesign.cli.computer.words import profile_names
from cidesign.cli.output import json_option, next_step, note, result
from cidesign.device.link.plan import open_uploads
from cidesign.device.link.transport import known_ports
from cidesign.device.link.upload import connected, send, show_each, status_value
from cidesign.device.refusals import refuse_unsupported
from cidesign.errors import InputError
from cidesign.hardware_profiles.loader import load_dmd
from cidesign.runs import not_a_teacher
from cidesign.text import table
from cidesign.units import US_PER_S, format_bytes, format_duration_us

if TYPE_CHECKING:
    from cidesign.device.link.plan import UploadPlan, UploadPlans
    from cidesign.device.link.transfer import Progress
    from cidesign.device.link.upload import Uploaded


@click.command("upload")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path), required=False)
@click.option("--port", metavar="URL", help="Port of the bridge: /dev/ttyUSB0, COM3, socket://host:port.")
@click.option("--baud", type=click.IntRange(1200), default=115_200, show_default=True, help="Line rate to go to.")
@click.option(
    "--profile",
    "profile_name",
    metavar="NAME",
    shell_complete=profile_names,
    help="Refuse an export that is for another device.",
)
@click.option("--resume", is_flag=True, help="Send only what the bridge does not hold of this upload yet.")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop; no port is opened.")
@click.option("--start", is_flag=True, help="Show the sequence when everything is verified.")
@click.option("--repeats", type=click.IntRange(0, 2**32 - 1), default=0, help="With --start: how often [0: for ever].")
@click.option("--sequence", type=click.IntRange(1), help="Of an export of several sequences, this one alone.")
@click.option("--images-in-flash", is_flag=True, help="DLPC350: its flash holds the images; send the table alone.")
@click.option("--status", "ask_status", is_flag=True, help="Ask a device that is loaded already; without DIR.")
@click.option("--stop", "stop_it", is_flag=True, help="Stop a device that is loaded already; without DIR.")
@json_option
def command(
    folder: Path | None,
    port: str | None,
    baud: int,
    profile_name: str | None,
    resume: bool,
    dry_run: bool,
    start: bool,
    repeats: int,
    sequence: int | None,
    images_in_flash: bool,
    ask_status: bool,
    stop_it: bool,
    as_json: bool,
) -> None:
    """Send the export folder DIR to a micromirror device through a bridge, and verify it.

    Everything is re-read and checked against the device's limits first; the plan is shown before a byte is sent.
    After an error, Ctrl-C or SIGTERM the device is left stopped, and --resume goes on where it ended.  The other end of
    the line runs `cidesign bridge` (or `cidesign emulate`, to try without hardware).  An export of several sequences,
    of which the device holds one at a time, is shown with --start --repeats 1: each is loaded and shown once.
    """
    if ask_status or stop_it:
        if folder is not None or (ask_status and stop_it):
            raise InputError("--status and --stop ask a loaded device: use one of them, without DIR")
        _ask(_port(port), baud, stop_it, as_json)
        return
    if folder is None:
        raise InputError("no export folder is named: cidesign upload DIR --port URL, or --status or --stop")
    if repeats and not start:
        raise InputError("--repeats counts showings of the sequence; it needs --start")
    where = "" if dry_run else _port(port)
    if profile_name is not None:
        refuse_unsupported(profile_name)
    profile = load_dmd(profile_name) if profile_name is not None else None
    plans = open_uploads(not_a_teacher(folder), profile, images_in_flash)
    if plans.sequences > 1 and sequence is None:
        _show_each(plans, where, baud, resume, start and repeats == 1, dry_run, as_json)
        return
    plan = plans.plan(sequence or 1, baud)
    which = "" if plan.sequence is None else f" --sequence {plan.sequence}"
    shown = table(plan.rows(baud))
    for text in plan.warnings:
        note(f"warning: {text}")
    if dry_run:
        result({"plan": plan.value(baud), "dry_run": True}, f"{shown}\ndry run: nothing was sent", as_json)
        next_step(f"cidesign upload {folder} --port {port or 'URL'}{which}")
        return
    note(shown)
    done = _upload(plan, where, baud, resume, start, repeats)
    result(done.value(), _summary(done), as_json)
    if start:
        next_step(f"cidesign upload --port {where} --stop")
    else:
        next_step(f"cidesign upload {folder} --port {where}{which} --resume --start")


def _show_each(
    plans: "UploadPlans", port: str, baud: int, resume: bool, once: bool, dry_run: bool, as_json: bool
) -> None:
    """Load and show the sequences of an export one after the other, or say what would be done."""
    rows = table(plans.rows(baud))
    again = f"cidesign upload {plans.folder} --port {port or 'URL'} --start --repeats 1"
    if dry_run:
        value = {"plans": [plans.plan(number, baud).value(baud) for number in range(1, plans.sequences + 1)]}
        result({**value, "dry_run": True}, f"{rows}\ndry run: nothing was sent", as_json)
        next_step(again)
        return
    if not once:
        raise InputError(
            f"{plans.folder}: holds {plans.sequences} sequences, of which the device holds one at a time: --start "
            "--repeats 1 loads and shows each of them once, one after the other; --sequence N is for one of them"
        )
    note(rows)
    for text in plans.plan(1, baud).warnings:
        note(f"warning: {text}")

    def unfinished(touched: bool) -> None:
        if touched:
            next_step(f"{again} --resume")

    with _progress_bar() as show:
        done = show_each(plans, port, baud, resume=resume, on_note=note, on_progress=show, on_unfinished=unfinished)
    sent = sum(one.result.transfer.sent_bytes for one in done)
    frames = sum(len(one.plan.entries) for one in done)
    text = (
        f"{len(done)} sequences, {frames} frames, each shown once; {format_bytes(sent)} sent, every object verified\n"
        "the device is stopped"
    )
    result({"sequences": [one.value() for one in done]}, text, as_json)
    next_step(f"{again} --resume")


def _port(port: str | None) -> str:
    if port is None:
        there = ", ".join(known_ports()) or "none on this computer"
        raise InputError(f"--port is missing: name the serial port of the bridge (there are: {there})")
    return port


def _upload(plan: "UploadPlan", port: str, baud: int, resume: bool, start: bool, repeats: int) -> "Uploaded":
    """Send, verify and start; an interrupt or an error leaves the device stopped."""

    def unfinished(touched: bool) -> None:
        if touched:
            which = "" if plan.sequence is None else f" --sequence {plan.sequence}"
            next_step(f"cidesign upload {plan.folder} --port {port}{which} --resume")

    with _progress_bar() as show:
        return send(
            plan, port, baud, resume=resume, start=start, repeats=repeats,
            on_note=note, on_progress=show, on_unfinished=unfinished,
        )  # fmt: skip


def _ask(port: str, baud: int, stop_it: bool, as_json: bool) -> None:
    """Ask a loaded device how it is, or stop it."""
    with connected(port, baud, lambda text: note(f"note: {text}")) as uploader:
        info = uploader.connect().info
        status = uploader.stop() if stop_it else uploader.status()
        uploader.leave()
    state = "running" if status.running else "stopped, idle" if status.idle else "stopped"
    loaded = f"{status.images_loaded} images, {status.entries_loaded} table entries"
    rows = [
        ("device", f"{info.profile_id} ({info.controller}), firmware {'.'.join(map(str, info.firmware))}"),
        ("state", state),
        ("loaded", loaded + ("" if status.complete else "; no complete upload")),
        ("upload", status.upload.hex()[:16] if status.complete else "none"),
        ("design", status.design.hex()[:16] if status.complete else "none"),
        ("error", status.error or "none"),
    ]
    result({"device": info.profile_id, **status_value(status)}, table(rows), as_json)
    next_step(f"cidesign upload --port {port} --stop" if status.running else f"cidesign upload DIR --port {port}")


@contextmanager
def _progress_bar() -> "Iterator[Callable[[Progress], None] | None]":
    """A bar with rate and time left, where stderr is a terminal; None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("connecting", total=None)

        def show(progress: "Progress") -> None:
            bar.update(task, description=progress.doing, completed=progress.done_bytes, total=progress.total_bytes)

        yield show


def _summary(done: "Uploaded") -> str:
    """What was done, for people."""
    sent = done.result.transfer
    status = done.started or done.result.status
    lines = [
        f"{sent.objects} objects: {format_bytes(sent.sent_bytes)} sent, "
        f"{format_bytes(sent.held_bytes)} were at the bridge already, {sent.resent_blocks} blocks sent again",
        f"{format_duration_us(done.result.seconds * US_PER_S)} at {done.result.baud} baud",
        f"verified: the SHA-256 of all {sent.objects} objects and the device's own status "
        f"({status.images_loaded} images, {status.entries_loaded} table entries)",
    ]
    lines.append("the sequence is running" if status.running else "the device is stopped")
    return "\n".join(lines)

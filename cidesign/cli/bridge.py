"""`cidesign bridge`: runs beside the DMD, owns it, and answers uploaders on a port."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cidesign.cli.computer.words import profile_names
from cidesign.cli.output import force_option, next_step, note
from cidesign.device.bridge import EMULATOR, open_backend, port_to_answer, pty_port, serve
from cidesign.device.controllers import BackendOptions, each_controller
from cidesign.device.virtual_frames import SHOWN_NAME
from cidesign.errors import InputError
from cidesign.files import refuse_existing
from cidesign.hardware_profiles.loader import load_dmd
from cidesign.signals import signals_to

if TYPE_CHECKING:
    from cidesign.device.link.transport import Transport


def _backends() -> dict[str, str]:
    """Back ends of all controllers -> what they go through; a package that cannot be imported is named instead."""
    found: dict[str, str] = {}
    for _, known in each_controller():
        if isinstance(known, InputError):
            note(f"note: {known}")
        else:
            found = {**found, **{name: text for name, text in known.backends.items() if name not in found}}
    return {**found, EMULATOR: "a virtual device, without hardware on a pseudo-terminal"}


BACKENDS = _backends()
HELP = f"""Run on the computer beside the DMD (a Raspberry Pi or any PC): own the device and answer `cidesign upload`.

Back ends: {", ".join(f"{name} ({through})" for name, through in BACKENDS.items())}.  Ctrl-C or SIGTERM ends it and
leaves the device stopped and idle.
"""


@click.command(short_help="Own a DMD and answer uploaders on a serial port.", help=HELP)
@click.option(
    "--profile",
    "profile_name",
    required=True,
    shell_complete=profile_names,
    help="The device: a profile's name or .toml file.",
)
@click.option("--backend", type=click.Choice(list(BACKENDS)), required=True, help="How the device is reached.")
@click.option("--port", help="Serial port to answer on: /dev/ttyUSB0, COM3, or a pyserial URL.")
@click.option("--listen", metavar="HOST:PORT", help="Answer on a TCP port instead; uploaders use socket://HOST:PORT.")
@click.option("--baud", type=click.IntRange(min=1), default=115_200, show_default=True, help="Rate at the start.")
@click.option(
    "--max-baud", type=click.IntRange(min=1), default=4_000_000, show_default=True, help="Highest rate to agree to."
)
@click.option(
    "--spool", type=click.Path(path_type=Path), help="Keep received files here, so that a restart loses none."
)
@click.option("--link", type=click.Path(path_type=Path), help="Emulator without --port: a fixed name for its terminal.")
@click.option(
    "--render", type=click.Path(path_type=Path, file_okay=False), help="Emulator: write what the mirrors show."
)
@force_option
@click.option("--i2c-bus", type=click.IntRange(min=0), default=1, show_default=True, help="N of /dev/i2c-N.")
@click.option(
    "--frame-hz", type=click.FloatRange(min=1, max=1000), default=60.0, show_default=True, help="Screen refresh rate."
)
@click.option(
    "--count-means",
    type=click.Choice(["repeats", "patterns"]),
    help="How this DLPC900 firmware counts (TI's documents differ); without it only endless display is started.",
)
def command(
    profile_name: str,
    backend: str,
    port: str | None,
    listen: str | None,
    baud: int,
    max_baud: int,
    spool: Path | None,
    link: Path | None,
    render: Path | None,
    force: bool,
    i2c_bus: int,
    frame_hz: float,
    count_means: Literal["repeats", "patterns"] | None,
) -> None:
    """Own a device and answer uploaders, until a signal ends it."""
    profile = load_dmd(profile_name)
    if not port and not listen and backend != EMULATOR:
        raise InputError("--port: name the serial port to answer on, such as /dev/ttyUSB0, or use --listen HOST:PORT")
    if link is not None and (port or listen):
        raise InputError("--link: is for the pseudo-terminal of the emulator; leave it out with --port and --listen")
    refuse_rendered(render, force)
    options = BackendOptions(i2c_bus, frame_hz, count_means, render)
    with ends_on_signals() as stop, a_port(port, baud, listen, link) as open_port:
        device = open_backend(backend, profile, options, stop)
        serve(device, open_port, stop, note, spool=spool, base_baud=baud, max_baud=max_baud)


def refuse_rendered(folder: Path | None, force: bool) -> None:
    """Raise `FileError` when an earlier emulator rendered into this folder and `force` is not set."""
    if folder is not None:
        refuse_existing(folder / SHOWN_NAME, force)


@contextlib.contextmanager
def ends_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and SIGHUP set, instead of breaking off in the middle of a device command."""
    stop = threading.Event()
    with signals_to(lambda *_: stop.set()):
        yield stop


@contextlib.contextmanager
def a_port(port: str | None, baud: int, listen: str | None, link: Path | None) -> Iterator[Callable[[], "Transport"]]:
    """What opens the port to answer on: a serial port, a TCP port, or else a pseudo-terminal; says its name."""
    found = port_to_answer(port, baud, listen)
    if found is None:
        with pty_port(link, announce) as open_port:
            yield open_port
        return

    def announced() -> "Transport":
        transport = found()
        if listen:
            announce(transport.name)
        return transport

    yield announced


def announce(name: str) -> None:
    """Say on stdout where uploaders find the port, and on stderr what to type there."""
    click.echo(f"port: {name}")
    next_step(f"cidesign upload EXPORT --port {name}")

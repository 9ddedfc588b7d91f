"""`cidesign emulate`: a virtual DMD behind the serial protocol, on a pseudo-terminal or a TCP port."""

import random
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cidesign.cli.bridge import a_port, ends_on_signals, refuse_rendered
from cidesign.cli.computer.words import profile_names
from cidesign.cli.output import force_option, note
from cidesign.device.bridge import serve
from cidesign.device.clock import SkippingClock
from cidesign.device.controllers import Backend
from cidesign.device.emulator import Emulation
from cidesign.device.link.faulty_transport import FaultyTransport, LineFaults
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.errors import InputError
from cidesign.hardware_profiles.loader import load_dmd

if TYPE_CHECKING:
    from collections.abc import Callable

    from cidesign.device.link.frames import MessageType
    from cidesign.device.link.transport import Transport

# name -> (rate when none is given, None where there is no rate; what happens)
FAULTS: dict[str, tuple[float | None, str]] = {
    "drop": (0.02, "a byte of a piece of data is lost"),
    "flip": (0.02, "a bit of a piece of data is flipped"),
    "duplicate": (0.02, "a piece of data comes twice"),
    "delay": (0.05, "a piece of data comes up to 0.5 s late"),
    "disconnect": (0.002, "the port goes away, and comes back"),
    "power-cut": (0.0005, "the controller starts anew, at a command"),
    "full-memory": (None, "the controller refuses every image"),
    "nak-storm": (0.3, "the bridge answers a request with busy"),
    "wrong-decoder": (None, "the controller shows wrong bits and reports no error"),
}


@click.command(
    short_help="A virtual DMD on a pseudo-terminal.",
    epilog="Faults: " + "; ".join(f"{name}: {text}" for name, (_, text) in FAULTS.items()) + ".",
)
@click.option(
    "--profile",
    "profile_name",
    required=True,
    shell_complete=profile_names,
    help="The device: a profile's name or .toml file.",
)
@click.option(
    "--render",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write what the mirrors show here, as PNG and npz.",
)
@force_option
@click.option("--fault", "faults", multiple=True, metavar="NAME[=RATE]", help="What goes wrong; may be repeated.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the faults.")
@click.option(
    "--link", type=click.Path(path_type=Path), help="A symbolic link to the pseudo-terminal, always the same."
)
@click.option(
    "--listen", metavar="HOST:PORT", help="A TCP port instead (any system); uploaders use socket://HOST:PORT."
)
@click.option(
    "--spool", type=click.Path(path_type=Path), help="Keep received files here, so that a restart loses none."
)
@click.option("--without-hdmi", is_flag=True, help="DLP4500: the control link alone, which takes no images.")
def command(
    profile_name: str,
    render: Path | None,
    force: bool,
    faults: tuple[str, ...],
    seed: int,
    link: Path | None,
    listen: str | None,
    spool: Path | None,
    without_hdmi: bool,
) -> None:
    """A virtual DMD with its bridge, for rehearsing uploads: prints the port to give to `cidesign upload`.

    The controller is modelled command by command and is stricter than the documents where they are vague.  What the
    mirrors would show goes to --render.  A DLP4500 comes with the computer at its HDMI input.  Ctrl-C ends it.
    """
    profile = load_dmd(profile_name)
    rates = parse_faults(faults)
    if link is not None and listen is not None:
        raise InputError("--link and --listen: a TCP port needs no link; give one of them")
    refuse_rendered(render, force)
    source = random.Random(seed)  # noqa: S311 - faults, not secrets
    device_faults = DeviceFaults(
        wrong_decoder="wrong-decoder" in rates,
        full_memory="full-memory" in rates,
        power_cut_rate=rates.get("power-cut", 0.0),
        source=source,
    )
    emulation = Emulation(profile, SkippingClock(), device_faults, render, hdmi=not without_hdmi)
    backend = Backend(emulation.dmd, emulation.tick, emulation.finish)
    with ends_on_signals() as stop, a_port(None, 0, listen, link) as open_port:
        serve(
            backend,
            with_line_faults(open_port, rates, source),
            stop,
            note,
            spool=spool,
            refuse=nak_storm(rates.get("nak-storm", 0.0), source),
        )


def parse_faults(faults: tuple[str, ...]) -> dict[str, float]:
    """Names and rates of the faults; raises `InputError` that names what is known."""
    rates = {}
    for text in faults:
        name, equals, value = text.partition("=")
        if name not in FAULTS:
            raise InputError(f"--fault {name!r}: known are {', '.join(FAULTS)}")
        usual = FAULTS[name][0]
        if equals and usual is None:
            raise InputError(f"--fault {text!r}: {name} is there or not; it takes no rate")
        try:
            rate = float(value) if equals else usual or 1.0
        except ValueError as error:
            raise InputError(f"--fault {text!r}: the rate is not a number; write {name}=0.01") from error
        if not 0 <= rate <= 1:
            raise InputError(f"--fault {text!r}: the rate is a chance between 0 and 1")
        rates[name] = rate
    return rates


def with_line_faults(
    open_port: "Callable[[], Transport]", rates: dict[str, float], source: random.Random
) -> "Callable[[], Transport]":
    """The port with the faults of the line in front of it, where there are any."""
    if not rates.keys() & {"drop", "flip", "duplicate", "delay", "disconnect"}:
        return open_port
    line = LineFaults(
        source,
        flip=rates.get("flip", 0.0),
        drop_byte=rates.get("drop", 0.0),
        duplicate=rates.get("duplicate", 0.0),
        delay=rates.get("delay", 0.0),
    )
    return lambda: FaultyTransport(open_port(), line, rates.get("disconnect", 0.0), source)


def nak_storm(rate: float, source: random.Random) -> "Callable[[MessageType], str | None] | None":
    """What refuses requests at random, or None."""
    if not rate:
        return None
    return lambda _: "busy by the fault nak-storm" if source.random() < rate else None

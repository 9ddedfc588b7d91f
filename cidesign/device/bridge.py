"""The computer beside the DMD: owns the device, answers uploaders on a port, and leaves the device stopped and idle."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cidesign.device.clock import SkippingClock, SystemClock
from cidesign.device.dmd import Dmd
from cidesign.device.link.frames import MessageType
from cidesign.device.link.server import LinkServer
from cidesign.device.link.transport import Transport, TransportClosed, open_pty
from cidesign.errors import DeviceError, FileError, InputError
from cidesign.hardware_profiles.dmd.schema import DmdProfile

_STEP_S = 0.05
_STEP_SHOWING_S = 0.002
_REOPEN_S = 1.0


@dataclass(frozen=True)
class Backend:
    """A device; `tick` is called all the time and says whether it is showing frames, `finish` at the very end."""

    dmd: Dmd
    tick: Callable[[], bool] = lambda: False
    finish: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class BackendOptions:
    """What a back end needs to know beside its name; see `cidesign bridge --help`."""

    i2c_bus: int = 1
    frame_hz: float = 60.0
    count_reading: Literal["repeats", "patterns"] | None = None
    render: Path | None = None


def open_backend(name: str, profile: DmdProfile, options: BackendOptions, stop: threading.Event) -> Backend:
    """Open the device of a profile; raises `InputError` for a back end that it cannot have, with the reason."""
    kind = profile.controller.value
    if options.render is not None and name != "emulator":
        raise InputError(f"--render: back end {name} has real mirrors; only --backend emulator renders them")
    if name == "emulator":
        from cidesign.device.emulator import Emulation
        from cidesign.device.virtual_faults import DeviceFaults

        emulation = Emulation(profile, SkippingClock(), DeviceFaults(), options.render)
        return Backend(emulation.dmd, emulation.tick, emulation.finish)
    if kind == "dlpc410":
        raise InputError(
            f"{profile.id}: no back end drives this controller: such boards have no documented command set, only their "
            "vendor's library; `cidesign export` writes the planes that it takes"
        )
    if name == "display":
        return _open_display(profile, options)
    if kind == "dlpc350":
        return _open_dlpc350(name, profile)
    return Backend(_open_dlpc900(name, profile, options, stop))


def _open_display(profile: DmdProfile, options: BackendOptions) -> Backend:
    from cidesign.device.dlpc350 import tables as dlpc350_tables
    from cidesign.device.dlpc350.display import HdmiDlpc350, TkCanvas
    from cidesign.device.dlpc350.driver import Dlpc350
    from cidesign.device.hid import open_hid

    if profile.controller.value != "dlpc350":
        raise InputError(f"{profile.id}: back end display is for the DLPC350 (DLP4500); use --backend hid")
    longest_hz = profile.timing.video_max_frame_hz
    if longest_hz is not None and options.frame_hz > longest_hz.value:
        raise InputError(f"--frame-hz {options.frame_hz:g}: {profile.id} takes at most {longest_hz.value:g} Hz")
    canvas = TkCanvas()
    clock = SystemClock()
    device = Dlpc350(open_hid(dlpc350_tables.USB_PRODUCT_ID, profile.id), profile, clock)
    dmd = HdmiDlpc350(device, canvas, clock, int(1_000_000 / options.frame_hz))
    return Backend(dmd, dmd.tick)


def _open_dlpc350(name: str, profile: DmdProfile) -> Backend:
    from cidesign.device.dlpc350 import tables as dlpc350_tables
    from cidesign.device.dlpc350.driver import Dlpc350
    from cidesign.device.hid import open_hid

    if name == "i2c":
        raise InputError(
            f"{profile.id}: back end i2c: not every I2C code of the DLPC350 that is needed is confirmed by a source; "
            "use --backend display or --backend hid"
        )
    return Backend(Dlpc350(open_hid(dlpc350_tables.USB_PRODUCT_ID, profile.id), profile, SystemClock()))


def _open_dlpc900(name: str, profile: DmdProfile, options: BackendOptions, stop: threading.Event) -> Dmd:
    from cidesign.device.commands import CommandLink
    from cidesign.device.dlpc900 import tables as dlpc900_tables
    from cidesign.device.dlpc900.driver import Dlpc900
    from cidesign.device.hid import open_hid
    from cidesign.device.i2c import open_i2c

    link: CommandLink
    if name == "i2c":
        link = open_i2c(options.i2c_bus, dlpc900_tables.I2C_CODES, profile.id)
    else:
        link = open_hid(dlpc900_tables.USB_PRODUCT_ID, profile.id)
    return Dlpc900(link, profile, SystemClock(), options.count_reading, stop.is_set)


@contextlib.contextmanager
def pty_port(link: Path | None, announce: Callable[[str], None]) -> Iterator[Callable[[], Transport]]:
    """Yield what opens a pseudo-terminal and announces its path; with `link`, a symbolic link to it, which stays the
    same when the port is opened again and is removed at the end."""

    def open_port() -> Transport:
        transport, path = open_pty()
        if link is not None:
            _point(link, path)
        announce(path if link is None else str(link))
        return transport

    try:
        yield open_port
    finally:
        if link is not None and link.is_symlink():
            link.unlink()


def _point(link: Path, target: str) -> None:
    if link.exists() and not link.is_symlink():
        raise FileError(f"{link}: exists and is no symbolic link; choose another --link")
    temporary = link.with_name(f".{link.name}.{os.getpid()}.partial")
    try:
        temporary.symlink_to(target)
        os.replace(temporary, link)
    except OSError as error:
        raise FileError(
            f"{link}: the link cannot be made ({error.strerror or error}); choose another --link"
        ) from error


def serve(
    backend: Backend,
    open_port: Callable[[], Transport],
    stop: threading.Event,
    note: Callable[[str], None],
    *,
    spool: Path | None = None,
    base_baud: int = 115_200,
    max_baud: int = 4_000_000,
    refuse: Callable[[MessageType], str | None] | None = None,
) -> None:
    """Answer uploaders until `stop` is set; a port that goes away is opened again.

    However it ends, the device is left stopped and idle; `DeviceError` when that fails.
    """
    server = LinkServer(backend.dmd, spool=spool, base_baud=base_baud, max_baud=max_baud, refuse=refuse, on_event=note)
    try:
        info = backend.dmd.info()
        note(f"{info.profile_id}: {info.controller}, firmware {'.'.join(map(str, info.firmware))}")
        _answer(server, backend, open_port, stop, note)
    finally:
        server.close()
        try:
            backend.dmd.close()
        finally:
            backend.finish()
        note("the device is stopped and idle")


def _answer(
    server: LinkServer,
    backend: Backend,
    open_port: Callable[[], Transport],
    stop: threading.Event,
    note: Callable[[str], None],
) -> None:
    first = open_port()
    server.connect(first)
    transport: Transport | None = first
    try:
        while not stop.is_set():
            # First, for the screen must be there before anybody can ask for the device.
            try:
                showing = backend.tick()
            except DeviceError as error:
                showing = False
                note(f"the sequence ended: {error}")
            if transport is None:
                transport = _reopen(open_port, stop)
                if transport is not None:
                    server.connect(transport)
                    note(f"{transport.name}: the port is back")
                continue
            try:
                server.step(_STEP_SHOWING_S if showing else _STEP_S)
            except TransportClosed as error:
                note(f"{error}; waiting for it to come back")
                transport.close()
                transport = None
    finally:
        if transport is not None:
            transport.close()


def _reopen(open_port: Callable[[], Transport], stop: threading.Event) -> Transport | None:
    try:
        return open_port()
    except DeviceError:
        stop.wait(_REOPEN_S)  # it was announced when it went; the next try may find it again
        return None

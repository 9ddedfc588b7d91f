"""The computer beside the DMD: owns the device, answers uploaders on a port, and leaves the device stopped and idle."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from cidesign.device.clock import SkippingClock
from cidesign.device.controllers import Backend, BackendOptions, controller
from cidesign.device.emulator import Emulation
from cidesign.device.link.frames import MessageType
from cidesign.device.link.server import LinkServer
from cidesign.device.link.transport import Transport, TransportClosed, listen_tcp, open_pty, open_transport
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.errors import DeviceError, FileError, InputError
from cidesign.hardware_profiles.dmd.schema import DmdProfile

_STEP_S = 0.05
_STEP_SHOWING_S = 0.002
_REOPEN_S = 1.0


# The back end of every device that has a virtual counterpart.
EMULATOR = "emulator"


def open_backend(name: str, profile: DmdProfile, options: BackendOptions, stop: threading.Event) -> Backend:
    """Open the device of a profile; raises `InputError` for a back end that it cannot have, with the reason."""
    if name == EMULATOR:
        emulation = Emulation(profile, SkippingClock(), DeviceFaults(), options.render)
        return Backend(emulation.dmd, emulation.tick, emulation.finish)
    if options.render is not None:
        raise InputError(f"--render: back end {name} has real mirrors; only --backend {EMULATOR} renders them")
    return controller(profile.controller.value).open(name, profile, options, stop)


def port_to_answer(port: str | None, baud: int, listen: str | None) -> Callable[[], Transport] | None:
    """What opens the serial port, or the TCP port HOST:PORT, to answer on; None where neither is named.

    Raises `InputError` where both are, and for what is no HOST:PORT.
    """
    if port and listen:
        raise InputError("--port and --listen: give one of them")
    if port:
        return lambda: open_transport(port, baud)
    if not listen:
        return None
    host, _, number = listen.rpartition(":")
    if not host or not number.isdecimal() or int(number) > 65_535:
        raise InputError(f"--listen {listen!r}: write HOST:PORT, such as 127.0.0.1:4500 (port 0: any free one)")
    return lambda: listen_tcp(host, int(number))


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

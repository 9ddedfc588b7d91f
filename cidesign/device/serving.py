"""A bridge in a thread: it owns a device, or a virtual one, and answers uploaders while a program goes on."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cidesign.device.bridge import EMULATOR, open_backend, port_to_answer, serve
from cidesign.device.controllers import BackendOptions
from cidesign.device.link.transport import Transport
from cidesign.errors import DeviceError, InputError
from cidesign.hardware_profiles.dmd.schema import DmdProfile

# Where uploaders on the same computer reach a virtual device: any free port.
HERE = "127.0.0.1:0"
LONGEST_START_S = 30.0


@contextmanager
def bridged(
    profile: DmdProfile,
    backend: str,
    options: BackendOptions,
    *,
    port: str | None = None,
    listen: str | None = None,
    baud: int = 115_200,
    max_baud: int = 4_000_000,
    spool: Path | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """The name of the port on which the device is served until the context ends; it is left stopped and idle.

    Raises `InputError` for a back end that the device cannot have, `DeviceError` for one that is not there or a port
    that does not open, and at the end of the context what ended it early.
    """
    open_port = port_to_answer(port, baud, listen or (HERE if backend == EMULATOR and not port else None))
    if open_port is None:
        raise InputError(f"port: name the serial port that back end {backend} answers on, or listen=HOST:PORT")
    opener, stop = open_port, threading.Event()
    started: queue.Queue[str | None] = queue.Queue()
    failures: list[BaseException] = []

    def opened() -> Transport:
        transport = opener()
        started.put(transport.name)
        return transport

    def answer() -> None:
        try:
            # Here, as a screen belongs to the thread that opened it.
            device = open_backend(backend, profile, options, stop)
            say = on_note or (lambda _: None)
            serve(device, opened, stop, say, spool=spool, base_baud=baud, max_baud=max_baud)
        except BaseException as error:  # told to the thread that waits
            failures.append(error)
        finally:
            started.put(None)

    thread = threading.Thread(target=answer, name=f"cidesign-bridge-{profile.id}", daemon=True)
    thread.start()
    try:
        try:
            name = started.get(timeout=LONGEST_START_S)
        except queue.Empty:
            raise DeviceError(f"{profile.id}: the bridge did not start in {LONGEST_START_S:g} s") from None
        if name is not None:
            yield name
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]

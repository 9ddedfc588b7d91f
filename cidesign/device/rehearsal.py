"""A virtual DMD with its bridge in a thread, so that a program can rehearse an upload to it."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cidesign.device.bridge import open_backend, serve
from cidesign.device.controllers import BackendOptions
from cidesign.device.link.transport import Transport, listen_tcp
from cidesign.errors import DeviceError
from cidesign.hardware_profiles.dmd.schema import DmdProfile

HOST = "127.0.0.1"
LONGEST_START_S = 30.0


@contextmanager
def emulated(
    profile: DmdProfile,
    render: Path | None = None,
    spool: Path | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """The port (`socket://127.0.0.1:N`) of a virtual device, served until the context ends.

    What the mirrors show is written to the folder `render`, received files are kept in `spool`.  Raises `DeviceError`
    when it does not start, and what ended it early, at the end of the context.
    """
    stop = threading.Event()
    names: queue.Queue[str] = queue.Queue()
    failures: list[BaseException] = []
    backend = open_backend("emulator", profile, BackendOptions(render=render), stop)

    def open_port() -> Transport:
        transport = listen_tcp(HOST, 0)
        names.put(transport.name)
        return transport

    def answer() -> None:
        try:
            serve(backend, open_port, stop, on_note or (lambda _: None), spool=spool)
        except BaseException as error:  # told to the thread that waits
            failures.append(error)

    thread = threading.Thread(target=answer, name=f"cidesign-emulator-{profile.id}", daemon=True)
    thread.start()
    try:
        try:
            name = names.get(timeout=LONGEST_START_S)
        except queue.Empty:
            raise DeviceError(f"{profile.id}: the virtual device did not start in {LONGEST_START_S:g} s") from None
        yield name
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]

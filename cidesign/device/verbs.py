"""The verbs of a device beside this computer, or of an emulated one, as functions of `cidesign.api`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cidesign.device.bridge import EMULATOR
from cidesign.device.controllers import BackendOptions
from cidesign.device.link.upload import connected
from cidesign.device.serving import bridged
from cidesign.hardware_profiles.loader import load_dmd

if TYPE_CHECKING:
    from cidesign.device.link.messages import LinkStatus

# What names a file or a folder.
Place = str | PathLike[str]


def status(port: str, *, baud: int = 115_200) -> "LinkStatus":
    """What a loaded device says of itself."""
    with connected(port, baud) as uploader:
        uploader.connect()
        answer = uploader.status()
        uploader.leave()
    return answer


def stop(port: str, *, baud: int = 115_200) -> "LinkStatus":
    """Stop a loaded device; what it says then."""
    with connected(port, baud) as uploader:
        uploader.connect()
        answer = uploader.stop()
        uploader.leave()
    return answer


@contextmanager
def emulate(profile: Place, *, render: Place | None = None, spool: Place | None = None) -> Iterator[str]:
    """A virtual DMD with its bridge, as a context whose value is the port to give to `upload`.

    What the mirrors show is written to the folder `render`; `spool` keeps received files for a later resume.
    """
    shown, kept = (None if place is None else Path(place) for place in (render, spool))
    with bridged(load_dmd(str(profile)), EMULATOR, BackendOptions(render=shown), spool=kept) as port:
        yield port


@contextmanager
def bridge(
    profile: Place,
    backend: str,
    *,
    port: str | None = None,
    listen: str | None = None,
    baud: int = 115_200,
    max_baud: int = 4_000_000,
    spool: Place | None = None,
    i2c_bus: int = 1,
    frame_hz: float = 60.0,
    count_means: Literal["repeats", "patterns"] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """Own the DMD that is beside this computer, and answer uploaders, until the context ends; it is left stopped.

    `backend` is how the device is reached ("hid", "i2c", "display"), `port` the serial port to answer on, or `listen`
    a TCP port as HOST:PORT; the context's value is the name of the port.  `spool` keeps received files for a later
    resume; `i2c_bus`, `frame_hz` and `count_means` are those of `cidesign bridge --help`.  Raises `InputError` for a
    back end that the device cannot have, and `DeviceError` for a device or a port that is not there.
    """
    options = BackendOptions(i2c_bus, frame_hz, count_means)
    device, kept = load_dmd(str(profile)), None if spool is None else Path(spool)
    with bridged(
        device, backend, options, port=port, listen=listen, baud=baud, max_baud=max_baud, spool=kept, on_note=on_note
    ) as name:
        yield name

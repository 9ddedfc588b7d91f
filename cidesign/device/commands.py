"""What the TI drivers have in common: a link for numbered commands, and the promise to leave a device stopped."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from cidesign.device.clock import Clock
from cidesign.errors import DeviceError

POLL_US = 10_000


class CommandLink(Protocol):
    """Carries numbered commands to a controller (USB-HID or I2C); knows nothing of their meaning."""

    def write(self, command: int, data: bytes, reply: bool) -> None:
        """Send a command; with `reply` wait for the device's acknowledgement where the link has one.

        Raises `CommandRefused` when the device answers with its error flag, `DeviceError` when it is silent.
        """

    def read(self, command: int, data: bytes) -> bytes:
        """Send a read command with its parameters and return the data of the answer; raises as `write`."""

    def close(self) -> None:
        """Release the link."""


class CommandRefused(DeviceError):
    """The device answered a command with its error flag set."""


def poll(clock: Clock, deadline_us: int, ready: Callable[[], bool], failure: str) -> None:
    """Ask `ready` every 10 ms until it is true; after `deadline_us` raise `DeviceError` with the text `failure`."""
    end_us = clock.now_us() + deadline_us
    while not ready():
        if clock.now_us() >= end_us:
            raise DeviceError(f"{failure} after {deadline_us / 1e6:g} s")
        clock.wait_us(POLL_US)


@contextlib.contextmanager
def stopped_on_error(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` when the body fails in any way, so that no half-loaded sequence keeps the mirrors moving.

    When stopping fails too, a `DeviceError` says both.
    """
    try:
        yield
    except BaseException as error:
        try:
            stop()
        except DeviceError as second:
            if isinstance(error, DeviceError):
                raise DeviceError(
                    f"{error}; then the device could not be stopped either ({second}): switch it off and on"
                ) from error
            error.add_note(f"the device could not be stopped: {second}")
        raise

"""How a command is ended from outside: Ctrl-C, SIGTERM (batch systems, `kill`) and SIGHUP (a closed terminal)."""

import contextlib
import signal
import threading
import types
from collections.abc import Callable, Iterator
from typing import NoReturn

Handler = Callable[[int, types.FrameType | None], None] | signal.Handlers

_ENDING = [signal.SIGINT, signal.SIGTERM]
if hasattr(signal, "SIGHUP"):  # not on Windows
    _ENDING.append(signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """A signal ended the command; whatever tidies up after Ctrl-C does so after each of them."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = exit_code_of(number)


def exit_code_of(number: int) -> int:
    """What a command leaves with when a signal ended it, as in a shell: 130, 143 or 129."""
    return 128 + number


def break_off(number: int, frame: types.FrameType | None) -> NoReturn:
    """The handler that ends a command where it is."""
    raise Ended(number)


@contextlib.contextmanager
def signals_to(handler: Handler) -> Iterator[None]:
    """Send the three signals to a handler; a SIGHUP that is ignored (`nohup`) stays ignored.

    Only the main thread is sent signals: in another one nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for number in _ENDING if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)

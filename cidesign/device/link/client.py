"""Runs a procedure of the uploader on a real transport."""

import time
from collections.abc import Callable

from cidesign.device.link.core import SetBaud
from cidesign.device.link.link import Link, Procedure, T
from cidesign.device.link.transport import Transport

_LONGEST_WAIT_S = 0.5


def run(procedure: Procedure[T], link: Link, transport: Transport, clock: Callable[[], float] = time.monotonic) -> T:
    """Drive `procedure` until it returns; what it raises, and what the link and the transport raise, comes through."""
    link.now = clock()
    while True:
        try:
            next(procedure)
        except StopIteration as done:
            _flush(link, transport)
            result: T = done.value
            return result
        _flush(link, transport)
        deadline = link.next_deadline()
        now = clock()
        wait_s = _LONGEST_WAIT_S if deadline is None else min(_LONGEST_WAIT_S, max(0.0, deadline - now))
        received = transport.read(wait_s)
        link.receive(received, clock())


def _flush(link: Link, transport: Transport) -> None:
    for item in link.outgoing():
        if isinstance(item, SetBaud):
            transport.drain()
            transport.set_baud(item.baud)
        else:
            transport.write(item)

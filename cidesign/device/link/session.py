"""What an uploader and a bridge say to each other, in order: connect, change the rate, ask, run, stop.

Procedures are generators over a `Link`: they yield until something has happened (see `client.run`).
"""

from cidesign import __version__
from cidesign.device.link.core import CONFIRM_S, IDLE_S
from cidesign.device.link.frames import PROTOCOL_VERSION, MessageType
from cidesign.device.link.link import Link, Pending, Procedure, answer_to, require_ack
from cidesign.device.link.messages import Caps, LinkStatus, NakReason, Run, clip_text, pack_u32
from cidesign.device.link.slip import END
from cidesign.errors import DeviceError

CONNECT_S = IDLE_S + 3.0
HELLO_S = 0.8
SETTLE_S = 0.05
BAUD_ATTEMPTS = 3
ECHO_ATTEMPTS = 3
CHATTER_ATTEMPTS = 6  # a board that was reset by opening its port prints for a second or two first
STOP_S = 12.0
LOOK_S = 0.1


def connect(link: Link, port: str, other_baud: int | None = None) -> Procedure[Caps]:
    """Procedure: find the bridge; raises `DeviceError` for silence, an echo or another protocol on the port.

    A bridge that an interrupted upload left at `other_baud` is looked for there too, until it has come back.
    """
    base = link.baud
    give_up_at = link.now + CONNECT_S
    attempt = 0
    while link.now < give_up_at:
        rate = other_baud if other_baud is not None and attempt % 3 == 2 else base
        attempt += 1
        if rate != link.baud:
            link.set_baud(rate)
        hello = link.submit(MessageType.HELLO, clip_text(f"cidesign {__version__}"))
        yield from _wait(link, hello, HELLO_S)
        while hello.reply is None and (hello.busy_since is not None or hello.refusals):
            yield
        if hello.reply is not None:
            return Caps.unpack(require_ack(hello))
        link.forget(hello)
        chatter = not link.heard and len(link.sample) >= 64 and attempt >= CHATTER_ATTEMPTS
        if chatter or (link.echoed and attempt >= ECHO_ATTEMPTS):
            break
    raise DeviceError(f"{port}: {_why_no_answer(link)}")


def _wait(link: Link, pending: Pending, limit_s: float) -> Procedure[None]:
    until = link.now + limit_s
    link.alarm = until
    while pending.reply is None and link.now < until:
        yield
    link.alarm = None


def _pause(link: Link, duration_s: float) -> Procedure[None]:
    until = link.now + duration_s
    link.alarm = until
    while link.now < until:
        yield
    link.alarm = None


def _why_no_answer(link: Link) -> str:
    if link.echoed:
        return "the port returns what is sent; a loop-back, or TX wired to RX? Connect it to a cidesign bridge"
    if any(bytes([END, PROTOCOL_VERSION, kind]) in link.sample for kind in MessageType if kind >= MessageType.CAPS):
        return "a bridge answers, but its frames arrive damaged; check ground, cable length and rate"
    if link.sample:
        shown = link.sample[:32]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in link.sample[:64])
        return (
            f"something else than a cidesign bridge sends here: {shown.hex(' ')} ({text!r}); "
            "is it the right port, and does the bridge run at the same base rate?"
        )
    return (
        "nothing answers; is `cidesign bridge` running at the other end, is TX wired to RX, "
        f"and is its rate {link.baud} baud?"
    )


def change_baud(link: Link, baud: int) -> Procedure[bool]:
    """Procedure: go on at another rate; False when it does not work, and both ends are back at the old one.

    Raises `DeviceError` when the bridge refuses the rate.
    """
    before = link.baud
    if baud == before:
        return True
    for _ in range(BAUD_ATTEMPTS):
        asked = link.submit(MessageType.BAUD, pack_u32(baud))
        yield from _wait(link, asked, CONFIRM_S / 2)
        link.forget(asked)
        if asked.reply is not None:
            require_ack(asked)
            link.set_baud(baud)
            yield from _pause(link, SETTLE_S)
            if (yield from _confirmed(link)):
                return True
            link.set_baud(before)
        # Whatever the bridge heard, after this time it is back at the old rate.
        yield from _pause(link, CONFIRM_S + SETTLE_S)
    return False


def _confirmed(link: Link) -> Procedure[bool]:
    """Procedure: whether both directions work at the new rate."""
    give_up_at = link.now + CONFIRM_S / 2
    while link.now < give_up_at:
        ping = link.submit(MessageType.PING)
        yield from _wait(link, ping, CONFIRM_S / 6)
        link.forget(ping)
        if ping.reply is not None:
            # The bridge keeps the rate only when it hears something else than PING: then both directions work.
            require_ack((yield from answer_to(link, MessageType.HELLO)))
            return True
    return False


def ask_status(link: Link) -> Procedure[LinkStatus]:
    """Procedure: what the device says of itself."""
    return LinkStatus.unpack(require_ack((yield from answer_to(link, MessageType.QUERY))))


def start(link: Link, run: int, repeats: int, upload: bytes) -> Procedure[LinkStatus]:
    """Procedure: show the sequence `repeats` times (0: until stopped); `run` is a number not used before.

    Raises `DeviceError` when the device does not hold the upload, or does not run afterwards.
    """
    pending = yield from answer_to(link, MessageType.RUN, Run(run, repeats, upload).pack())
    refusal = pending.refusal
    if refusal is not None and refusal.reason == NakReason.NOT_LOADED:
        raise DeviceError("the device does not hold this upload any more; upload again")
    require_ack(pending)
    status = yield from ask_status(link)
    if status.error:
        raise DeviceError(f"the device reports after the start: {status.error}")
    if repeats == 0 and not status.running:
        raise DeviceError("the device took the start but does not run; does it wait for a trigger?")
    return status


def ended(link: Link, longest_s: float) -> Procedure[LinkStatus]:
    """Procedure: until what was started does not run any more; raises `DeviceError` when that takes longer."""
    give_up_at = link.now + longest_s
    while True:
        status = yield from ask_status(link)
        if status.error:
            raise DeviceError(f"the device reports while it shows the sequence: {status.error}")
        if not status.running:
            return status
        if link.now > give_up_at:
            raise DeviceError(
                f"the sequence has not ended after {longest_s:.0f} s; does the device wait for a trigger, or does it "
                "repeat the sequence?"
            )
        yield from _pause(link, LOOK_S)


def stop(link: Link) -> Procedure[LinkStatus]:
    """Procedure: stop the device and ask how it is; raises `DeviceError` when that takes longer than 12 s."""
    give_up_at = link.now + STOP_S
    answers = []
    for kind in (MessageType.STOP, MessageType.QUERY):
        pending = link.submit(kind)
        yield from _wait(link, pending, give_up_at - link.now)
        if pending.reply is None:
            link.forget(pending)
            raise DeviceError(
                f"the bridge did not answer {kind.name} for {STOP_S:.0f} s; look at the device, and repeat with "
                "`cidesign upload --stop`"
            )
        answers.append(require_ack(pending))
    return LinkStatus.unpack(answers[1])


def leave(link: Link, base_baud: int) -> Procedure[None]:
    """Procedure: put the bridge back to the rate it was found at, so that the next uploader finds it at once."""
    if link.baud != base_baud:
        asked = link.submit(MessageType.BAUD, pack_u32(base_baud))
        # Without an answer there is nothing to repair: the bridge comes back by itself after a silence.
        yield from _wait(link, asked, CONFIRM_S / 2)
        link.forget(asked)
        link.set_baud(base_baud)

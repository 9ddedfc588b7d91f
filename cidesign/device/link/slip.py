"""SLIP framing (RFC 1055): frames of any bytes on a byte stream, self-synchronising at every delimiter."""

END, ESC, ESC_END, ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD

_END = bytes([END])
_ESC = bytes([ESC])
_ESCAPED_END = bytes([ESC, ESC_END])
_ESCAPED_ESC = bytes([ESC, ESC_ESC])


def encode(content: bytes) -> bytes:
    """`C0 content C0`, with C0 inside written as DB DC and DB as DB DD.

    The leading delimiter ends whatever noise came before, so that noise costs no frame.
    """
    return _END + content.replace(_ESC, _ESCAPED_ESC).replace(_END, _ESCAPED_END) + _END


def decode(body: bytes) -> bytes | None:
    """The content between two delimiters; None when an escape is not followed by DC or DD."""
    if _ESC not in body:
        return body
    parts = body.split(_ESC)
    decoded = [parts[0]]
    for part in parts[1:]:
        if not part or part[0] not in (ESC_END, ESC_ESC):
            return None
        decoded.append((_END if part[0] == ESC_END else _ESC) + part[1:])
    return b"".join(decoded)


class SlipDecoder:
    """Cuts a byte stream into the bodies between delimiters; memory is bounded by `max_body_bytes`.

    A body that grows longer is thrown away up to the next delimiter and counted in `overruns`.
    """

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._body = bytearray()
        self._skipping = False
        self.overruns = 0

    def feed(self, received: bytes) -> list[bytes]:
        """The bodies that `received` completes, still escaped and without empty ones (see `decode`)."""
        bodies = []
        pieces = received.split(_END)
        for piece in pieces[:-1]:
            self._append(piece)
            if self._body and not self._skipping:
                bodies.append(bytes(self._body))
            self._body.clear()
            self._skipping = False
        self._append(pieces[-1])
        return bodies

    def _append(self, piece: bytes) -> None:
        if self._skipping:
            return
        if len(self._body) + len(piece) > self._max_body_bytes:
            self._skipping = True
            self.overruns += 1
            self._body.clear()
            return
        self._body += piece

"""What talks to the core of a bridge, and an upload, for the tests of both."""

from collections.abc import Callable
from typing import Any

import pytest

from cidesign.device.link.core import ServerCore, SetBaud
from cidesign.device.link.frames import Frame, FrameReader, MessageType
from cidesign.device.link.messages import (
    Begin,
    Data,
    Held,
    Nak,
    Named,
    tag_of,
)
from cidesign.device.link.transfer import LinkUpload
from cidesign.errors import CidesignError

M = MessageType


class Talker:
    """Sends requests to a core and gives its replies; device actions are carried out at once unless held back."""

    def __init__(self, core: ServerCore, act: bool = True) -> None:
        self.core, self.act, self.now, self.sequence = core, act, 0.0, 100

    def send(self, frame: Frame) -> list[Frame | SetBaud]:
        self.core.receive(frame.pack(), self.now)
        while self.act and (action := self.core.next_action()):
            try:
                self.core.finish(action, action.call(), None)
            except CidesignError as error:
                self.core.finish(action, None, error)
        return self.replies()

    def replies(self) -> list[Frame | SetBaud]:
        found: list[Frame | SetBaud] = []
        for item in self.core.outgoing():
            found += [item] if isinstance(item, SetBaud) else FrameReader().feed(item)
        return found

    def ask(self, kind: int, payload: bytes = b"") -> Frame:
        self.sequence += 1
        [reply] = self.send(Frame(kind, self.sequence, payload))
        assert isinstance(reply, Frame)
        assert reply.sequence == self.sequence
        return reply

    def ack(self, kind: int, payload: bytes = b"") -> bytes:
        reply = self.ask(kind, payload)
        assert reply.type == M.ACK, Nak.unpack(reply.payload)
        assert reply.payload[0] == kind
        return reply.payload[1:]

    def nak(self, kind: int, payload: bytes = b"") -> Nak:
        reply = self.ask(kind, payload)
        assert reply.type == M.NAK
        nak = Nak.unpack(reply.payload)
        assert nak.request == kind
        assert nak.text
        return nak

    def begin(self, upload: LinkUpload, number: int, job: int = 7) -> Held:
        item = upload.objects[number]
        begin = Begin(item.slot, len(item.content), item.sha256, job, upload.design, upload.digest)
        return Held.unpack(self.ack(M.BEGIN, begin.pack()))

    def data(self, upload: LinkUpload, number: int, step: int = 512) -> None:
        item = upload.objects[number]
        for offset in range(0, len(item.content), step):
            self.ack(M.DATA, Data(tag_of(item.sha256), offset, item.content[offset : offset + step]).pack())

    def named(self, upload: LinkUpload, number: int) -> bytes:
        item = upload.objects[number]
        return Named(item.slot, item.sha256).pack()

    def load(self, upload: LinkUpload, number: int, job: int = 7) -> None:
        if self.begin(upload, number, job).missing:
            self.data(upload, number)
        self.ack(M.COMMIT, self.named(upload, number))

    def load_all(self, upload: LinkUpload, job: int = 7) -> None:
        for number in range(len(upload.objects)):
            self.load(upload, number, job)


@pytest.fixture
def upload(new_upload: Callable[..., LinkUpload]) -> LinkUpload:
    return new_upload([1300, 700])


@pytest.fixture
def talker(strict_dmd: Any, new_bridge: Callable[..., ServerCore]) -> Talker:
    return Talker(new_bridge(strict_dmd))


@pytest.fixture
def new_talker() -> type[Talker]:
    """Makes what talks to a core."""
    return Talker

"""The conformance transcript of docs/serial-protocol.md, replayed against the bridge's core and the uploader's."""

import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cidesign.device.dmd import TableEntry
from cidesign.device.link import core, session
from cidesign.device.link.core import ServerCore, SetBaud
from cidesign.device.link.link import Link, Procedure
from cidesign.device.link.messages import Slot
from cidesign.device.link.transfer import LinkObject, LinkUpload, TransferReport
from cidesign.errors import CidesignError

TRANSCRIPT = Path(__file__).parent / "data" / "conformance.txt"
SPECIFICATION = Path(__file__).parents[2] / "docs" / "serial-protocol.md"


class Line(NamedTuple):
    """A line of the transcript: its mark, what follows, and where it stands."""

    mark: str
    value: str
    number: int


def sections() -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    name = ""
    for number, text in enumerate(TRANSCRIPT.read_text(encoding="ascii").splitlines(), 1):
        if text.startswith("[") and text.endswith("]"):
            name = text[1:-1]
            found[name] = []
        elif text and not text.startswith("#"):
            assert text[0] in "><@%", f"line {number}"
            found[name].append(Line(text[0], text[2:], number))
    return found


@pytest.fixture(autouse=True)
def _no_version_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "__version__", "0")
    monkeypatch.setattr(session, "__version__", "0")


def take_answers(bridge: ServerCore) -> list[tuple[str, str]]:
    while action := bridge.next_action():
        try:
            bridge.finish(action, action.call(), None)
        except CidesignError as error:
            bridge.finish(action, None, error)
    return [("%", str(item.baud)) if isinstance(item, SetBaud) else ("<", item.hex(" ")) for item in bridge.outgoing()]


@pytest.mark.parametrize("name", sections())
def test_the_bridge_follows_the_transcript(name: str, strict_dmd: Any, new_bridge: Callable[..., ServerCore]) -> None:
    bridge = new_bridge(strict_dmd)
    now_s = 0.0
    answers: list[tuple[str, str]] = []
    for line in sections()[name]:
        # Requests in a row (a window) are answered in their order, after all of them.
        if line.mark in "<%":
            assert answers, f"line {line.number}: the bridge says nothing"
            assert answers.pop(0) == (line.mark, line.value), f"line {line.number}"
            continue
        if line.mark == "@":
            assert not answers, f"line {line.number}: the bridge said more: {answers}"
            now_s += float(line.value)
            bridge.tick(now_s)
        else:
            bridge.receive(bytes.fromhex(line.value), now_s)
        answers += take_answers(bridge)
    assert not answers


def test_the_uploader_follows_the_transcript(talk: Callable[..., Procedure[TransferReport]]) -> None:
    table = TableEntry(0, 0, 1, True, 105, 0).pack()
    image = bytes((7 * n + n // 50) % 256 for n in range(300))
    upload = LinkUpload((LinkObject(Slot(3, 0), table), LinkObject(Slot(1, 0), image)), bytes(range(32)))
    link = Link(115_200, 1)
    procedure = talk(link, upload, job=0x11223344, run=0x55667788)
    next(procedure)
    sent: list[str] = []
    finished = False
    for line in sections()["whole upload"]:
        sent += [item.hex(" ") for item in link.outgoing() if isinstance(item, bytes)]
        if line.mark == ">":
            assert sent, f"line {line.number}: the uploader says nothing"
            assert sent.pop(0) == line.value, f"line {line.number}"
            continue
        assert not finished, f"line {line.number}: the uploader has finished"
        link.receive(bytes.fromhex(line.value), 0.0)
        try:
            next(procedure)
        except StopIteration:
            finished = True
    assert finished
    assert not sent
    assert not link.outgoing()


def test_the_transcript_covers_every_request_and_refusal() -> None:
    kinds, reasons = set(), set()
    for lines in sections().values():
        for line in lines:
            if line.mark not in "<>":
                continue
            frame = bytes.fromhex(line.value)
            if frame[1] == 1 and frame[0] == frame[-1] == 0xC0:
                kinds.add(frame[2])
                if frame[2] == 0x42:
                    reasons.add(frame[8])
    assert {0x01, 0x02, 0x03, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x40, 0x41, 0x42, 0x43} <= kinds
    # BUSY, DEVICE and REFUSED depend on the device and on time; all other reasons occur.
    assert {1, 2, 3, 4, 5, 7, 8, 10} == reasons


def test_the_examples_of_the_specification_are_sound_frames() -> None:
    examples = re.findall(r"^ *([><]) ((?:[0-9a-f]{2} ?)+)$", SPECIFICATION.read_text(), re.MULTILINE)
    assert len(examples) >= 6
    for _, text in examples:
        wire = bytes.fromhex(text)
        assert wire[0] == wire[-1] == 0xC0
        body = wire[1:-1].replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
        assert zlib.crc32(body[:-4]) == int.from_bytes(body[-4:], "little")
        assert int.from_bytes(body[4:6], "little") == len(body) - 10

"""The uploader against bridges that are silent, old, of another rate, forgetful or small: clear ends, no waiting."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from cidesign.device.link import session
from cidesign.device.link.core import CONFIRM_S, ServerCore, SetBaud
from cidesign.device.link.faulty_transport import LineFaults
from cidesign.device.link.frames import Frame, FrameReader, MessageType
from cidesign.device.link.link import Link, Procedure, answer_to
from cidesign.device.link.messages import Nak, NakReason
from cidesign.device.link.transfer import LinkUpload, TransferReport, transfer
from cidesign.errors import DeviceError
from cidesign.testing.virtual_line import VirtualLine, Way

M = MessageType
Talk = Callable[..., Procedure[TransferReport]]
NewBridge = Callable[..., ServerCore]
NewUpload = Callable[..., LinkUpload]


def test_a_bridge_that_is_busy_for_ever_is_given_up() -> None:
    def busy(sent: bytes) -> bytes:
        [frame] = FrameReader().feed(sent)
        return Frame(M.NAK, frame.sequence, Nak(frame.type, NakReason.BUSY, "at work").pack()).pack()

    link = Link(115_200)
    with pytest.raises(DeviceError, match=r"COMMIT: the bridge is busy since 30\d s \(at work\)"):
        drive(link, answer_to(link, M.COMMIT), answer=busy)


def test_silence_is_named() -> None:
    link = Link(115_200)
    with pytest.raises(DeviceError, match=r"/dev/ttyX: nothing answers; is `cidesign bridge` running"):
        drive(link, session.connect(link, "/dev/ttyX"))


def test_another_protocol_is_shown_in_hex_and_text() -> None:
    link = Link(115_200)
    with pytest.raises(DeviceError, match=r"something else .* 6f 6b 0a 54 3a 32 .*'ok\.T:21") as caught:
        drive(link, session.connect(link, "/dev/ttyX"), answer=lambda _: b"ok\nT:21.5 /0.0\n" * 40)
    assert len(str(caught.value)) < 400


def test_an_echo_is_named() -> None:
    link = Link(115_200)
    with pytest.raises(DeviceError, match="returns what is sent"):
        drive(link, session.connect(link, "/dev/ttyX"), answer=lambda sent: sent)


def test_damaged_answers_are_named() -> None:
    link = Link(115_200)
    broken = Frame(M.CAPS, 0, bytes(60)).pack()[:-3] + b"\x00\x00\xc0"
    with pytest.raises(DeviceError, match="a bridge answers, but its frames arrive damaged"):
        drive(link, session.connect(link, "/dev/ttyX"), answer=lambda _: broken)


def test_another_version_names_both() -> None:
    link = Link(115_200)
    with pytest.raises(DeviceError, match="speaks protocol version 2, this cidesign version 1"):
        drive(link, session.connect(link, "x"), answer=lambda _: Frame(M.CAPS, 0, b"new", version=2).pack())


def test_a_version_refusal_is_final() -> None:
    link = Link(115_200)
    nak = Nak(M.HELLO, NakReason.VERSION, "this bridge speaks protocol version 3, not 1")
    with pytest.raises(DeviceError, match="version 3, not 1"):
        drive(link, session.connect(link, "x"), answer=lambda _: Frame(M.NAK, 0, nak.pack()).pack())


def drive(link: Link, procedure: Procedure[Any], answer: Callable[[bytes], bytes] = lambda _: b"") -> Any:
    """Run a procedure against a peer that is a function of what it gets, in virtual time."""
    link.now = 0.0
    while True:
        try:
            next(procedure)
        except StopIteration as done:
            return done.value
        sent = [item for item in link.outgoing() if isinstance(item, bytes)]
        received = b"".join(map(answer, sent))
        deadline = link.next_deadline()
        assert deadline is not None or received
        link.receive(received, link.now + 0.001 if received else deadline)


@pytest.mark.parametrize("bad_way", [Way.TO_BRIDGE, Way.TO_UPLOADER, None])
def test_a_rate_that_works_one_way_or_not_at_all_is_given_up(
    bad_way: Way | None, strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload, talk: Talk
) -> None:
    bridge = new_bridge(strict_dmd)
    link = Link(115_200)
    line = VirtualLine(link, bridge)
    through, rates = line._send, []

    def send(way: Way, item: bytes | SetBaud) -> None:
        if isinstance(item, SetBaud):
            rates.append((way, item.baud))
        elif line._ends[way].baud_at(1e9) == 921_600 and bad_way in (way, None):
            item = bytes(byte ^ 0x81 for byte in item)
        through(way, item)

    line._send = send  # type: ignore[method-assign]
    upload = new_upload([3000])
    line.run(talk(link, upload, baud=921_600))
    assert strict_dmd.shows(upload)
    assert link.baud == 115_200
    assert {baud for _, baud in rates} == {921_600, 115_200}
    assert all(end.baud_at(1e9) == 115_200 for end in line._ends.values())


def test_a_rate_that_works_is_kept_and_left(
    strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload, talk: Talk
) -> None:
    link = Link(115_200)
    line = VirtualLine(link, new_bridge(strict_dmd))
    upload = new_upload([200_000])
    line.run(talk(link, upload, baud=921_600))
    assert strict_dmd.shows(upload)
    assert line.now < upload.total_bytes * 10 / 921_600 + 1.0
    line.run(answer_to(link, M.PING))
    assert all(end.baud_at(1e9) == 115_200 for end in line._ends.values())


def test_a_bridge_left_at_a_high_rate_is_found_again(
    strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload, talk: Talk
) -> None:
    bridge = new_bridge(strict_dmd)
    first = Link(115_200)
    line = VirtualLine(first, bridge)
    line.run(session.connect(first, "virtual"))
    assert line.run(session.change_baud(first, 921_600))
    # The uploader is killed here; the next one begins at the base rate, 0.1 s later.
    second = Link(115_200, 500)
    line.link = second
    line._ends[Way.TO_BRIDGE].changes.append((line.now, 115_200))
    upload = new_upload([3000])
    line.run(talk(second, upload, baud=921_600))
    assert strict_dmd.shows(upload)
    assert line.now < CONFIRM_S + 15


def test_stop_gets_through_while_data_are_under_way(
    strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload
) -> None:
    link = Link(115_200)
    line = VirtualLine(link, new_bridge(strict_dmd))
    caps = line.run(session.connect(link, "virtual"))
    procedure = transfer(link, new_upload([50_000]), caps, 7)
    with pytest.raises(DeviceError, match="did not end within"):
        line.run(procedure, limit_s=2.0)
    link.abandon()
    before_s = line.now
    status = line.run(session.stop(link))
    assert strict_dmd.calls[-1] == "stop"
    assert not status.complete
    assert line.now - before_s < 1.5


def test_a_bridge_that_forgets_everything_is_told_again(
    strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload
) -> None:
    link = Link(115_200)
    line = VirtualLine(link, new_bridge(strict_dmd))
    caps = line.run(session.connect(link, "virtual"))
    upload = new_upload([30_000, 20_000])
    procedure = transfer(link, upload, caps, 7)
    with pytest.raises(DeviceError, match="did not end within"):
        line.run(procedure, limit_s=2.0)
    # Power is cut and comes back: another core, an empty device, the same line.
    strict_dmd.lose_power()
    line.bridge = new_bridge(strict_dmd)
    report = line.run(procedure)
    assert strict_dmd.shows(upload)
    assert report.passes == 2


def test_a_bridge_that_always_forgets_is_given_up(
    strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload
) -> None:
    link = Link(115_200)
    bridge = new_bridge(strict_dmd)
    bridge._store.tagged = lambda tag: None
    line = VirtualLine(link, bridge)
    caps = line.run(session.connect(link, "virtual"))
    with pytest.raises(DeviceError, match="lost what it was sent 4 times"):
        line.run(transfer(link, new_upload([3000]), caps, 7))


def test_an_eaten_byte_value_is_told_from_a_dead_line(
    strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload
) -> None:
    class SoftwareFlowControl(LineFaults):
        def pass_on(self, content: bytes) -> list[tuple[float, bytes]]:
            # Only in long frames: a short one may or may not hold the value.
            return [(0.0, content.replace(b"\x13", b"") if len(content) > 900 else content)]

    link = Link(115_200)
    line = VirtualLine(link, new_bridge(strict_dmd))
    caps = line.run(session.connect(link, "virtual"))
    line.faults = SoftwareFlowControl(random.Random(0))
    with pytest.raises(DeviceError, match=r"no answer to DATA after 9 tries, .*XON/XOFF"):
        line.run(transfer(link, new_upload([30_000]), caps, 7))


def test_a_frame_that_never_arrives_is_told_from_noise(
    strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload
) -> None:
    upload = new_upload([300_000])
    eaten = upload.objects[1].content[4096:4112]

    class EatsOneBlock(LineFaults):
        def pass_on(self, content: bytes) -> list[tuple[float, bytes]]:
            return [] if eaten in content else [(0.0, content)]

    link = Link(115_200)
    line = VirtualLine(link, new_bridge(strict_dmd), faults=EatsOneBlock(random.Random(0)))
    caps = line.run(session.connect(link, "virtual"))
    with pytest.raises(DeviceError, match=r"DATA was sent 25 times and never answered, though other frames are"):
        line.run(transfer(link, upload, caps, 7))


def test_a_small_bridge_is_fed_one_image_after_the_other(
    strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload, talk: Talk
) -> None:
    link = Link(115_200)
    bridge = new_bridge(strict_dmd, memory_bytes=5200, max_payload_bytes=264, window_frames=1)
    upload = new_upload([5000, 4000, 5000])
    VirtualLine(link, bridge, work_s=1.0).run(talk(link, upload))
    assert strict_dmd.shows(upload)


@pytest.mark.parametrize("seed", range(40))
def test_memory_for_the_largest_object_is_enough(
    seed: int, strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload, talk: Talk
) -> None:
    source = random.Random(seed)
    upload = new_upload([source.randrange(1, 6000) for _ in range(source.randrange(1, 7))], seed)
    largest = max(len(item.content) for item in upload.objects)
    bridge = new_bridge(strict_dmd, memory_bytes=largest + source.choice([0, 10, 1000]))
    for job in (1, 0, 2):
        link = Link(115_200, seed)
        line = VirtualLine(link, bridge, work_s=0.5)
        line.run(talk(link, upload, job=job))
        assert strict_dmd.shows(upload)
        # After a stop everything is loaded again, as far as it is still held without being sent again.
        line.run(session.stop(link))


def test_an_object_that_never_fits_is_refused(
    strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload, talk: Talk
) -> None:
    link = Link(115_200)
    bridge = new_bridge(strict_dmd, memory_bytes=5200)
    with pytest.raises(DeviceError, match=r"image 1: the bridge refused BEGIN \(full\): 6000 bytes do not fit"):
        VirtualLine(link, bridge).run(talk(link, new_upload([300, 6000])))


def test_the_same_bytes_go_over_once(strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload) -> None:
    upload = new_upload([9000, 9000])
    twin = LinkUpload(
        (
            upload.objects[0],
            upload.objects[1],
            type(upload.objects[2])(upload.objects[2].slot, upload.objects[1].content),
        ),
        upload.design,
    )
    link = Link(115_200)
    line = VirtualLine(link, new_bridge(strict_dmd))
    caps = line.run(session.connect(link, "virtual"))
    report = line.run(transfer(link, twin, caps, 7))
    assert strict_dmd.shows(twin)
    assert report.sent_bytes == 9000 + len(upload.objects[0].content)


def test_the_error_of_the_device_reaches_the_user(
    strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload, talk: Talk
) -> None:
    strict_dmd.fail_at_image = 0
    link = Link(115_200)
    with pytest.raises(DeviceError, match=r"image 0: the bridge refused COMMIT \(device\): error 9: bad compression"):
        VirtualLine(link, new_bridge(strict_dmd)).run(talk(link, new_upload([300, 600])))


def test_an_error_state_after_the_upload_is_an_error(
    strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload, talk: Talk
) -> None:
    strict_dmd.error = "sequence abort"
    link = Link(115_200)
    with pytest.raises(DeviceError, match="reports after the upload: sequence abort"):
        VirtualLine(link, new_bridge(strict_dmd)).run(talk(link, new_upload([300])))

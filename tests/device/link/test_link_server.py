"""The bridge's core, request by request: nothing wrong is loaded, nothing is loaded twice, every refusal has words."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from cidesign.device.link.core import CONFIRM_S, IDLE_S, ServerCore, SetBaud
from cidesign.device.link.frames import Frame, MessageType
from cidesign.device.link.messages import (
    Begin,
    Caps,
    Data,
    Held,
    LinkStatus,
    Nak,
    NakReason,
    Placed,
    Range,
    Run,
    Slot,
    pack_u32,
    tag_of,
)
from cidesign.device.link.transfer import LinkUpload

M = MessageType


def test_hello_names_the_device(talker: Any) -> None:
    reply = talker.ask(M.HELLO, b"test")
    assert reply.type == M.CAPS
    caps = Caps.unpack(reply.payload)
    assert caps.info.profile_id == "dlp6500"
    assert caps.info.min_exposure_us == {1: 105, 8: 4046}


def test_a_whole_upload_loads_in_order_and_runs(talker: Any, strict_dmd: Any, upload: LinkUpload) -> None:
    talker.load_all(upload)
    assert strict_dmd.calls == ["prepare", "table", ("image", 1, 0), ("image", 0, 0)]
    assert strict_dmd.shows(upload)
    status = LinkStatus.unpack(talker.ack(M.QUERY))
    assert (status.complete, status.upload, status.design) == (True, upload.digest, upload.design)
    talker.ack(M.RUN, Run(1, 3, upload.digest).pack())
    assert strict_dmd.calls[-1] == ("start", 3)


def test_both_halves_are_loaded(talker: Any, strict_dmd: Any, new_upload: Callable[..., LinkUpload]) -> None:
    upload = new_upload([600, 900], halves=2)
    talker.load_all(upload)
    assert strict_dmd.calls[2:] == [("image", 1, 0), ("image", 1, 1), ("image", 0, 0), ("image", 0, 1)]
    assert strict_dmd.shows(upload)


def test_a_repeated_commit_loads_once(talker: Any, strict_dmd: Any, upload: LinkUpload) -> None:
    talker.begin(upload, 0)
    talker.data(upload, 0)
    frame = Frame(M.COMMIT, 500, talker.named(upload, 0))
    first, again = talker.send(frame), talker.send(frame)
    assert first == again
    talker.ack(M.COMMIT, talker.named(upload, 0))
    assert strict_dmd.calls == ["prepare", "table"]


def test_a_commit_that_waits_is_not_begun_again(
    new_talker: Callable[..., Any], strict_dmd: Any, new_bridge: Callable[..., ServerCore], upload: LinkUpload
) -> None:
    talker = new_talker(new_bridge(strict_dmd), act=False)
    talker.begin(upload, 0)
    talker.data(upload, 0)
    frame = Frame(M.COMMIT, 500, talker.named(upload, 0))
    assert talker.send(frame) == []
    action = talker.core.next_action()
    assert action is not None
    [busy] = talker.send(frame)
    assert isinstance(busy, Frame)
    assert Nak.unpack(busy.payload).reason == NakReason.BUSY
    assert talker.nak(M.QUERY).reason == NakReason.BUSY
    # The link itself goes on while the device is at work.
    assert talker.begin(upload, 1).missing == (Range(0, 700),)
    talker.core.finish(action, action.call(), None)
    [done] = talker.replies()
    assert isinstance(done, Frame)
    assert (done.type, done.sequence) == (M.ACK, 500)
    assert talker.send(frame) == [done]
    assert strict_dmd.calls == ["prepare", "table"]


def test_wrong_bytes_never_reach_the_device(talker: Any, strict_dmd: Any, upload: LinkUpload) -> None:
    talker.load(upload, 0)
    item = upload.objects[1]
    talker.begin(upload, 1)
    wrong = bytearray(item.content)
    wrong[13] ^= 0x20
    talker.ack(M.DATA, Data(tag_of(item.sha256), 0, bytes(wrong[:512])).pack())
    talker.ack(M.DATA, Data(tag_of(item.sha256), 512, bytes(wrong[512:])).pack())
    nak = talker.nak(M.COMMIT, talker.named(upload, 1))
    assert nak.reason == NakReason.HASH
    assert strict_dmd.calls == ["prepare", "table"]
    # What was wrong is thrown away; sent again rightly, it is loaded.
    assert talker.begin(upload, 1).missing == (Range(0, 700),)
    talker.data(upload, 1)
    talker.ack(M.COMMIT, talker.named(upload, 1))
    assert strict_dmd.images[1, 0] == item.content


def test_held_bytes_are_not_overwritten(talker: Any, upload: LinkUpload) -> None:
    item = upload.objects[1]
    talker.begin(upload, 1)
    talker.data(upload, 1)
    talker.ack(M.DATA, Data(tag_of(item.sha256), 0, bytes(512)).pack())
    talker.load(upload, 0)
    talker.ack(M.COMMIT, talker.named(upload, 1))


def test_data_may_come_in_any_order_and_twice(talker: Any, strict_dmd: Any, upload: LinkUpload) -> None:
    talker.load(upload, 0)
    talker.load(upload, 1)
    item = upload.objects[2]
    talker.begin(upload, 2)
    acknowledged = []
    for offset in (1024, 0, 1024, 768, 256, 512):
        size = 276 if offset == 1024 else 256
        content = item.content[offset : offset + size]
        placed = Placed.unpack(talker.ack(M.DATA, Data(tag_of(item.sha256), offset, content).pack()))
        assert placed.offset == offset
        acknowledged.append(placed.first_missing)
    assert acknowledged == [0, 256, 256, 256, 512, 1300]
    talker.ack(M.COMMIT, talker.named(upload, 2))
    assert strict_dmd.shows(upload)


def test_stat_names_what_is_missing(talker: Any, upload: LinkUpload) -> None:
    item = upload.objects[2]
    talker.begin(upload, 2)
    talker.ack(M.DATA, Data(tag_of(item.sha256), 512, item.content[512:768]).pack())
    held = Held.unpack(talker.ack(M.STAT, talker.named(upload, 2)))
    assert held == Held(bytes(32), 256, (Range(0, 512), Range(768, 532)))


@pytest.mark.parametrize(
    ("offset", "size"), [(1, 255), (0, 255), (256, 100), (1280, 21), (1536, 1), (2**32 - 256, 256), (0, 1301)]
)
def test_bytes_outside_the_grid_or_the_object_are_refused(
    talker: Any, upload: LinkUpload, offset: int, size: int
) -> None:
    talker.begin(upload, 2)
    nak = talker.nak(M.DATA, Data(tag_of(upload.objects[2].sha256), offset, bytes(size)).pack())
    assert nak.reason == NakReason.RANGE


def test_what_is_out_of_order_is_refused(talker: Any, strict_dmd: Any, upload: LinkUpload) -> None:
    assert talker.nak(M.DATA, Data(5, 0, b"x").pack()).reason == NakReason.ORDER
    assert talker.nak(M.COMMIT, talker.named(upload, 0)).reason == NakReason.ORDER
    talker.begin(upload, 1)
    assert talker.nak(M.COMMIT, talker.named(upload, 1)).reason == NakReason.ORDER
    talker.data(upload, 1)
    nak = talker.nak(M.COMMIT, talker.named(upload, 1))
    assert nak.reason == NakReason.ORDER
    assert "table" in nak.text
    assert talker.nak(M.RUN, Run(1, 0, upload.digest).pack()).reason == NakReason.NOT_LOADED
    assert strict_dmd.calls == []


@pytest.mark.parametrize(
    ("slot", "length"), [(Slot(0, 0), 9), (Slot(4, 0), 9), (Slot(3, 1), 9), (Slot(1, 18), 9), (Slot(1, 0), 0)]
)
def test_objects_that_cannot_be_are_refused(talker: Any, slot: Slot, length: int) -> None:
    talker.ask(M.HELLO)
    begin = Begin(slot, length, bytes(32), 1, bytes(32), bytes(32))
    assert talker.nak(M.BEGIN, begin.pack()).reason == NakReason.RANGE


@pytest.mark.parametrize("kind", [M.BEGIN, M.DATA, M.STAT, M.COMMIT, M.RUN, M.BAUD])
def test_short_payloads_are_malformed(talker: Any, kind: MessageType) -> None:
    assert talker.nak(kind, b"\x01").reason == NakReason.MALFORMED


def test_unknown_types_are_refused_and_replies_ignored(talker: Any) -> None:
    assert talker.nak(0x3F).reason == NakReason.UNKNOWN
    for kind in (M.ACK, M.NAK, M.CAPS, M.LOG, 0xFE):
        assert talker.send(Frame(kind, 1, b"xx")) == []
        assert talker.send(Frame(kind, 1, b"xx", version=2)) == []


def test_another_version_is_told_so_by_number(talker: Any) -> None:
    [reply] = talker.send(Frame(M.HELLO, 9, b"", version=2))
    assert isinstance(reply, Frame)
    nak = Nak.unpack(reply.payload)
    assert nak.reason == NakReason.VERSION
    assert "version 1, not 2" in nak.text


def test_a_run_is_started_once_per_number(talker: Any, strict_dmd: Any, upload: LinkUpload) -> None:
    talker.load_all(upload)
    talker.ack(M.RUN, Run(5, 0, upload.digest).pack())
    talker.ack(M.STOP)
    # A late copy of the start must not start again.
    talker.ack(M.RUN, Run(5, 0, upload.digest).pack())
    assert not strict_dmd.running
    assert [call for call in strict_dmd.calls if call[0] == "start"] == [("start", 0)]


def test_a_run_of_another_upload_is_refused(talker: Any, upload: LinkUpload) -> None:
    talker.load_all(upload)
    assert talker.nak(M.RUN, Run(5, 0, hashlib.sha256(b"other").digest()).pack()).reason == NakReason.NOT_LOADED


def test_a_new_table_makes_the_images_be_loaded_again(
    talker: Any, strict_dmd: Any, upload: LinkUpload, new_upload: Callable[..., LinkUpload]
) -> None:
    talker.load_all(upload)
    other = new_upload([1300, 700], seed=1)
    changed = LinkUpload(other.objects, bytes(32))
    talker.load(changed, 0)
    assert not strict_dmd.images
    held = talker.begin(changed, 1)
    # The bytes are still held, but the device has them no more.
    assert held.missing == ()
    assert held.loaded_sha256 == bytes(32)


def test_after_a_stop_everything_is_loaded_again_from_memory(talker: Any, strict_dmd: Any, upload: LinkUpload) -> None:
    talker.load_all(upload)
    talker.ack(M.STOP)
    for number in range(3):
        assert talker.begin(upload, number, job=0) == Held(bytes(32), len(upload.objects[number].content), ())
    talker.load_all(upload, job=0)
    assert strict_dmd.shows(upload)


def test_a_device_that_lost_power_is_noticed(talker: Any, strict_dmd: Any, upload: LinkUpload) -> None:
    talker.load_all(upload)
    assert talker.begin(upload, 1, job=0).loaded_sha256 == upload.objects[1].sha256
    strict_dmd.lose_power()
    assert not LinkStatus.unpack(talker.ack(M.QUERY)).complete
    assert talker.begin(upload, 1, job=0).loaded_sha256 == bytes(32)


def test_a_device_that_lost_only_its_images_is_noticed(talker: Any, strict_dmd: Any, upload: LinkUpload) -> None:
    talker.load_all(upload)
    del strict_dmd.images[0, 0]
    assert not LinkStatus.unpack(talker.ack(M.QUERY)).complete


def test_another_job_sends_everything_again(talker: Any, upload: LinkUpload) -> None:
    talker.load_all(upload)
    assert talker.begin(upload, 1, job=7).missing == ()
    assert talker.begin(upload, 1, job=8) == Held(bytes(32), 0, (Range(0, 700),))
    # A late copy of the same announcement throws nothing away.
    talker.data(upload, 1)
    assert talker.begin(upload, 1, job=8).missing == ()


def test_an_error_of_the_device_is_reported_in_its_words(talker: Any, strict_dmd: Any, upload: LinkUpload) -> None:
    strict_dmd.fail_at_image = 0
    talker.load(upload, 0)
    talker.load(upload, 1)
    talker.begin(upload, 2)
    talker.data(upload, 2)
    nak = talker.nak(M.COMMIT, talker.named(upload, 2))
    assert (nak.reason, nak.text) == (NakReason.DEVICE, "error 9: bad compression")
    assert not LinkStatus.unpack(talker.ack(M.QUERY)).complete


def test_a_refused_load_is_not_tried_again_when_only_the_answer_was_lost(
    talker: Any, strict_dmd: Any, upload: LinkUpload
) -> None:
    strict_dmd.fail_at_image = 1
    talker.load(upload, 0)
    talker.begin(upload, 1)
    talker.data(upload, 1)
    frame = Frame(M.COMMIT, 900, talker.named(upload, 1))
    first = talker.send(frame)
    strict_dmd.fail_at_image = None
    assert talker.send(frame) == first
    assert strict_dmd.calls == ["prepare", "table"]


def test_memory_is_bounded(
    new_talker: Callable[..., Any], strict_dmd: Any, new_bridge: Callable[..., ServerCore], upload: LinkUpload
) -> None:
    talker = new_talker(new_bridge(strict_dmd, memory_bytes=1400))
    talker.load(upload, 0)
    talker.load(upload, 1)
    # The loaded image makes room for the next one.
    talker.load(upload, 2)
    assert strict_dmd.shows(upload)
    other = Begin(Slot(1, 0), 1401, bytes(32), 1, bytes(32), bytes(32))
    assert talker.nak(M.BEGIN, other.pack()).reason == NakReason.FULL


def test_a_refusal_storm_is_only_refusals(
    new_talker: Callable[..., Any], new_bridge: Callable[..., ServerCore], strict_dmd: Any
) -> None:
    talker = new_talker(new_bridge(strict_dmd, refuse=lambda kind: f"no {kind.name}"))
    nak = talker.nak(M.QUERY)
    assert (nak.reason, nak.text) == (NakReason.REFUSED, "no QUERY")
    assert strict_dmd.calls == []


def test_a_rate_is_given_up_unless_more_than_ping_comes(talker: Any) -> None:
    ack, change = talker.send(Frame(M.BAUD, 1, pack_u32(921_600)))
    assert isinstance(ack, Frame)
    assert change == SetBaud(921_600)
    talker.now = CONFIRM_S - 0.1
    talker.ack(M.PING)
    assert talker.core.next_deadline() == CONFIRM_S
    talker.now = CONFIRM_S
    talker.core.tick(talker.now)
    back, log = talker.replies()
    assert back == SetBaud(115_200)
    assert isinstance(log, Frame)
    assert b"back to 115200" in log.payload


def test_a_confirmed_rate_stays_until_silence(talker: Any) -> None:
    talker.send(Frame(M.BAUD, 1, pack_u32(921_600)))
    talker.now = 1.0
    talker.ask(M.HELLO)
    talker.core.tick(1.0 + IDLE_S - 0.1)
    assert talker.replies() == []
    talker.core.tick(1.0 + IDLE_S)
    assert talker.replies()[0] == SetBaud(115_200)


def test_a_repeated_baud_request_confirms_nothing(talker: Any) -> None:
    talker.send(Frame(M.BAUD, 1, pack_u32(921_600)))
    talker.send(Frame(M.BAUD, 1, pack_u32(921_600)))
    assert talker.core.next_deadline() == CONFIRM_S


@pytest.mark.parametrize("baud", [0, 1199, 4_000_001, 2**32 - 1])
def test_a_rate_that_the_bridge_does_not_take_is_refused(talker: Any, baud: int) -> None:
    assert talker.nak(M.BAUD, pack_u32(baud)).reason == NakReason.RANGE

"""The uploader's end against a bridge on a line in virtual time: throughput, faults, and refusals."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from cidesign.device.link import session
from cidesign.device.link.core import ServerCore, SetBaud
from cidesign.device.link.faulty_transport import LineFaults
from cidesign.device.link.frames import Frame, FrameReader, MessageType
from cidesign.device.link.link import MAX_REFUSALS, Link, Procedure, RoundTrip
from cidesign.device.link.messages import Data, Placed
from cidesign.device.link.transfer import LinkUpload, TransferReport, block_bytes, transfer
from cidesign.errors import DeviceError
from cidesign.testing.virtual_line import VirtualLine, Way

M = MessageType
Talk = Callable[..., Procedure[TransferReport]]
NewBridge = Callable[..., ServerCore]
NewUpload = Callable[..., LinkUpload]


def test_the_time_out_follows_rfc_6298() -> None:
    trip = RoundTrip()
    assert trip.timeout_s == 1.0
    trip.sample(0.4)
    # SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 RTTVAR (RFC 6298, 2.2).
    assert trip.timeout_s == pytest.approx(0.4 + 4 * 0.2)
    trip.sample(0.8)
    # RTTVAR = 3/4 0.2 + 1/4 |0.4 - 0.8|, then SRTT = 7/8 0.4 + 1/8 0.8 (2.3).
    assert trip.timeout_s == pytest.approx(0.45 + 4 * 0.25)
    trip.back_off()
    assert trip.timeout_s == pytest.approx(2.9)
    trip.back_off()
    assert trip.timeout_s == RoundTrip.LONGEST_S
    trip.answered()
    assert trip.timeout_s == pytest.approx(1.45)


@pytest.mark.parametrize("baud", [115_200, 921_600, 3_000_000])
@pytest.mark.parametrize("latency_s", [0.0, 0.005, 0.020])
def test_latency_costs_no_throughput(
    baud: int, latency_s: float, strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload
) -> None:
    upload = new_upload([baud // 4])
    link = Link(baud)
    line = VirtualLine(link, new_bridge(strict_dmd, base_baud=baud), latency_s)
    caps = line.run(session.connect(link, "virtual"))
    before_s, sent_before = line.now, line.sent_bytes(Way.TO_BRIDGE)
    report = line.run(transfer(link, upload, caps, 7))
    assert strict_dmd.shows(upload)
    assert report.resent_blocks == 0
    # 2.5 s of line time: announcing, loading and verifying cost a few round trips and 600 bytes, framing under 3 %.
    ideal_s = (upload.total_bytes + 600) * 10 / baud
    assert line.now - before_s < ideal_s / 0.965 + 12 * latency_s
    assert (line.sent_bytes(Way.TO_BRIDGE) - sent_before) * 0.96 < upload.total_bytes + 600


def test_the_window_is_filled_and_not_exceeded(strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload) -> None:
    in_flight = {}
    for window in (1, 3, 64):
        link = Link(3_000_000)
        line = VirtualLine(link, new_bridge(strict_dmd, base_baud=3_000_000, window_frames=window), 0.020)
        caps = line.run(session.connect(link, "virtual"))
        line.run(transfer(link, new_upload([200_000]), caps, 7))
        in_flight[window] = line.most_in_flight
    block = 4096 + 8 + 12
    assert block <= in_flight[1] < 1.05 * block
    assert 3 * block <= in_flight[3] < 3.1 * block
    # What the line holds in one round trip is 3,000,000 / 10 * 0.04 = 12,000 bytes; more than that is under way.
    assert 12_000 < in_flight[64] < 140_000


def test_blocks_fit_the_rate_and_the_bridge(strict_dmd: Any, new_bridge: NewBridge) -> None:
    def caps_of(**options: Any) -> Any:
        link = Link(115_200)
        return VirtualLine(link, new_bridge(strict_dmd, **options)).run(session.connect(link, "virtual"))

    assert [block_bytes(baud, caps_of()) for baud in (1_200, 115_200, 921_600, 3_000_000)] == [256, 1024, 4096, 4096]
    assert block_bytes(3_000_000, caps_of(max_payload_bytes=8 + 256 + 255)) == 256


@pytest.mark.parametrize("seed", range(60))
def test_any_faults_end_verified_or_with_a_clear_error(
    seed: int, strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload, talk: Talk
) -> None:
    source = random.Random(seed)

    def rate() -> float:
        return source.choice([0, 0, 0.02, 0.1])

    faults = LineFaults(random.Random(seed + 1000), rate(), rate(), rate(), rate(), rate(), rate())
    upload = new_upload([source.randrange(1, 5000) for _ in range(source.randrange(1, 4))], seed)
    link = Link(115_200, source.randrange(65_536))
    line = VirtualLine(link, new_bridge(strict_dmd), 0.005, faults, work_s=source.choice([0.0, 3.0]))
    said = ""
    try:
        line.run(talk(link, upload, baud=921_600, run=3))
    except DeviceError as error:
        said = str(error)
    # An end that the simulated line had to make, or a defect that was noticed, would be named here.
    assert not any(word in said for word in ("did not end", "would hang", "defect"))
    if not said:
        assert strict_dmd.shows(upload)
        assert strict_dmd.running
    loads = [call for call in strict_dmd.calls if call[0] == "image"]
    assert len(loads) == len(set(loads))


class EditedLine(VirtualLine):
    """A line on which a function decides what becomes of each write: it returns what goes on, in order."""

    edit: Callable[[Way, Frame], list[Frame]] | None = None

    def _send(self, way: Way, item: bytes | SetBaud) -> None:
        if isinstance(item, SetBaud) or self.edit is None:
            super()._send(way, item)
            return
        [frame] = FrameReader().feed(item)
        for changed in self.edit(way, frame):
            super()._send(way, changed.pack())


def test_losses_cost_little(strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload) -> None:
    link = Link(921_600)
    line = VirtualLine(link, new_bridge(strict_dmd, base_baud=921_600), 0.005)
    caps = line.run(session.connect(link, "virtual"))
    line.faults = LineFaults(random.Random(5), drop=0.05)
    upload = new_upload([2_000_000])
    before_s = line.now
    report = line.run(transfer(link, upload, caps, 7))
    assert strict_dmd.shows(upload)
    assert 1 <= report.resent_blocks <= 0.12 * report.sent_blocks
    assert line.now - before_s < 1.25 * upload.total_bytes * 10 / 921_600


def test_a_lost_frame_is_resent_without_waiting_for_a_time_out(
    strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload
) -> None:
    link = Link(921_600)
    line = EditedLine(link, new_bridge(strict_dmd, base_baud=921_600))
    caps = line.run(session.connect(link, "virtual"))
    link.round_trip.smoothed_s, link.round_trip._variation_s = 0.005, 10.0
    seen: list[int] = []

    def lose_the_fifth(way: Way, frame: Frame) -> list[Frame]:
        if frame.type == M.DATA:
            seen.append(frame.sequence)
        return [] if frame.type == M.DATA and len(seen) == 5 else [frame]

    line.edit = lose_the_fifth
    upload = new_upload([100_000])
    before_s = line.now
    report = line.run(transfer(link, upload, caps, 7))
    assert report.resent_blocks == 1
    # Three answers to later frames send it again; the time-out would have taken a second or more.
    assert seen.index(seen[4], 5) in range(8, 14)
    assert line.now - before_s < upload.total_bytes * 10 / 921_600 + 0.2


def test_an_answer_of_an_earlier_connection_is_not_believed(
    strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload
) -> None:
    link = Link(115_200)
    line = EditedLine(link, new_bridge(strict_dmd))
    caps = line.run(session.connect(link, "virtual"))
    lost: list[int] = []

    def stale(way: Way, frame: Frame) -> list[Frame]:
        if frame.type == M.DATA and not lost and Data.unpack(frame.payload).offset == 1024:
            lost.append(frame.sequence)
            return []
        if way is Way.TO_UPLOADER and lost and len(lost) < 3:
            # The same number, but a ping; then the same number and type, but other bytes of another object.
            lost.append(0)
            answer = b"\x03" if len(lost) == 2 else bytes([M.DATA]) + Placed(99, 512, 0).pack()
            return [Frame(M.ACK, lost[0], answer), frame]
        return [frame]

    line.edit = stale
    upload = new_upload([5000])
    report = line.run(transfer(link, upload, caps, 7))
    assert strict_dmd.shows(upload)
    assert report.passes == 1
    assert len(lost) == 3


def test_what_the_bridge_reports_is_compared(strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload) -> None:
    link = Link(115_200)
    line = EditedLine(link, new_bridge(strict_dmd))
    caps = line.run(session.connect(link, "virtual"))
    asked: list[int] = []

    def other_hash_once(way: Way, frame: Frame) -> list[Frame]:
        if way is Way.TO_UPLOADER and frame.payload[:1] == bytes([M.STAT]):
            asked.append(frame.sequence)
            if len(asked) == 2:
                return [Frame(M.ACK, frame.sequence, frame.payload[:1] + b"\x55" + frame.payload[2:])]
        return [frame]

    line.edit = other_hash_once
    report = line.run(transfer(link, new_upload([700, 900]), caps, 7))
    assert report.passes == 2
    assert report.loaded == 3


def test_duplicated_and_overtaken_frames_do_no_harm(
    strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload, talk: Talk
) -> None:
    faults = LineFaults(random.Random(2), duplicate=0.5, delay=0.5, max_delay_s=1.0)
    upload = new_upload([3000, 5000, 700])
    link = Link(115_200)
    VirtualLine(link, new_bridge(strict_dmd), 0.001, faults).run(talk(link, upload))
    assert strict_dmd.shows(upload)
    assert strict_dmd.calls == ["prepare", "table", ("image", 2, 0), ("image", 1, 0), ("image", 0, 0)]


@pytest.mark.parametrize("stormy", [M.HELLO, M.BEGIN, M.DATA, M.STAT, M.COMMIT, M.QUERY])
def test_a_storm_of_refusals_ends_in_a_clear_error(
    stormy: MessageType, strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload, talk: Talk
) -> None:
    bridge = new_bridge(strict_dmd, refuse=lambda kind: "brown-out" if kind == stormy else None)
    link = Link(115_200)
    line = VirtualLine(link, bridge)
    with pytest.raises(
        DeviceError, match=rf"{stormy.name}: the bridge refused it {MAX_REFUSALS + 1} times \(brown-out"
    ):
        line.run(talk(link, new_upload([3000])))
    assert line.now < 60


def test_a_slow_device_is_waited_for(strict_dmd: Any, new_bridge: NewBridge, new_upload: NewUpload, talk: Talk) -> None:
    link = Link(921_600)
    upload = new_upload([500_000, 500_000])
    line = VirtualLine(link, new_bridge(strict_dmd, base_baud=921_600), work_s=60.0)
    line.run(talk(link, upload, baud=921_600))
    assert strict_dmd.shows(upload)
    # Hello, status, table, two images, status: six visits to the device, and the line is busy beside it.
    assert 360 < line.now < 372

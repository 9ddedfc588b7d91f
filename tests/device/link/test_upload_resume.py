"""Resume: the line is cut at every byte, in both directions, aloud or in silence; the rest completes the upload."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cidesign.device.link import session
from cidesign.device.link.core import ServerCore
from cidesign.device.link.link import Link, Procedure
from cidesign.device.link.transfer import LinkUpload, TransferReport, transfer
from cidesign.device.link.transport import TransportClosed
from cidesign.errors import DeviceError
from cidesign.testing.virtual_line import VirtualLine, Way

SIZES = [700, 300]
BLOCK = 256

Talk = Callable[..., Procedure[TransferReport]]
NewBridge = Callable[..., ServerCore]


def blocks_missing(bridge: ServerCore, upload: LinkUpload) -> int:
    """How many blocks of 256 bytes the bridge does not hold."""
    missing = 0
    for item in upload.objects:
        held = bridge._store.get(item.sha256)
        ranges = held.missing() if held else [(0, len(item.content))]
        missing += sum(-(-length // BLOCK) for _, length in ranges)
    return missing


def resume(link: Link, upload: LinkUpload) -> Procedure[TransferReport]:
    """What `cidesign upload --resume` does after the port is open."""
    caps = yield from session.connect(link, "virtual")
    yield from session.ask_status(link)
    return (yield from transfer(link, upload, caps, 0))


@pytest.fixture
def upload(new_upload: Callable[..., LinkUpload]) -> LinkUpload:
    return new_upload(SIZES)


@pytest.fixture
def bytes_sent(new_dmd: Any, new_bridge: NewBridge, upload: LinkUpload, talk: Talk) -> dict[Way, int]:
    link = Link(115_200, 900)
    line = VirtualLine(link, new_bridge(new_dmd(), max_payload_bytes=264))
    line.run(talk(link, upload))
    return {way: line.sent_bytes(way) for way in Way}


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("way", Way)
def test_cut_at_every_byte(
    way: Way,
    silent: bool,
    bytes_sent: dict[Way, int],
    new_dmd: Any,
    new_bridge: NewBridge,
    upload: LinkUpload,
    talk: Talk,
) -> None:
    interrupted = 0
    # In silence each cut costs a series of time-outs to compute; every third byte keeps that test short.
    for cut in range(0, bytes_sent[way], 3 if silent else 1):
        dmd = new_dmd()
        bridge = new_bridge(dmd, max_payload_bytes=264)
        link = Link(115_200, 900)
        line = VirtualLine(link, bridge, cut_after=(way, cut), silent=silent)
        with pytest.raises(DeviceError) as caught:
            line.run(talk(link, upload))
        interrupted += isinstance(caught.value, TransportClosed)
        missing = blocks_missing(bridge, upload)
        again = Link(115_200, 40_000)
        report = VirtualLine(again, bridge).run(resume(again, upload))
        assert dmd.shows(upload), f"cut at {cut}"
        assert again.counts.data_frames_sent <= missing + 1, f"cut at {cut}"
        assert report.sent_blocks == missing, f"cut at {cut}"
        # Nothing is loaded twice, also when only the acknowledgement was lost.
        assert dmd.calls == ["prepare", "table", ("image", 1, 0), ("image", 0, 0)], f"cut at {cut}"
    assert interrupted == (0 if silent else bytes_sent[way])


@pytest.mark.parametrize("way", Way)
def test_power_cut_of_bridge_and_device_at_many_bytes(
    way: Way,
    bytes_sent: dict[Way, int],
    tmp_path: Path,
    new_dmd: Any,
    new_bridge: NewBridge,
    upload: LinkUpload,
    talk: Talk,
) -> None:
    for cut in range(0, bytes_sent[way], 29):
        spool = tmp_path / str(cut)
        bridge = new_bridge(new_dmd(), spool, max_payload_bytes=264)
        link = Link(115_200, 900)
        with pytest.raises(TransportClosed):
            VirtualLine(link, bridge, cut_after=(way, cut)).run(talk(link, upload))
        missing = blocks_missing(bridge, upload)
        dmd = new_dmd()
        again = Link(115_200, 40_000)
        report = VirtualLine(again, new_bridge(dmd, spool, max_payload_bytes=264)).run(resume(again, upload))
        assert dmd.shows(upload), f"cut at {cut}"
        assert report.sent_blocks == missing, f"cut at {cut}"


def test_without_resume_everything_is_sent_anew(
    new_dmd: Any, new_bridge: NewBridge, upload: LinkUpload, talk: Talk
) -> None:
    dmd = new_dmd()
    bridge = new_bridge(dmd)
    reports = []
    for job in (3, 4):
        link = Link(115_200)
        reports.append(VirtualLine(link, bridge).run(talk(link, upload, job=job)))
    assert [report.sent_bytes for report in reports] == [upload.total_bytes] * 2
    assert dmd.calls == ["prepare", *2 * ["table", ("image", 1, 0), ("image", 0, 0)]]
    assert dmd.shows(upload)


def test_a_finished_upload_is_resumed_with_nothing_sent(
    new_dmd: Any, new_bridge: NewBridge, upload: LinkUpload, talk: Talk
) -> None:
    dmd = new_dmd()
    bridge = new_bridge(dmd)
    link = Link(115_200)
    VirtualLine(link, bridge).run(talk(link, upload))
    again = Link(115_200)
    report = VirtualLine(again, bridge).run(talk(again, upload, job=0, run=5))
    assert (report.sent_blocks, report.loaded, report.held_bytes) == (0, 0, upload.total_bytes)
    assert dmd.running


def test_another_upload_in_between_is_never_mixed_in(
    new_dmd: Any, new_bridge: NewBridge, upload: LinkUpload, new_upload: Callable[..., LinkUpload], talk: Talk
) -> None:
    dmd = new_dmd()
    bridge = new_bridge(dmd, max_payload_bytes=264)
    other = new_upload(SIZES, seed=77)
    total = 1000
    for cut in range(100, total, 50):
        for mine in (upload, other):
            link = Link(115_200, cut)
            with pytest.raises(TransportClosed):
                VirtualLine(link, bridge, cut_after=(Way.TO_BRIDGE, cut)).run(talk(link, mine))
            asker = Link(115_200, cut + 7)
            with pytest.raises(DeviceError, match="does not hold this upload"):
                VirtualLine(asker, bridge).run(session.start(asker, cut, 0, mine.digest))
    link = Link(115_200)
    VirtualLine(link, bridge).run(talk(link, other, job=0, run=1))
    assert dmd.shows(other)

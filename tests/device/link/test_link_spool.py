"""What a bridge keeps on disk outlives it: damage and a full disk cost only what they hit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cidesign.device.link.core import ServerCore
from cidesign.device.link.frames import MessageType
from cidesign.device.link.messages import (
    Data,
    NakReason,
    Range,
    tag_of,
)
from cidesign.device.link.store import Spool
from cidesign.device.link.transfer import LinkUpload
from cidesign.errors import FileError

M = MessageType


def test_a_killed_bridge_finds_its_objects_again(
    new_talker: Callable[..., Any],
    tmp_path: Path,
    new_dmd: Callable[[], Any],
    new_bridge: Callable[..., ServerCore],
    upload: LinkUpload,
) -> None:
    first = new_talker(new_bridge(new_dmd(), spool=tmp_path))
    item = upload.objects[2]
    first.begin(upload, 0)
    first.data(upload, 0)
    first.begin(upload, 2)
    first.ack(M.DATA, Data(tag_of(item.sha256), 512, item.content[512:1024]).pack())
    dmd = new_dmd()
    second = new_talker(new_bridge(dmd, spool=tmp_path))
    assert second.begin(upload, 0, job=0).missing == ()
    assert second.begin(upload, 2, job=0).missing == (Range(0, 512), Range(1024, 276))
    second.load_all(upload, job=0)
    assert dmd.shows(upload)


def test_a_damaged_spool_costs_only_what_is_damaged(
    new_talker: Callable[..., Any],
    tmp_path: Path,
    new_dmd: Callable[[], Any],
    new_bridge: Callable[..., ServerCore],
    upload: LinkUpload,
) -> None:
    first = new_talker(new_bridge(new_dmd(), spool=tmp_path))
    first.begin(upload, 2)
    first.data(upload, 2)
    path = tmp_path / f"{upload.objects[2].sha256.hex()}.part"
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        held = new_talker(new_bridge(new_dmd(), spool=tmp_path)).begin(upload, 2, job=0)
        assert held.held_bytes == (0 if cut < 524 else 512 if cut < 1048 else 1024)
        path.write_bytes(whole)
    path.write_bytes(whole[:600] + bytes([whole[600] ^ 1]) + whole[601:])
    dmd = new_dmd()
    last = new_talker(new_bridge(dmd, spool=tmp_path))
    assert last.begin(upload, 2, job=0).missing == (Range(512, 788),)
    last.load_all(upload, job=0)
    assert dmd.shows(upload)


def test_a_full_disk_is_a_refusal_and_not_the_end(
    new_talker: Callable[..., Any],
    tmp_path: Path,
    strict_dmd: Any,
    new_bridge: Callable[..., ServerCore],
    upload: LinkUpload,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    talker = new_talker(new_bridge(strict_dmd, spool=tmp_path / "spool"))
    talker.begin(upload, 0)
    item = upload.objects[0]

    def no_space(*_: object) -> None:
        raise FileError("spool: the disk is full")

    monkeypatch.setattr(Spool, "append", no_space)
    nak = talker.nak(M.DATA, Data(tag_of(item.sha256), 0, item.content).pack())
    assert (nak.reason, nak.text) == (NakReason.FULL, "spool: the disk is full")


def test_the_spool_keeps_one_upload(
    new_talker: Callable[..., Any],
    tmp_path: Path,
    new_dmd: Callable[[], Any],
    new_bridge: Callable[..., ServerCore],
    upload: LinkUpload,
    new_upload: Callable[..., LinkUpload],
) -> None:
    talker = new_talker(new_bridge(new_dmd(), spool=tmp_path))
    talker.load_all(upload)
    assert len(list(tmp_path.glob("*.part"))) == 3
    other = new_upload([300], seed=9)
    talker.load(other, 0)
    assert [path.stem for path in tmp_path.glob("*.part")] == [other.objects[0].sha256.hex()]

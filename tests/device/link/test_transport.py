"""Real ports: pseudo-terminals and TCP carry a whole upload, and every failure to open says what to do."""

import errno
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cidesign.device.link import session
from cidesign.device.link.client import run
from cidesign.device.link.link import Link, Procedure
from cidesign.device.link.server import LinkServer
from cidesign.device.link.transfer import LinkUpload, TransferReport
from cidesign.device.link.transport import (
    PtyTransport,
    Transport,
    TransportClosed,
    _why_not,
    listen_tcp,
    open_pty,
    open_transport,
)
from cidesign.errors import CidesignError, DeviceError, InputError

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")


@pytest.fixture
def serving(strict_dmd: Any) -> Iterator[Callable[[Transport], LinkServer]]:
    """Serves the strict device on a transport, in a thread, until the test ends."""
    stop = threading.Event()
    running: list[tuple[LinkServer, Transport, threading.Thread]] = []

    def serve(transport: Transport) -> LinkServer:
        server = LinkServer(strict_dmd)
        thread = threading.Thread(target=server.serve, args=(transport, stop))
        thread.start()
        running.append((server, transport, thread))
        return server

    yield serve
    stop.set()
    for server, transport, thread in running:
        thread.join()
        server.close()
        transport.close()


@posix_only
def test_an_upload_over_a_pseudo_terminal(
    serving: Callable[[Transport], LinkServer],
    strict_dmd: Any,
    new_upload: Callable[..., LinkUpload],
    talk: Callable[..., Procedure[TransferReport]],
) -> None:
    device_end, path = open_pty()
    serving(device_end)
    upload = new_upload([30_000, 2_000, 50_000])
    for job in (1, 0):
        port = open_transport(path, 115_200)
        link = Link(115_200, 77 * job)
        report = run(talk(link, upload, job=job, baud=921_600), link, port)
        port.close()
        assert report.sent_bytes == (upload.total_bytes if job else 0)
    assert strict_dmd.shows(upload)


def test_an_upload_over_tcp_and_a_second_uploader(
    serving: Callable[[Transport], LinkServer],
    strict_dmd: Any,
    new_upload: Callable[..., LinkUpload],
    talk: Callable[..., Procedure[TransferReport]],
) -> None:
    listener = listen_tcp("127.0.0.1", 0)
    serving(listener)
    upload = new_upload([20_000])
    for job in (1, 0):
        port = open_transport(listener.name, 115_200)
        link = Link(115_200, 77 * job)
        run(talk(link, upload, job=job, run=1), link, port)
        port.close()
    assert strict_dmd.shows(upload)
    assert strict_dmd.running


def read_until_it_ends(port: Transport) -> None:
    """Read for at most three turns; a port that is gone says so at the first or the second."""
    for _ in range(3):
        port.read(0.01)


@posix_only
def test_a_device_end_that_goes_away_is_noticed() -> None:
    device_end, path = open_pty()
    port = open_transport(path, 115_200)
    device_end.close()
    with pytest.raises(TransportClosed, match="gone"):
        read_until_it_ends(port)
    port.close()
    with pytest.raises(TransportClosed, match="gone"):
        device_end.read(0.0)


@posix_only
def test_a_server_returns_when_its_port_goes(strict_dmd: Any) -> None:
    device_end, _ = open_pty()
    server = LinkServer(strict_dmd)
    device_end.close()
    server.serve(device_end)
    server.close()


@posix_only
def test_nobody_listens_and_nobody_hangs() -> None:
    device_end, _ = open_pty()
    device_end.write(bytes(10_000))
    device_end.close()


def test_a_loop_back_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "HELLO_S", 0.05)
    port = open_transport("loop://", 115_200)
    link = Link(115_200)
    with pytest.raises(DeviceError, match="loop://: the port returns what is sent"):
        run(session.connect(link, port.name), link, port)
    port.close()


def test_a_step_needs_a_transport(strict_dmd: Any) -> None:
    server = LinkServer(strict_dmd)
    with pytest.raises(CidesignError, match="connect one first"):
        server.step(0.0)
    server.close()


def test_a_missing_port_is_named_with_those_that_are() -> None:
    with pytest.raises(DeviceError, match=r"/dev/ttyNONE: there is no such port; "):
        open_transport("/dev/ttyNONE", 115_200)


def test_an_unknown_kind_of_url_is_named() -> None:
    with pytest.raises(InputError, match="port 'gopher://x'"):
        open_transport("gopher://x", 115_200)


def test_a_tcp_port_where_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    with pytest.raises(DeviceError, match=r"no connection .* is the bridge running there"):
        open_transport(f"socket://127.0.0.1:{free}", 115_200)


@posix_only
def test_a_busy_port_is_named() -> None:
    device_end, path = open_pty()
    first = open_transport(path, 115_200)
    with pytest.raises(DeviceError, match="another program has the port; close it"):
        open_transport(path, 115_200)
    first.close()
    device_end.close()


@posix_only
def test_a_file_is_no_port(tmp_path: Path) -> None:
    path = tmp_path / "plain"
    path.write_text("x")
    with pytest.raises(DeviceError, match="plain: this is not a serial port that takes 115200 baud"):
        open_transport(str(path), 115_200)


@posix_only
def test_no_permission_names_the_group_to_join(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import getpass
    import grp
    from types import SimpleNamespace

    path = tmp_path / "ttyUSB0"
    path.write_text("")
    monkeypatch.setattr(grp, "getgrgid", lambda _: SimpleNamespace(gr_name="dialout"))
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    error = _why_not(str(path), 115_200, OSError(errno.EACCES, "Permission denied"))
    assert "join its group and log in again: sudo usermod -aG dialout ada" in str(error)


@posix_only
def test_no_permission_without_names_is_one_line_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import getpass
    import grp
    from types import SimpleNamespace

    def unknown(*_: int) -> str:
        raise KeyError("no name")

    path = tmp_path / "ttyUSB0"
    path.write_text("")
    denied = OSError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(getpass, "getuser", unknown)
    monkeypatch.setattr(grp, "getgrgid", lambda _: SimpleNamespace(gr_name="dialout"))
    assert "sudo usermod -aG dialout USER" in str(_why_not(str(path), 115_200, denied))
    monkeypatch.setattr(grp, "getgrgid", unknown)
    number = path.stat().st_gid
    assert f"it belongs to group {number}, which has no name here" in str(_why_not(str(path), 115_200, denied))


def test_windows_texts_are_understood() -> None:
    missing = OSError("could not open port 'COM9': FileNotFoundError(2, 'not found')")
    assert "there is no such port" in str(_why_not("COM9", 115_200, missing))


@posix_only
def test_an_odd_rate_is_refused_by_name() -> None:
    device_end, path = open_pty()
    port = open_transport(path, 115_200)
    with pytest.raises(DeviceError, match="does not take -1 baud"):
        port.set_baud(-1)
    port.close()
    device_end.close()


@posix_only
def test_bytes_pass_unchanged_both_ways() -> None:
    device_end, path = open_pty()
    assert isinstance(device_end, PtyTransport)
    port = open_transport(path, 3_000_000)
    every = bytes(range(256)) * 3
    port.write(every)
    got = b""
    while len(got) < len(every):
        got += device_end.read(1.0)
    assert got == every
    device_end.write(every)
    got = b""
    while len(got) < len(every):
        got += port.read(1.0)
    assert got == every
    assert port.read(0.0) == b""
    assert os.path.exists(path)
    port.close()
    device_end.close()

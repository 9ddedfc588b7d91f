"""Bytes to and from the other end: serial ports, pseudo-terminals, TCP; errors say what to do about them."""

import contextlib
import errno
import os
import select
import socket
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from cidesign.errors import DeviceError, InputError

if TYPE_CHECKING:
    import serial

_WRITE_LIMIT_S = 20.0
_READ_BYTES = 65_536


class TransportClosed(DeviceError):
    """The port was unplugged, or the peer went away."""


class Transport(Protocol):
    """A stream of bytes; every method raises `TransportClosed` when the other end is gone."""

    name: str

    def read(self, timeout_s: float) -> bytes:
        """What has come, waiting at most `timeout_s` for the first byte; empty when nothing came."""

    def write(self, content: bytes) -> None:
        """Send all of `content`."""

    def drain(self) -> None:
        """Wait until the last bit has left."""

    def set_baud(self, baud: int) -> None:
        """Change the line rate, where there is one; raises `DeviceError` for a rate that the port does not take."""

    def close(self) -> None:
        """Release the port."""


class SerialTransport:
    """A port behind pyserial: `/dev/ttyUSB0`, `COM3`, `socket://host:port`, `rfc2217://`, `loop://`."""

    def __init__(self, port: "serial.Serial", name: str) -> None:
        self.name = name
        self._port = port

    def read(self, timeout_s: float) -> bytes:
        """What has come; see `Transport`."""
        with self._gone():
            self._port.timeout = timeout_s
            first: bytes = self._port.read(1)
            waiting = self._port.in_waiting if first else 0
            return first + (self._port.read(waiting) if waiting else b"")

    def write(self, content: bytes) -> None:
        """Send all of `content`; see `Transport`."""
        import serial

        try:
            with self._gone():
                self._port.write(content)
        except TransportClosed as error:
            if isinstance(error.__cause__, serial.SerialTimeoutException):
                raise TransportClosed(
                    f"{self.name}: the port took no bytes for {_WRITE_LIMIT_S:.0f} s; is hardware flow control on?"
                ) from error
            raise

    def drain(self) -> None:
        """Wait until the last bit has left."""
        with self._gone():
            self._port.flush()

    def set_baud(self, baud: int) -> None:
        """Change the line rate; see `Transport`."""
        try:
            self._port.baudrate = baud
        except (ValueError, OSError) as error:
            raise DeviceError(
                f"{self.name}: the port does not take {baud} baud ({error}); choose another --baud"
            ) from error

    def close(self) -> None:
        """Release the port."""
        self._port.close()

    @contextlib.contextmanager
    def _gone(self) -> Iterator[None]:
        # pyserial's SerialException is an OSError; a port that vanishes also shows as a bare OSError or TypeError.
        try:
            yield
        except (OSError, TypeError) as error:
            raise TransportClosed(f"{self.name}: the port is gone ({error}); is it still plugged in?") from error


def open_transport(url: str, baud: int) -> Transport:
    """Open a port by its path, name or pyserial URL; raises `DeviceError` or `InputError` that says what to do."""
    import serial

    try:
        port = serial.serial_for_url(url, baudrate=baud, do_not_open=True, write_timeout=_WRITE_LIMIT_S)
    except ValueError as error:
        raise InputError(
            f"port {url!r}: {error}; name a port such as /dev/ttyUSB0, COM3 or socket://host:port"
        ) from error
    if "://" not in url:
        # Many boards reset when these lines move; the bridge needs neither.
        port.dtr = port.rts = False
        if sys.platform != "win32":
            port.exclusive = True
    try:
        port.open()
    except (OSError, ValueError) as error:
        raise _why_not(url, baud, error) from error
    return SerialTransport(port, url)


def _why_not(url: str, baud: int, error: Exception) -> DeviceError | InputError:
    """The reason why a port does not open, in one line with the way out."""
    code = getattr(error, "errno", None)
    text = str(error)
    if code == errno.ENOENT or "FileNotFoundError" in text:
        return DeviceError(f"{url}: there is no such port{_ports_that_are()}")
    if code == errno.EACCES or "PermissionError" in text:
        if sys.platform == "win32":
            return DeviceError(f"{url}: another program has the port; close it and repeat")
        return DeviceError(f"{url}: no permission; {group_hint(url)}")
    if code in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in text:
        return DeviceError(f"{url}: another program has the port; close it (a terminal, another upload) and repeat")
    if "://" in url:
        return DeviceError(f"{url}: no connection ({text}); is the bridge running there?")
    # pyserial gives no number for what is no terminal, only the number inside its text.
    if isinstance(error, ValueError) or code in (errno.EINVAL, errno.ENOTTY) or f"({errno.ENOTTY}, " in text:
        return DeviceError(f"{url}: this is not a serial port that takes {baud} baud ({text})")
    return DeviceError(f"{url}: cannot be opened ({text})")


def known_ports() -> list[str]:
    """The serial ports of this computer."""
    from serial.tools import list_ports

    return sorted(port.device for port in list_ports.comports())


def _ports_that_are() -> str:
    names = known_ports()
    return f"; there are {', '.join(names)}" if names else "; no serial port is here: is the cable plugged in?"


def group_hint(path: str) -> str:
    """The command that joins the group that owns a port; not on Windows, where no port has one."""
    import getpass
    import grp

    number = os.stat(path).st_gid
    try:
        group = grp.getgrgid(number).gr_name
    except KeyError:  # in a container, the group of the computer around it
        return f"it belongs to group {number}, which has no name here; run with that group, or ask who set it up"
    if group == "root":
        return "it belongs to root alone; see who set it up"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "USER"
    return f"join its group and log in again: sudo usermod -aG {group} {user}"


class PtyTransport:
    """The device end of a pseudo-terminal; it survives uploaders that come and go."""

    def __init__(self, master: int, slave: int, path: str) -> None:
        self.name = path
        self._master = master
        # The slave stays open here: otherwise reads fail whenever no uploader has it open.
        self._slave = slave

    def read(self, timeout_s: float) -> bytes:
        """What has come; see `Transport`."""
        with self._gone():
            ready, _, _ = select.select([self._master], [], [], timeout_s)
            return os.read(self._master, _READ_BYTES) if ready else b""

    def write(self, content: bytes) -> None:
        """Send `content`; when nobody reads for a second, the rest is lost, as it is on a serial line."""
        rest = memoryview(content)
        with self._gone():
            while rest:
                _, ready, _ = select.select([], [self._master], [], 1.0)
                if not ready:
                    return
                with contextlib.suppress(BlockingIOError):
                    rest = rest[os.write(self._master, rest) :]

    def drain(self) -> None:
        """A pseudo-terminal has no line to wait for."""

    def set_baud(self, baud: int) -> None:
        """A pseudo-terminal has no rate."""

    def close(self) -> None:
        """Release the pseudo-terminal; the uploader sees the port go."""
        for end in (self._master, self._slave):
            os.close(end)
        self._master = self._slave = -1

    @contextlib.contextmanager
    def _gone(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise TransportClosed(f"{self.name}: the pseudo-terminal is gone ({error})") from error


def open_pty() -> tuple[PtyTransport, str]:
    """A new pseudo-terminal in raw mode: the device's end, and the path that an uploader opens."""
    if sys.platform == "win32":
        raise DeviceError("this system has no pseudo-terminals; use a TCP port instead (socket://127.0.0.1:PORT)")
    import tty

    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    path = os.ttyname(slave)
    return PtyTransport(master, slave, path), path


class TcpTransport:
    """The device end of a TCP port; one uploader at a time, the next one after it has gone."""

    def __init__(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        self.name = f"socket://{host}:{port}"
        self._listener = listener
        self._peer: socket.socket | None = None

    def read(self, timeout_s: float) -> bytes:
        """What has come; an uploader that went away is no error, the next one is waited for."""
        deadline = time.monotonic() + timeout_s
        with self._gone():
            while True:
                left_s = max(0.0, deadline - time.monotonic())
                waited_for = self._peer or self._listener
                ready, _, _ = select.select([waited_for], [], [], left_s)
                if not ready:
                    return b""
                received = self._receive()
                if received:
                    return received

    def _receive(self) -> bytes:
        if self._peer is None:
            self._peer, _ = self._listener.accept()
            self._peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peer.settimeout(_WRITE_LIMIT_S)
            return b""
        try:
            received = self._peer.recv(_READ_BYTES)
        except OSError:
            received = b""
        if not received:
            self._drop_peer()
        return received

    def write(self, content: bytes) -> None:
        """Send `content`; it is lost when no uploader is there, as it is on a serial line."""
        if self._peer is None:
            return
        try:
            self._peer.sendall(content)
        except OSError:
            self._drop_peer()

    def _drop_peer(self) -> None:
        if self._peer is not None:
            self._peer.close()
        self._peer = None

    def drain(self) -> None:
        """TCP has no line to wait for."""

    def set_baud(self, baud: int) -> None:
        """TCP has no rate."""

    def close(self) -> None:
        """Release the TCP port."""
        self._drop_peer()
        self._listener.close()

    @contextlib.contextmanager
    def _gone(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise TransportClosed(f"{self.name}: the TCP port is gone ({error})") from error


def listen_tcp(host: str, port: int) -> TcpTransport:
    """Listen for uploaders on a TCP port (0: any free one); they open `socket://host:port`."""
    try:
        return TcpTransport(socket.create_server((host, port)))
    except OSError as error:
        raise DeviceError(
            f"{host}:{port}: cannot listen there ({error.strerror or error}); choose another port"
        ) from error

"""Payload rate of the serial link over 8/10 of the baud rate, for incompressible data.

The table comes from a line in virtual time (`cidesign.testing.virtual_line`) between the real uploader core and the
real bridge core: it counts every byte, escape, acknowledgement and round trip, and takes no account of a computer's
speed.  The last line is measured: the same upload over a pseudo-terminal that is throttled to a line rate, in time on
the clock.

Run: python benchmarks/link/efficiency.py
"""

import random
import threading
import time

from cidesign.device.dmd import DeviceInfo, DeviceStatus, Half, TableEntry
from cidesign.device.link import session
from cidesign.device.link.client import run
from cidesign.device.link.core import ServerCore
from cidesign.device.link.link import Link
from cidesign.device.link.messages import Slot
from cidesign.device.link.server import LinkServer
from cidesign.device.link.store import Store
from cidesign.device.link.transfer import LinkObject, LinkUpload, transfer
from cidesign.device.link.transport import PtyTransport, open_pty, open_transport
from cidesign.testing.virtual_line import VirtualLine

RATES = (115_200, 921_600, 3_000_000)
LATENCIES_MS = (0, 5, 20)
TARGET = 0.95
PTY_BAUD = 921_600
PTY_BYTES = 1_000_000


class Device:
    """A device that takes everything at once."""

    def __init__(self) -> None:
        self.images: dict[int, bytes] = {}
        self.entries = 0

    def info(self) -> DeviceInfo:
        return DeviceInfo("dlp6500", "dlpc900", (6, 1, 0), 1920, 1080, True, 400, 18, {1: 105})

    def prepare(self) -> None:
        self.images = {}

    def load_image(self, index: int, half: Half, content: bytes) -> None:
        self.images[index] = content

    def load_sequence(self, entries: list[TableEntry]) -> None:
        self.entries = len(entries)

    def start(self, repeats: int) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self.images = {}

    def status(self) -> DeviceStatus:
        return DeviceStatus(False, True, len(self.images), self.entries, "")

    def close(self) -> None:
        self.images = {}


def upload_of(images: int, image_bytes: int) -> LinkUpload:
    """A table and random images."""
    source = random.Random(7)
    table = b"".join(TableEntry(image, 0, 1, True, 105, 0).pack() for image in range(images))
    objects = [LinkObject(Slot(1, image), source.randbytes(image_bytes)) for image in reversed(range(images))]
    return LinkUpload((LinkObject(Slot(3, 0), table), *objects), bytes(32))


def efficiency(
    upload: LinkUpload, baud: int, latency_ms: float, payload_bytes: int = 4104, window_frames: int = 64
) -> float:
    """Bytes of objects per second over baud / 10, from the first BEGIN to the verified end, in virtual time."""
    device = Device()
    bridge = ServerCore(device, Store(10**9, None), baud, max_payload_bytes=payload_bytes, window_frames=window_frames)
    link = Link(baud)
    line = VirtualLine(link, bridge, latency_ms / 1000)
    caps = line.run(session.connect(link, "virtual"))
    begin_s = line.now
    line.run(transfer(link, upload, caps, 1))
    for item in upload.objects[1:]:
        assert device.images[item.slot.number] == item.content
    return upload.total_bytes / (line.now - begin_s) / (baud / 10)


class ThrottledPty:
    """The device end of a pseudo-terminal that takes bytes no faster than a line of `baud`."""

    def __init__(self, inner: PtyTransport, baud: int) -> None:
        self.name = inner.name
        self._inner = inner
        self._bytes_per_s = baud / 10
        self._free_at = 0.0

    def read(self, timeout_s: float) -> bytes:
        """What came over the line; waits as long as the line takes for it."""
        received = self._inner.read(timeout_s)
        self._free_at = max(self._free_at, time.monotonic() - 0.001) + len(received) / self._bytes_per_s
        time.sleep(max(0.0, self._free_at - time.monotonic()))
        return received

    def write(self, content: bytes) -> None:
        self._inner.write(content)

    def drain(self) -> None:
        self._inner.drain()

    def set_baud(self, baud: int) -> None:
        self._inner.set_baud(baud)

    def close(self) -> None:
        self._inner.close()


def measured_efficiency(upload: LinkUpload, baud: int) -> float:
    """The same over a throttled pseudo-terminal, in wall-clock time."""
    device_end, path = open_pty()
    stop = threading.Event()
    server = LinkServer(Device(), base_baud=baud)
    thread = threading.Thread(target=server.serve, args=(ThrottledPty(device_end, baud), stop))
    thread.start()
    port = open_transport(path, baud)
    link = Link(baud)
    caps = run(session.connect(link, path), link, port)
    begin_s = time.monotonic()
    run(transfer(link, upload, caps, 1), link, port)
    taken_s = time.monotonic() - begin_s
    port.close()
    stop.set()
    thread.join()
    server.close()
    device_end.close()
    return upload.total_bytes / taken_s / (baud / 10)


def main() -> None:
    """Print the tables."""
    cases = (
        ("one random image of 24 planes, 6.22 MB", upload_of(1, 6_220_848)),
        ("17 images of 133 kB (8 x 8 super-pixels)", upload_of(17, 133_384)),
    )
    worst = 1.0
    print("virtual time; payload rate / (baud / 10), latency one way\n")
    for title, upload in cases:
        print(f"{title:<42}" + "".join(f"{latency:>8} ms" for latency in LATENCIES_MS))
        for baud in RATES:
            row = [efficiency(upload, baud, latency) for latency in LATENCIES_MS]
            worst = min(worst, *row)
            print(f"  {baud:>10} baud{'':<25}" + "".join(f"{100 * value:>9.1f} %" for value in row))
    print(f"\nworst: {100 * worst:.1f} %, target {100 * TARGET:.0f} %: {'met' if worst >= TARGET else 'MISSED'}")
    small = [efficiency(upload_of(1, 133_384), 115_200, latency, 264, 1) for latency in LATENCIES_MS]
    print(
        "\nsmallest bridge allowed (payload 264, window 1) at 115200 baud:"
        + "".join(f" {100 * v:.1f} %" for v in small)
    )
    measured = measured_efficiency(upload_of(1, PTY_BYTES), PTY_BAUD)
    print(f"measured over a pseudo-terminal throttled to {PTY_BAUD} baud, 1 MB: {100 * measured:.1f} %")


if __name__ == "__main__":
    main()

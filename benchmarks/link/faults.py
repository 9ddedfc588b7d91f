"""10,000 uploads of small stacks with faults of every kind: each must end verified or with a clear error.

The real uploader core and the real bridge core talk over a line in virtual time.  Where an upload ends with an error,
it is resumed on a sound line, as a user would; a resumed upload may send no more than the missing blocks and one more.
What the device shows at every start is compared with the design, byte for byte.  A device that decodes wrongly is not
among the faults: no link can see it; the render of `cidesign emulate --fault wrong-decoder` does.

Run: python benchmarks/link/faults.py [UPLOADS]
"""

import random
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cidesign.device.dmd import DeviceInfo, DeviceStatus, Half, TableEntry
from cidesign.device.link import session, slip
from cidesign.device.link.core import ServerCore
from cidesign.device.link.faulty_transport import LineFaults
from cidesign.device.link.frames import MessageType, unpack
from cidesign.device.link.link import Link, Procedure
from cidesign.device.link.messages import Slot
from cidesign.device.link.store import Assembly, Spool, Store
from cidesign.device.link.transfer import LinkObject, LinkUpload, TransferReport, transfer
from cidesign.device.link.transport import TransportClosed
from cidesign.errors import CidesignError, DeviceError
from cidesign.testing.virtual_line import VirtualLine, Way

UPLOADS = 10_000
BAUD = 115_200
BLOCK = 1024


class Device:
    """A device that takes calls in order only, and remembers what every start showed."""

    def __init__(self) -> None:
        self.shown: list[dict[int, bytes]] = []
        self.images: dict[int, bytes] = {}
        self.table: list[TableEntry] = []
        self.prepared = self.running = False
        self.fail: Callable[[], bool] = lambda: False

    def info(self) -> DeviceInfo:
        return DeviceInfo("dlp6500", "dlpc900", (6, 1, 0), 1920, 1080, True, 400, 18, {1: 105})

    def _may_fail(self) -> None:
        if self.fail():
            self.lose_power()
            raise DeviceError("device error 2 (device failure)")

    def prepare(self) -> None:
        self._may_fail()
        self.images, self.table, self.prepared, self.running = {}, [], True, False

    def load_sequence(self, entries: list[TableEntry]) -> None:
        self._may_fail()
        if not self.prepared:
            raise DeviceError("table before prepare")
        self.table, self.images = entries, {}

    def load_image(self, index: int, half: Half, content: bytes) -> None:
        self._may_fail()
        if not self.table:
            raise DeviceError("image before table")
        self.images[index] = content

    def start(self, repeats: int) -> None:
        self._may_fail()
        self.running, self.prepared = True, False
        self.shown.append({**self.images, -1: b"".join(entry.pack() for entry in self.table)})

    def stop(self) -> None:
        self.lose_power()

    def lose_power(self) -> None:
        self.images, self.table, self.prepared, self.running = {}, [], False, False

    def status(self) -> DeviceStatus:
        return DeviceStatus(self.running, not self.running, len(self.images), len(self.table), "")

    def close(self) -> None:
        self.stop()


class RepairedCrc(LineFaults):
    """Flips a bit inside DATA and mends the CRC: damage that only the SHA-256 can find."""

    def pass_on(self, content: bytes) -> list[tuple[float, bytes]]:
        frame = unpack(content[1:-1]) if content[:1] == b"\xc0" else None
        if frame is None or frame.type != MessageType.DATA or self.random.random() > 0.2:
            return [(0.0, content)]
        body = bytearray(slip.decode(content[1:-1]) or b"")[:-4]
        body[self.random.randrange(6, len(body))] ^= 1 << self.random.randrange(8)
        return [(0.0, slip.encode(bytes(body) + zlib.crc32(body).to_bytes(4, "little")))]


@dataclass
class Case:
    """One upload to be: its objects, the device, the bridge, and what happens to them."""

    random: random.Random
    upload: LinkUpload
    device: Device
    make_bridge: Callable[[], ServerCore]
    bridge: ServerCore
    faults: LineFaults | None = None
    work_s: float = 0.0
    cut_after: tuple[Way, int] | None = None
    silent: bool = False
    between: Callable[[], None] = lambda: None
    clean_cut: bool = False
    memory_bytes: int = 10**9
    refuse: Callable[[MessageType], str | None] = field(default=lambda _: None)


def line_faults(**rates: float) -> Callable[[Case], None]:
    """Faults of the line, each rate drawn up to the given one."""

    def apply(case: Case) -> None:
        drawn = {name: case.random.uniform(0, rate) for name, rate in rates.items()}
        case.faults = LineFaults(random.Random(case.random.random()), **drawn)

    return apply


def cut(silent: bool) -> Callable[[Case], None]:
    """The connection ends at a random byte, aloud (port gone) or in silence."""

    def apply(case: Case) -> None:
        case.cut_after = (case.random.choice(list(Way)), case.random.randrange(case.upload.total_bytes + 1500))
        case.silent, case.clean_cut = silent, True

    return apply


def power_cut(case: Case) -> None:
    """Bridge and device lose power at a random byte; half of the bridges have a spool folder."""
    cut(silent=True)(case)
    case.between = lambda: (case.device.lose_power(), setattr(case, "bridge", case.make_bridge()))[1]


def device_power(case: Case) -> None:
    """Now and then a device call fails, and the device has forgotten everything."""
    rate = case.random.uniform(0, 0.3)
    case.device.fail = lambda: case.random.random() < rate


def slow_device(case: Case) -> None:
    """Every device call takes up to 20 s, on a noisy line."""
    line_faults(flip=0.05, drop=0.05)(case)
    case.work_s = case.random.uniform(0, 20)


def bad_memory(case: Case) -> None:
    """Bits change in the bridge's memory, after every check of the line."""
    place = Assembly.place
    rate = case.random.uniform(0, 0.1)

    class Forgetful(Assembly):
        def place(self, offset: int, content: bytes) -> bool:
            placed = place(self, offset, content)
            if placed and case.random.random() < rate:
                self.content[case.random.randrange(len(self.content))] ^= 1
            return placed

    store = case.bridge._store
    begin = store.begin

    def begin_forgetful(*words: object) -> Assembly:
        assembly = begin(*words)  # type: ignore[arg-type]
        assembly.__class__ = Forgetful
        return assembly

    store.begin = begin_forgetful  # type: ignore[method-assign]


def storm(case: Case) -> None:
    """The bridge refuses requests at random, up to all of them."""
    rate = case.random.choice([0.1, 0.3, 0.6, 1.0])
    case.refuse = lambda _: "storm" if case.random.random() < rate else None


def small_memory(case: Case) -> None:
    """The bridge holds little: sometimes one object, sometimes not even that."""
    store = case.bridge._store
    store.memory_bytes = case.random.randrange(500, 7000)


def everything(case: Case) -> None:
    """All at once."""
    line_faults(flip=0.05, drop=0.03, drop_byte=0.03, duplicate=0.1, garbage=0.05, delay=0.1)(case)
    case.work_s = case.random.choice([0.0, 1.0])
    case.cut_after = (case.random.choice(list(Way)), case.random.randrange(1, 12_000))
    case.silent = case.random.random() < 0.5
    device_power(case)


KINDS: dict[str, Callable[[Case], None]] = {
    "none": lambda case: None,
    "flipped bits": line_faults(flip=0.3),
    "lost bytes": line_faults(drop_byte=0.3),
    "lost frames": line_faults(drop=0.3),
    "duplicated frames": line_faults(duplicate=0.8),
    "late and overtaken frames": line_faults(delay=0.8),
    "garbage on the line": line_faults(garbage=0.5),
    "disconnect": cut(silent=False),
    "silent disconnect": cut(silent=True),
    "power cut": power_cut,
    "device failures": device_power,
    "slow device, noisy line": slow_device,
    "damage with a right CRC": lambda case: setattr(case, "faults", RepairedCrc(case.random)),
    "bad memory in the bridge": bad_memory,
    "storm of refusals": storm,
    "small memory": small_memory,
    "everything": everything,
}


def conversation(link: Link, case: Case, job: int) -> Procedure[TransferReport]:
    """A whole upload with a start, as `cidesign upload --start` does it."""
    caps = yield from session.connect(link, "line")
    yield from session.ask_status(link)
    report = yield from transfer(link, case.upload, caps, job)
    yield from session.start(link, case.random.randrange(2**32), 0, case.upload.digest)
    return report


def missing_blocks(case: Case) -> int:
    """Blocks that the bridge does not hold."""
    count = 0
    for item in case.upload.objects:
        held = case.bridge._store.get(item.sha256)
        ranges = held.held.missing(len(item.content)) if held else [(0, len(item.content))]
        count += sum(-(-length // BLOCK) for _, length in ranges)
    return count


def make_case(seed: int, folder: Path) -> Case:
    """A stack of 1 to 4 images of 1 to 6000 random bytes."""
    source = random.Random(seed)
    images = source.randrange(1, 5)
    table = b"".join(TableEntry(image, 0, 1, True, 105, 0).pack() for image in range(images))
    objects = [LinkObject(Slot(1, i), source.randbytes(source.randrange(1, 6000))) for i in reversed(range(images))]
    upload = LinkUpload((LinkObject(Slot(3, 0), table), *objects), source.randbytes(32))
    device = Device()
    spool = folder / str(seed) if source.random() < 0.05 else None

    def bridge() -> ServerCore:
        return ServerCore(
            device, Store(10**9, Spool(spool) if spool else None), BAUD, refuse=lambda kind: case.refuse(kind)
        )

    case = Case(source, upload, device, bridge, bridge())
    return case


def one_upload(kind: str, seed: int, folder: Path, counts: Counter[str], errors: Counter[str]) -> None:
    """Upload with a fault, resume on a sound line if it ended with an error, and count what came of it."""
    case = make_case(seed, folder)
    KINDS[kind](case)
    expected = {item.slot.number if item.slot.kind == 1 else -1: item.content for item in case.upload.objects}
    link = Link(BAUD, case.random.randrange(0x10000))
    line = VirtualLine(
        link, case.bridge, case.random.choice([0, 0.005, 0.02]), case.faults, case.work_s, case.cut_after, case.silent
    )
    try:
        line.run(conversation(link, case, 1 + case.random.randrange(2**32 - 1)))
        counts["verified"] += 1
    except (DeviceError, TransportClosed) as error:
        said = str(error)
        assert not any(word in said for word in ("did not end", "would hang", "defect")), (kind, seed, said)
        errors[said.split(";")[0][:60]] += 1
        resume(kind, case, counts)
    counts["data frames"] += link.counts.data_frames_sent
    counts["wrong"] += any(shown != expected for shown in case.device.shown)
    if case.device.running:
        counts["wrong"] += {**case.device.images, -1: expected[-1]} != expected


def resume(kind: str, case: Case, counts: Counter[str]) -> None:
    """What the user does next: `--resume` on a sound line, with a sound device."""
    case.between()
    case.device.fail = lambda: False
    case.refuse = lambda _: None
    missing = missing_blocks(case)
    link = Link(BAUD, case.random.randrange(0x10000))
    try:
        VirtualLine(link, case.bridge).run(conversation(link, case, 0))
        counts["resumed"] += 1
    except DeviceError:
        counts["clear error"] += 1
    if case.clean_cut:
        counts["resumed uploads"] += 1
        counts["sent too much"] += link.counts.data_frames_sent > missing + 1


def main() -> None:
    """Print one line for each kind of fault."""
    uploads = int(sys.argv[1]) if len(sys.argv) > 1 else UPLOADS
    total: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    begin_s = time.perf_counter()
    head = ("verified", "resumed", "clear error", "wrong", "sent too much")
    print(f"{'fault':<28}{'uploads':>8}" + "".join(f"{name:>15}" for name in head))
    with tempfile.TemporaryDirectory() as folder:
        for number, kind in enumerate(KINDS):
            counts: Counter[str] = Counter()
            share = uploads // len(KINDS) + (number < uploads % len(KINDS))
            for index in range(share):
                one_upload(kind, number * 1_000_000 + index, Path(folder), counts, errors)
            assert counts["verified"] + counts["resumed"] + counts["clear error"] == share
            print(f"{kind:<28}{share:>8}" + "".join(f"{counts[name]:>15}" for name in head))
            total += counts
            total["uploads"] += share
    print(f"{'all':<28}{total['uploads']:>8}" + "".join(f"{total[name]:>15}" for name in head))
    print(
        f"\nresumed after a cut: {total['resumed uploads']}, of these with more than the missing blocks and one: ",
        end="",
    )
    print(total["sent too much"])
    print(f"wrong patterns accepted: {total['wrong']}")
    print(f"{time.perf_counter() - begin_s:.0f} s\n\nhow first tries ended that were not verified:")
    for text, count in errors.most_common(12):
        print(f"{count:>6}  {text}")
    if total["wrong"] or total["sent too much"]:
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except CidesignError as error:
        sys.exit(str(error))

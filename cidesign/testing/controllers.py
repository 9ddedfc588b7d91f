"""Laws that every controller of micromirrors keeps, for those that come with cidesign and for those of other packages.

    from cidesign.testing.controllers import laws

    @pytest.mark.parametrize("law", laws(PROFILE), ids=lambda law: law.__name__)
    def test_my_controller(law, tmp_path):
        law(PROFILE, tmp_path)

A law takes a profile with that controller and an empty folder, and raises `AssertionError` that says what is broken.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.sequence import plan_sequence
from cidesign.device.controllers import BackendOptions, VirtualDevice, controller
from cidesign.device.dmd import Half, TableEntry
from cidesign.device.link import session
from cidesign.device.link.core import BASE_BAUD, ServerCore
from cidesign.device.link.link import Link, Procedure, T
from cidesign.device.link.messages import ObjectKind
from cidesign.device.link.plan import UploadPlan, check_device, plan_upload
from cidesign.device.link.store import Store
from cidesign.device.link.transfer import TransferReport, transfer
from cidesign.device.link.transport import TransportClosed
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.errors import CidesignError, DeviceError, InputError, LimitError
from cidesign.export.dmd.formats import exporter_named, formats_for
from cidesign.export.dmd.manifest import Manifest
from cidesign.export.dmd.verify import verify_export
from cidesign.export.dmd.writer import write_export
from cidesign.export.folder import DESIGN_NAME, MANIFEST_NAME, PREVIEW_NAME
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.pattern import PatternStack
from cidesign.testing.virtual_clock import VirtualClock
from cidesign.testing.virtual_line import VirtualLine, Way

Law = Callable[[DmdProfile, Path], None]

SIDE = 8
# More than the 24 planes of one image, so that order and seams of images are seen too.
FRAMES = 26
BLOCK_BYTES = 264
_TICK_US = 2_000
_MAX_TICKS = 100_000


def laws(profile: DmdProfile) -> list[Law]:
    """The laws for the controller of a profile; those of uploads only where it takes any."""
    always: list[Law] = [files_hold_the_design, other_back_ends_are_refused]
    if controller(profile.controller.value).no_upload:
        return [*always, nothing_is_uploaded]
    return [*always, upload_shows_the_design, stop_leaves_it_idle, wrong_images_are_refused, cut_upload_is_resumed]


def design(profile: DmdProfile, bit_depth: int) -> PatternStack:
    """Patterns that no flip, rotation, shift or exchange leaves as they are."""
    count = FRAMES if bit_depth == 1 else 4
    levels = np.random.default_rng(bit_depth).integers(0, 2**bit_depth, (count, SIDE, SIDE), dtype=np.uint8)
    levels[:, 0, 0], levels[:, -1, -1] = 2**bit_depth - 1, 0
    return PatternStack(levels, bit_depth, "offset", profile.id, profile.digest)


def export(profile: DmdProfile, folder: Path, name: str, bit_depth: int = 1) -> tuple[PatternStack, Manifest]:
    """The design in an export folder of a format."""
    pattern = design(profile, bit_depth)
    plan = plan_sequence(profile, len(pattern.frames()), bit_depth)
    return pattern, write_export(exporter_named(name), pattern, profile, plan, folder)


def files_hold_the_design(profile: DmdProfile, folder: Path) -> None:
    """`read(write(p)) == p` for each format, bit for bit, at the lowest and the highest bit depth, from files alone."""
    for name in formats_for(profile.controller.value):
        for bit_depth in sorted({1, max(map(int, profile.bit_depths))}):
            target = folder / f"{name}-{bit_depth}"
            pattern, manifest = export(profile, target, name, bit_depth)
            verify_export(target)
            for beside in (DESIGN_NAME, MANIFEST_NAME, PREVIEW_NAME):
                (target / beside).unlink()
            back = exporter_named(name).read(target)
            times = [(entry.exposure_us, entry.period_us) for entry in back.plan.entries]
            _hold(
                times == [(entry.exposure_us, entry.period_us) for entry in manifest.entries],
                f"{name}, {bit_depth} bit: the files have other exposures and periods than the plan",
            )
            frames = [np.array(frame) for frame in back.frames]
            _equal(frames, pattern, profile, f"{name}, {bit_depth} bit: the files show")


def upload_shows_the_design(profile: DmdProfile, folder: Path) -> None:
    """After an upload over the link, the mirrors of the virtual device show the design, for as long as planned."""
    pattern, plan, bench = _ready(profile, folder)
    report = bench.run(_sent(bench.link, plan, job=7, repeats=1))
    _hold(report.sent_bytes == plan.upload.total_bytes, f"{report.sent_bytes} of {plan.upload.total_bytes} bytes sent")
    _shows(bench, plan, pattern, profile)


def stop_leaves_it_idle(profile: DmdProfile, folder: Path) -> None:
    """A device that was stopped does not run, says so, and starts nothing before the next upload."""
    _, plan, bench = _ready(profile, folder)
    bench.run(_sent(bench.link, plan, job=7, repeats=0))
    bench.device.tick()
    _hold(bench.device.dmd.status().running, "the device does not run after a start that ends only by a stop")
    status = bench.run(session.stop(bench.link))
    _hold(status.idle and not status.running, f"after a stop the device says running {status.running}")
    _hold(not bench.device.tick(), "after a stop frames are still being shown")
    _refused(lambda: bench.device.dmd.start(0), DeviceError, "a start after a stop, without an upload")
    bench.device.dmd.close()


def wrong_images_are_refused(profile: DmdProfile, folder: Path) -> None:
    """Images of another size, cut, or empty are refused by the device, and it does not start with them."""
    _, plan, bench = _ready(profile, folder / "own")
    larger = _with_more_rows(profile)
    name = formats_for(profile.controller.value)[0]
    export(larger, folder / "larger", name)
    other = plan_upload(folder / "larger", None, BASE_BAUD)
    dmd = bench.device.dmd
    entries = TableEntry.unpack_all(plan.upload.objects[0].content)
    slot, own = plan.upload.objects[1].slot, plan.upload.objects[1].content
    half = Half.SECONDARY if slot.kind == ObjectKind.IMAGE_SECONDARY else Half.PRIMARY
    load = partial(dmd.load_image, slot.number, half)
    for what, content in (
        (f"an image for {larger.mirrors.rows.value} rows", other.upload.objects[1].content),
        ("half an image", own[: len(own) // 2]),
        ("an image of no bytes", b""),
    ):
        dmd.prepare()
        dmd.load_sequence(entries)
        _refused(partial(load, content), DeviceError, what)
        _refused(partial(dmd.start, 0), DeviceError, f"a start after {what}")
    # In the same place the right image is taken: it was the content that was refused.
    dmd.prepare()
    dmd.load_sequence(entries)
    load(own)
    dmd.close()


def cut_upload_is_resumed(profile: DmdProfile, folder: Path) -> None:
    """An upload that is cut goes on where it ended, whichever way the cut, and the device shows the design."""
    pattern, plan, whole = _ready(profile, folder)
    line = VirtualLine(whole.link, whole.bridge)
    line.run(_sent(whole.link, plan, job=7, repeats=1))
    for way in Way:
        bench = _Bench.of(profile)
        cut = (way, line.sent_bytes(way) * 2 // 3)
        try:
            VirtualLine(bench.link, bench.bridge, cut_after=cut).run(_sent(bench.link, plan, job=7, repeats=1))
        except TransportClosed:
            pass
        else:
            raise AssertionError("the upload was over before the cut")
        bench.link = Link(BASE_BAUD, 40_000)
        report = bench.run(_sent(bench.link, plan, job=0, repeats=1))
        _hold(report.held_bytes > 0, "the upload that goes on sends everything anew")
        both = report.held_bytes + report.sent_bytes
        _hold(both == plan.upload.total_bytes, f"{both} of {plan.upload.total_bytes} bytes held or sent")
        _shows(bench, plan, pattern, profile)


def other_back_ends_are_refused(profile: DmdProfile, folder: Path) -> None:
    """A back end that the controller does not have is refused by name."""
    one = controller(profile.controller.value)
    _refused(
        lambda: one.open("no-such-back-end", profile, BackendOptions(), threading.Event()),
        InputError,
        "a back end that it does not have",
    )


def nothing_is_uploaded(profile: DmdProfile, folder: Path) -> None:
    """Where a controller takes no uploads, plan, virtual device and back ends all say why."""
    one = controller(profile.controller.value)
    export(profile, folder / "export", formats_for(one.name)[0])
    _refused(lambda: plan_upload(folder / "export", None, BASE_BAUD), LimitError, "an upload")
    _hold(not one.backends, f"it has the back ends {', '.join(one.backends)}, but takes no upload")
    _refused(lambda: one.virtual(profile, VirtualClock(), DeviceFaults(), True), InputError, "a virtual device")


@dataclass
class _Bench:
    """A virtual device, a bridge around it, and an uploader's end of the line."""

    clock: VirtualClock
    device: VirtualDevice
    bridge: ServerCore
    link: Link = field(default_factory=lambda: Link(BASE_BAUD, 900))

    @classmethod
    def of(cls, profile: DmdProfile) -> "_Bench":
        clock = VirtualClock()
        device = controller(profile.controller.value).virtual(profile, clock, DeviceFaults(), True)
        device.tick()
        return cls(clock, device, ServerCore(device.dmd, Store(10**9, None), max_payload_bytes=BLOCK_BYTES))

    def run(self, procedure: Procedure[T]) -> T:
        """Drive a procedure on a line without faults."""
        return VirtualLine(self.link, self.bridge).run(procedure)


def _ready(profile: DmdProfile, folder: Path) -> tuple[PatternStack, UploadPlan, _Bench]:
    """The design as a planned upload, and a bench to send it to."""
    name = formats_for(profile.controller.value)[0]
    pattern, _ = export(profile, folder / "export", name)
    return pattern, plan_upload(folder / "export", None, BASE_BAUD), _Bench.of(profile)


def _sent(link: Link, plan: UploadPlan, job: int, repeats: int) -> Procedure[TransferReport]:
    """Connect, compare, send, verify and start; job 0 goes on with what the bridge holds."""
    caps = yield from session.connect(link, "virtual")
    check_device(plan, caps)
    yield from session.ask_status(link)
    report = yield from transfer(link, plan.upload, caps, job)
    yield from session.start(link, job + 1, repeats, plan.upload.digest)
    return report


def _shows(bench: _Bench, plan: UploadPlan, pattern: PatternStack, profile: DmdProfile) -> None:
    """Let a device that was started once end, and compare what its mirrors showed."""
    for _ in range(_MAX_TICKS):
        if not bench.device.tick():
            break
        bench.clock.wait_us(_TICK_US)
    else:
        raise AssertionError("a sequence that is shown once does not end")
    _hold(bench.device.showings() == 1, f"{bench.device.showings()} sequences are there to be rendered, not 1")
    shown = [entry.frame() for entry in bench.device.controller.shown()]
    times = [frame.exposure_us for frame in shown]
    _hold(times == [entry.exposure_us for entry in plan.entries], "frames are shown for other times than planned")
    _equal([frame.levels for frame in shown], pattern, profile, "the mirrors show")


def _equal(frames: list[NDArray[np.uint8]], pattern: PatternStack, profile: DmdProfile, what: str) -> None:
    """Compare frames with the design, spread over the mirrors."""
    grid = superpixel_grid(profile, pattern.side)
    designed = pattern.displayed()
    _hold(len(frames) == len(designed), f"{what} {len(frames)} frames, the design has {len(designed)}")
    for number, (frame, levels) in enumerate(zip(frames, designed, strict=True)):
        _hold(bool(np.array_equal(frame, grid.spread(levels))), f"{what} another frame {number} than the design")


def _with_more_rows(profile: DmdProfile) -> DmdProfile:
    """The same device, but for eight rows more."""
    raw = profile.model_dump(mode="json", exclude_none=True)
    raw["mirrors"]["rows"]["value"] += 8
    return DmdProfile.model_validate(raw)


def _refused(call: Callable[[], object], kind: type[CidesignError], what: str) -> None:
    try:
        call()
    except kind:
        return
    raise AssertionError(f"not refused: {what}")


def _hold(condition: bool, broken: str) -> None:
    if not condition:
        raise AssertionError(broken)

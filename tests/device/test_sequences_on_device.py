"""Exports of several sequences, loaded and shown one after the other by the virtual devices, as a conversation."""

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cidesign.cli import main
from cidesign.constraints.sequence import plan_sequence
from cidesign.device.clock import SkippingClock
from cidesign.device.controllers import VirtualDevice, controller
from cidesign.device.dlpc350.virtual import VirtualDlpc350, rgb_words
from cidesign.device.link.plan import open_uploads, plan_upload
from cidesign.device.link.server import LinkServer
from cidesign.device.link.upload import show_each
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.errors import DeviceError, InputError, LimitError
from cidesign.export.dmd.family import FAMILY
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.hardware_profiles.loader import load_profile
from cidesign.pattern import PatternStack
from cidesign.testing.controllers import _Bench, _sent, _shows

COUNT, SIDE, ENTRIES = 35, 8, 30


def short(name: str, entries: int = ENTRIES) -> DmdProfile:
    """The device with tables so short that the design takes three of them."""
    raw = load_profile(name).model_dump(mode="json", exclude_none=True)
    raw["sequence_modes"] = [raw["sequence_modes"][-1]]
    raw["sequence_modes"][0]["max_entries"]["value"] = entries
    return DmdProfile.model_validate(raw)


def design(profile: DmdProfile) -> PatternStack:
    levels = np.random.default_rng(5).integers(0, 2, (COUNT, SIDE, SIDE), dtype=np.uint8)
    return PatternStack(levels, 1, "complementary", profile.id, profile.digest)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[DmdProfile, PatternStack, Path]]:
    """An export of 70 frames for a device whose tables hold 30."""
    made: dict[tuple[str, ...], tuple[DmdProfile, PatternStack, Path]] = {}

    def make(name: str, *formats: str) -> tuple[DmdProfile, PatternStack, Path]:
        if (name, *formats) not in made:
            profile = short(name)
            folder = tmp_path_factory.mktemp("sequences") / name
            FAMILY.export(design(profile), profile, folder, FAMILY.options(formats))
            made[name, *formats] = profile, design(profile), folder
        return made[name, *formats]

    return make


class Watched:
    """A device that remembers what its mirrors showed after each start."""

    def __init__(self, device: VirtualDevice) -> None:
        self.device = device
        self.starts: list[tuple[int, list[NDArray[np.uint8]]]] = []
        self.loads: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device.dmd, name)

    def load_sequence(self, entries: Any) -> None:
        self.loads.append("table")
        self.device.dmd.load_sequence(entries)

    def load_image(self, index: int, half: Any, content: bytes) -> None:
        self.loads.append("image")
        self.device.dmd.load_image(index, half, content)

    def start(self, repeats: int) -> None:
        # A DLPC350 remembers all that was shown from its flash, a DLPC900 the last sequence.
        before = len(self.device.controller.shown()) if isinstance(self.device.controller, VirtualDlpc350) else 0
        self.device.dmd.start(repeats)
        self.starts.append((repeats, [entry.frame().levels for entry in self.device.controller.shown()[before:]]))


@contextlib.contextmanager
def bench(profile: DmdProfile, images: Path | None = None) -> Iterator[tuple[Watched, str]]:
    """A bridge around a virtual device on a pseudo-terminal; `images`: an export whose images are in its flash."""
    from cidesign.device.link.transport import open_pty

    device = controller(profile.controller.value).virtual(profile, SkippingClock(), DeviceFaults(), images is None)
    if images is not None:
        for path in sorted(images.glob("sequence_*/*.bmp"), key=lambda one: one.name):
            with Image.open(path) as image:
                device.controller._flash.append(rgb_words(np.asarray(image)))  # type: ignore[attr-defined]
    watched = Watched(device)
    end, port = open_pty()
    stop = threading.Event()
    server = LinkServer(watched)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve, args=(end, stop))
    thread.start()
    try:
        yield watched, port
    finally:
        stop.set()
        thread.join()
        server.close()
        end.close()


def frames_of(profile: DmdProfile, pattern: PatternStack) -> list[NDArray[np.uint8]]:
    grid = superpixel_grid(profile, SIDE)
    return [grid.spread(levels) for levels in pattern.displayed()]


def the_design_in_three(watched: Watched, profile: DmdProfile, pattern: PatternStack) -> None:
    assert [repeats for repeats, _ in watched.starts] == [1, 1, 1]
    assert [len(shown) for _, shown in watched.starts] == [30, 30, 10]
    shown = [frame for _, frames in watched.starts for frame in frames]
    for number, (frame, expected) in enumerate(zip(shown, frames_of(profile, pattern), strict=True)):
        assert np.array_equal(frame, expected), number


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_a_dlp6500_is_loaded_and_started_for_each_sequence(exported: Callable[..., Any]) -> None:
    profile, pattern, folder = exported("dlp6500")
    uploads = open_uploads(folder, None)
    assert uploads.sequences == 3
    with bench(profile) as (watched, port):
        done = show_each(uploads, port, 115_200)
        the_design_in_three(watched, profile, pattern)
        # Each sequence brings its own table and its own images, which take the places of those before.
        assert watched.loads == ["table", "image", "image"] * 2 + ["table", "image"]
        assert [one.plan.sequence for one in done] == [1, 2, 3]
        assert [one.started is not None and one.started.entries_loaded for one in done] == [30, 30, 10]
        assert watched.device.dmd.status().idle
        # A second showing finds everything at the bridge: only loading lies between two sequences.
        again = show_each(uploads, port, 115_200, resume=True)
        assert sum(one.result.transfer.sent_bytes for one in again) == 0
        assert len(watched.starts) == 6


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_a_dlp4500_shows_its_flash_table_after_table(exported: Callable[..., Any]) -> None:
    profile, pattern, folder = exported("dlp4500")
    uploads = open_uploads(folder, None, images_in_flash=True)
    with bench(profile, folder) as (watched, port):
        show_each(uploads, port, 115_200)
        the_design_in_three(watched, profile, pattern)
        assert watched.loads == ["table"] * 3


@pytest.mark.parametrize("formats", [(), ("hdmi",)])
def test_a_dlp4500_takes_everything_over_hdmi_in_one_go(exported: Callable[..., Any], formats: tuple[str, ...]) -> None:
    profile, pattern, folder = exported("dlp4500", *formats)
    plan = plan_upload(folder, None, 115_200)
    assert (len(plan.entries), plan.images, plan.sequence) == (70, 5 if not formats else 3, None)
    line = _Bench.of(profile)
    line.run(_sent(line.link, plan, job=7, repeats=1))
    _shows(line, plan, pattern, profile)


def test_hdmi_is_not_bound_by_the_tables(tmp_path: Path) -> None:
    raw = load_profile("dlp4500").model_dump(mode="json", exclude_none=True)
    raw["sequence_modes"] = [raw["sequence_modes"][-1]]
    raw["sequence_modes"][0]["max_entries"]["value"], raw["sequence_modes"][0]["max_images"]["value"] = 24, 2
    profile = DmdProfile.model_validate(raw)
    FAMILY.export(design(profile), profile, tmp_path / "out", FAMILY.options())
    plan = plan_upload(tmp_path / "out", None, 115_200)
    assert plan.manifest.format == "hdmi"
    line = _Bench.of(profile)
    line.run(_sent(line.link, plan, job=7, repeats=1))
    _shows(line, plan, design(profile), profile)
    with pytest.raises(LimitError, match=r"70 frames in 3 images were written for HDMI, .* 24 entries and 2 images"):
        plan_upload(tmp_path / "out", None, 115_200, images_in_flash=True)


def test_one_sequence_is_loaded_alone(exported: Callable[..., Any]) -> None:
    profile, pattern, folder = exported("dlp6500")
    with pytest.raises(InputError, match=r"holds 3 sequences, .*--sequence N.*--start --repeats 1"):
        plan_upload(folder, None, 115_200)
    with pytest.raises(InputError, match=r"sequence 4: .* holds 1 to 3"):
        plan_upload(folder, None, 115_200, sequence=4)
    plan = plan_upload(folder, None, 115_200, sequence=2)
    assert dict(plan.rows(115_200))["part"] == "sequence 2 of 3"
    line = _Bench.of(profile)
    line.run(_sent(line.link, plan, job=7, repeats=1))
    shown = [entry.frame().levels for entry in line.device.controller.shown()]
    for frame, expected in zip(shown, frames_of(profile, pattern)[30:60], strict=True):
        assert np.array_equal(frame, expected)


def test_the_digests_of_sequences_differ(exported: Callable[..., Any]) -> None:
    _, _, folder = exported("dlp6500")
    uploads = open_uploads(folder, None)
    assert len({uploads.plan(number, 115_200).upload.digest for number in (1, 2, 3)}) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_an_error_between_two_sequences_leaves_the_device_stopped(exported: Callable[..., Any]) -> None:
    profile, _, folder = exported("dlp6500")
    with bench(profile) as (watched, port):
        inner, calls = watched.load_image, iter(range(100))

        def failing(index: int, half: Any, content: bytes) -> None:
            if next(calls) == 2:
                raise DeviceError("error 9: bad compression")
            inner(index, half, content)

        watched.load_image = failing  # type: ignore[method-assign]
        notes: list[str] = []
        with pytest.raises(DeviceError, match="bad compression"):
            show_each(open_uploads(folder, None), port, 115_200, on_note=notes.append)
        assert len(watched.starts) == 1
        assert notes[-1] == "not finished: the device is stopped and idle"


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_the_command_shows_all_sequences(
    exported: Callable[..., Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    profile, pattern, folder = exported("dlp6500")

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cidesign", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as leave:
            code = int(leave.code or 0)
        return code, *capsys.readouterr()

    code, out, _ = run("upload", folder, "--dry-run")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[:3]] == [
        ["sequence", "1"],
        ["sequence", "2"],
        ["sequence", "3"],
    ]
    code, _, err = run("upload", folder, "--port", "/dev/null-port")
    assert (code, "holds 3 sequences" in err, "--start --repeats 1" in err) == (2, True, True)
    with bench(profile) as (watched, port):
        code, out, err = run("upload", folder, "--port", port, "--start", "--repeats", 1, "--json")
        assert code == 0, err
        the_design_in_three(watched, profile, pattern)
        assert len(json.loads(out)["sequences"]) == 3
        code, _, err = run("upload", folder, "--port", port, "--sequence", 3)
        assert code == 0, err
        assert f"next: cidesign upload {folder} --port {port} --sequence 3 --resume --start" in err


def test_a_plan_of_one_sequence_names_none() -> None:
    assert plan_sequence(load_profile("dlp6500"), 400, 1).starts == (0,)

"""A virtual DMD, driven by the same driver and the same USB framing as a real one, and what its mirrors show."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from cidesign.device.clock import Clock
from cidesign.device.dlpc350.display import HdmiDlpc350, Rgb
from cidesign.device.dlpc350.driver import Dlpc350
from cidesign.device.dlpc350.virtual import VirtualDlpc350
from cidesign.device.dlpc900.driver import Dlpc900
from cidesign.device.dlpc900.virtual import VirtualDlpc900
from cidesign.device.dmd import Dmd
from cidesign.device.hid import HidLink
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.device.virtual_frames import write_shown
from cidesign.device.virtual_hid import VirtualHidPort
from cidesign.errors import InputError
from cidesign.hardware_profiles.dmd.schema import DmdProfile

FRAME_US = 16_667


class VirtualCanvas:
    """A screen of the device's own size, on the HDMI cable of a virtual DLPC350."""

    def __init__(self, controller: VirtualDlpc350, columns: int, rows: int) -> None:
        self._controller = controller
        self._size = columns, rows

    def size(self) -> tuple[int, int]:
        """Columns and rows of the screen."""
        return self._size

    def show(self, frame: Rgb) -> None:
        """Put a frame on the cable."""
        self._controller.show_video(frame.copy())

    def close(self) -> None:
        """Pull the cable."""
        self._controller.show_video(None)


class _EmulatedHdmi(HdmiDlpc350):
    """Keeps of what was shown only what came since the last start."""

    def __init__(self, device: Dlpc350, canvas: VirtualCanvas, clock: Clock, controller: VirtualDlpc350) -> None:
        super().__init__(device, canvas, clock, FRAME_US)
        self._controller = controller

    def start(self, repeats: int) -> None:
        """Begin to show the sequence."""
        with self._lock:  # or the pass before would add a frame in between
            self._controller.forget_shown()
            super().start(repeats)


class Emulation:
    """A virtual device with its driver.  `tick` shows HDMI frames and renders; call it often."""

    def __init__(
        self, profile: DmdProfile, clock: Clock, faults: DeviceFaults, render: Path | None, hdmi: bool = True
    ) -> None:
        self._render = render
        self._renderer = ThreadPoolExecutor(1, thread_name_prefix="cidesign-render")
        self._rendering: Future[None] | None = None
        self._rendered = 0
        self._player: HdmiDlpc350 | None = None
        self.controller: VirtualDlpc900 | VirtualDlpc350
        self.dmd: Dmd
        kind = profile.controller.value
        if kind == "dlpc900":
            # The emulated firmware counts patterns; for it the question of the real one's reading is settled.
            self.controller = VirtualDlpc900(profile, clock, faults, count_reading="patterns")
            link = HidLink(VirtualHidPort(self.controller), f"virtual {profile.id}")
            self.dmd = Dlpc900(link, profile, clock, "patterns")
        elif kind == "dlpc350":
            self.controller = VirtualDlpc350(profile, clock, faults, frame_us=FRAME_US)
            link = HidLink(VirtualHidPort(self.controller), f"virtual {profile.id}")
            self.dmd = Dlpc350(link, profile, clock)
            if hdmi:
                mirrors = profile.mirrors
                canvas = VirtualCanvas(self.controller, mirrors.columns.value, mirrors.rows.value)
                self.dmd = self._player = _EmulatedHdmi(self.dmd, canvas, clock, self.controller)
        else:
            raise InputError(
                f"{profile.id}: there is no virtual {kind}: such boards are driven by their vendor's library, not by "
                "a documented command set; `cidesign export` writes the files that the library takes"
            )

    def tick(self) -> bool:
        """Go on showing and render what is new; True while frames are being shown over HDMI."""
        playing = self._player.tick() if self._player is not None else False
        shown = self._player.passes if self._player is not None else self.controller.starts
        if shown != self._rendered:
            self._rendered = shown
            if shown == 1 or self._player is None:
                self._start_rendering()
        return playing

    def finish(self) -> None:
        """Wait until everything is rendered; raises `FileError` when it could not be written."""
        self._renderer.shutdown()
        if self._rendering is not None:
            self._rendering.result()

    def _start_rendering(self) -> None:
        if self._render is None:
            return
        if self._rendering is not None:
            self._rendering.result()
        self._rendering = self._renderer.submit(write_shown, self._render, self.controller.shown())

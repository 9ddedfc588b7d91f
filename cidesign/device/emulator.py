"""A virtual DMD, driven by the same driver and the same USB framing as a real one, and what its mirrors show."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from cidesign.device.clock import Clock
from cidesign.device.controllers import controller
from cidesign.device.virtual_faults import DeviceFaults
from cidesign.device.virtual_frames import write_shown
from cidesign.hardware_profiles.dmd.schema import DmdProfile


class Emulation:
    """A virtual device with its driver.  `tick` shows frames where the host does that, and renders; call it often.

    Raises `InputError` for a device that has no virtual counterpart.
    """

    def __init__(
        self, profile: DmdProfile, clock: Clock, faults: DeviceFaults, render: Path | None, hdmi: bool = True
    ) -> None:
        self._render = render
        self._renderer = ThreadPoolExecutor(1, thread_name_prefix="cidesign-render")
        self._rendering: Future[None] | None = None
        self._rendered = 0
        self._device = controller(profile.controller.value).virtual(profile, clock, faults, hdmi)
        self.controller = self._device.controller
        self.dmd = self._device.dmd

    def tick(self) -> bool:
        """Go on showing and render what is new; True while frames are being shown by the host."""
        playing = self._device.tick()
        showings = self._device.showings()
        if showings != self._rendered:
            self._rendered = showings
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

"""The HDMI way into a virtual DLPC350: a screen that is its video input, and the driver that shows on it."""

from cidesign.device.clock import Clock
from cidesign.device.dlpc350.display import HdmiDlpc350, Rgb
from cidesign.device.dlpc350.driver import Dlpc350
from cidesign.device.dlpc350.virtual import VirtualDlpc350

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


class EmulatedHdmi(HdmiDlpc350):
    """Keeps of what was shown only what came since the last start; `showings` counts the starts shown once."""

    def __init__(self, device: Dlpc350, canvas: VirtualCanvas, clock: Clock, controller: VirtualDlpc350) -> None:
        super().__init__(device, canvas, clock, FRAME_US)
        self._controller = controller
        self._counted = False
        self.showings = 0

    def start(self, repeats: int) -> None:
        """Begin to show the sequence."""
        with self._lock:  # or the pass before would add a frame in between
            self._controller.forget_shown()
            super().start(repeats)
            self._counted = False

    def tick(self) -> bool:
        """Go on showing; see `HdmiDlpc350`."""
        with self._lock:
            playing = super().tick()
            if self.passes and not self._counted:
                self._counted = True
                self.showings += 1
            return playing

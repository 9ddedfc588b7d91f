"""The HDMI way into a DLP4500: frames on a screen that is the device, one after another, each shown once.

In video mode the DLPC350 takes the 24 planes of whatever frame is on its input and runs its table once per frame.
A desktop gives no promise on which refresh a picture appears, so nothing is streamed: each image is put on the
screen, then left there until it surely has arrived, then its part of the table runs once, then the next.
Never run on a real device; that a table runs *once* from video (repeat flag 0) is what TI's API documents.
"""

import threading
from dataclasses import replace
from io import BytesIO
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cidesign.constraints.sequence import MOST_STREAMED
from cidesign.device.clock import Clock
from cidesign.device.commands import stopped_on_error
from cidesign.device.dlpc350.driver import Dlpc350
from cidesign.device.dlpc350.tables import Source
from cidesign.device.dmd import SETTLE_FRAMES, DeviceInfo, DeviceStatus, Half, TableEntry
from cidesign.errors import DeviceError

# The black frame that marks the next video frame needs this much before it (TI DLPU010, black fill).
_BLACK_US = 230
_RUN_OVER_US = 2_000_000

Rgb = NDArray[np.uint8]


class Canvas(Protocol):
    """A screen, all of it: `show` is the last call before the light."""

    def size(self) -> tuple[int, int]:
        """Columns and rows of the screen."""

    def show(self, frame: Rgb) -> None:
        """Put a frame (rows, columns, 3) on the screen, pixel for pixel."""

    def close(self) -> None:
        """Give the screen back."""


class _Step(NamedTuple):
    """What one run of the table shows: entries of one image that fit one video frame."""

    image: int
    entries: tuple[TableEntry, ...]


def frame_of(content: bytes, columns: int, rows: int) -> Rgb:
    """The RGB frame (rows, columns, 3) of a PNG or BMP; raises `DeviceError` unless it is 24-bit and fits exactly."""
    try:
        with Image.open(BytesIO(content), formats=("PNG", "BMP")) as image:
            if image.size != (columns, rows) or image.mode != "RGB":
                raise DeviceError(
                    f"image of {image.size[0]} x {image.size[1]} in mode {image.mode}; the mirrors need {columns} x "
                    f"{rows} in RGB (24 bits); export again for this profile"
                )
            return np.asarray(image)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DeviceError(f"image is not a readable PNG or BMP ({error}); export again") from error


class HdmiDlpc350:
    """A DLPC350 with the computer at its HDMI input: a `Dmd` that takes images.

    `tick` does the work of showing and must be called often by the thread that owns the canvas; all other methods
    may be called by another thread.  `frame_us` is the period of the screen's refresh.
    """

    def __init__(self, device: Dlpc350, canvas: Canvas, clock: Clock, frame_us: int) -> None:
        self._device = device
        self._canvas = canvas
        self._clock = clock
        self._frame_us = frame_us
        self._lock = threading.RLock()
        self._wanted: Rgb | None = None
        self._blank_wanted = True
        self._forget()

    def _forget(self) -> None:
        self._prepared = False
        self._steps: list[_Step] = []
        self._entries = 0
        self._images: dict[int, bytes] = {}
        self._failure = ""
        self._halt()

    def _halt(self) -> None:
        self._playing = False
        self._step = 0
        self._passes_left: int | None = 0
        self._programmed: tuple[TableEntry, ...] | None = None
        self._on_screen: int | None = None
        self._due_us: int | None = None
        self._over_us = 0
        self.passes = 0

    def info(self) -> DeviceInfo:
        """Identify the device; with the screen it takes images, as many as the link can count.

        The controller's table holds the entries of one image at a time.
        """
        with self._lock:
            return replace(self._device.info(), image_upload=True, max_entries=MOST_STREAMED, max_images=MOST_STREAMED)

    def prepare(self) -> None:
        """Stop, blank the screen and check that screen and controller agree on exactly the mirrors."""
        with self._lock:
            self._forget()
            info = self._device.info()
            self._check_screen(info)
            self._device.prepare()
            with stopped_on_error(self._device.stop):
                self._device.check_video()
            self._blank_wanted = True
            self._prepared = True

    def load_sequence(self, entries: list[TableEntry]) -> None:
        """Cut the table into runs that each fit one video frame, and validate the first on the device."""
        with self._lock:
            self._require_prepared("load_sequence")
            if not entries:
                raise DeviceError("sequence table: it is empty; export again")
            self._images = {}
            self._steps = self._cut(entries)
            self._entries = len(entries)
            self._halt()
            self._program(self._steps[0])

    def load_image(self, index: int, half: Half, content: bytes) -> None:
        """Keep an image (PNG or BMP) for showing; it is decoded and checked now."""
        with self._lock:
            self._require_prepared("load_image")
            info = self.info()
            if half is not Half.PRIMARY:
                raise DeviceError(f"{info.profile_id}: image {index}: this device has no secondary controller")
            if not 0 <= index < info.max_images:
                raise DeviceError(f"{info.profile_id}: image {index}; it takes {info.max_images} images")
            try:
                frame_of(content, info.columns, info.rows)
            except DeviceError as error:
                raise DeviceError(f"{info.profile_id}: image {index}: {error}") from error
            self._images[index] = content

    def start(self, repeats: int) -> None:
        """Begin to show the sequence `repeats` times, 0 until stopped; `tick` does it."""
        with self._lock:
            self._require_prepared("start")
            missing = sorted({step.image for step in self._steps} - set(self._images))
            if missing or not self._steps:
                what = f"image {missing[0]} is not loaded" if missing else "there is no sequence table"
                raise DeviceError(f"{self._device.info().profile_id}: cannot start: {what}; upload again")
            self._halt()
            self._failure = ""
            self._passes_left = repeats or None
            self._playing = True

    def stop(self) -> None:
        """Stop showing; the screen goes black at the next `tick`."""
        with self._lock:
            self._forget()
            self._blank_wanted = True
            self._device.stop()

    def status(self) -> DeviceStatus:
        """Ask the device; it runs while there is something left to show."""
        with self._lock:
            status = self._device.status()
            error = "; ".join(text for text in (status.error, self._failure) if text)
            return DeviceStatus(self._playing, not self._playing, len(self._images), self._entries, error)

    def close(self) -> None:
        """Stop the device and give the screen back."""
        with self._lock:
            self._forget()
            try:
                self._device.close()
            finally:
                self._canvas.close()

    def tick(self) -> bool:
        """Go on showing; False when there is nothing to do.  Raises `DeviceError` when the device fails meanwhile."""
        with self._lock:
            if self._blank_wanted:
                self._blank_wanted = False
                info = self._device.info()
                self._canvas.show(np.zeros((info.rows, info.columns, 3), dtype=np.uint8))
            if not self._playing:
                return False
            try:
                with stopped_on_error(self._device.stop):
                    self._advance()
            except DeviceError as error:
                failure = str(error)
                self._forget()
                self._failure, self._blank_wanted = failure, True
                raise
            return self._playing

    def _advance(self) -> None:
        now_us = self._clock.now_us()
        step = self._steps[self._step]
        if self._on_screen != step.image:
            info = self._device.info()
            self._canvas.show(frame_of(self._images[step.image], info.columns, info.rows))
            self._on_screen = step.image
            self._due_us = now_us + SETTLE_FRAMES * self._frame_us
            return
        if self._due_us is not None:
            if now_us < self._due_us:
                return
            self._due_us = None
            if self._programmed != step.entries:
                self._program(step)
            self._device.run()
            self._over_us = self._clock.now_us() + _RUN_OVER_US
            return
        if self._device.running():
            if now_us > self._over_us:
                raise DeviceError(f"{self._device.info().profile_id}: a run of the table does not end; upload again")
            return
        self._next_step()

    def _next_step(self) -> None:
        self._step += 1
        self._due_us = self._clock.now_us()
        if self._step < len(self._steps):
            return
        self._step = 0
        self.passes += 1
        if self._passes_left is not None:
            self._passes_left -= 1
            self._playing = self._passes_left > 0
            self._blank_wanted = not self._playing

    def _program(self, step: _Step) -> None:
        self._device.program(list(step.entries), Source.VIDEO, repeat=False)
        self._programmed = step.entries

    def _cut(self, entries: list[TableEntry]) -> list[_Step]:
        room_us = self._frame_us - _BLACK_US
        groups: list[list[TableEntry]] = []
        used_us = 0
        for number, entry in enumerate(entries):
            period_us = entry.exposure_us + entry.dark_us
            if period_us > room_us:
                raise DeviceError(
                    f"entry {number}: {period_us} us are longer than a video frame ({self._frame_us} us) leaves; use a "
                    "shorter exposure, or a slower screen mode and --frame-hz"
                )
            if not groups or groups[-1][0].image != entry.image or used_us + period_us > room_us:
                groups.append([])
                used_us = 0
            used_us += period_us
            groups[-1].append(entry)
        return [
            _Step(
                group[0].image,
                tuple(replace(entry, image=0, loads_image=not place) for place, entry in enumerate(group)),
            )
            for group in groups
        ]

    def _check_screen(self, info: DeviceInfo) -> None:
        columns, rows = self._canvas.size()
        if (columns, rows) != (info.columns, info.rows):
            raise DeviceError(
                f"{info.profile_id}: the screen is {columns} x {rows}; it must be {info.columns} x {info.rows}, "
                "the only one, without scaling: set that mode (xrandr, or hdmi_timings on a Raspberry Pi) and repeat"
            )

    def _require_prepared(self, call: str) -> None:
        if not self._prepared:
            raise DeviceError(f"{self._device.info().profile_id}: {call} before prepare; upload again")


class TkCanvas:
    """The whole screen through tkinter of the standard library; must be used by the thread that made it."""

    def __init__(self) -> None:
        try:
            import tkinter
        except ImportError as error:
            raise DeviceError(
                "back end display: Python's tkinter is missing; on Debian and Raspberry Pi OS: apt install python3-tk"
            ) from error
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise DeviceError(
                f"back end display: no screen ({error}); start it in the desktop session of the computer at the HDMI "
                "input, or set DISPLAY"
            ) from error
        self._error = tkinter.TclError
        self._root.overrideredirect(True)
        self._root.configure(cursor="none", background="black")
        self._image = tkinter.PhotoImage(master=self._root)
        self._label = tkinter.Label(self._root, image=self._image, borderwidth=0, highlightthickness=0)
        self._label.pack()
        self._size = self._measure()
        self._root.geometry(f"{self._size[0]}x{self._size[1]}+0+0")
        self._root.update()

    def _measure(self) -> tuple[int, int]:
        return self._root.winfo_screenwidth(), self._root.winfo_screenheight()

    def size(self) -> tuple[int, int]:
        """Columns and rows of the screen when it was last drawn on; may be asked by any thread, unlike tkinter."""
        return self._size

    def show(self, frame: Rgb) -> None:
        """Put a frame on the screen; a binary PPM goes into the picture without any conversion."""
        rows, columns = frame.shape[:2]
        content = f"P6 {columns} {rows} 255\n".encode() + np.ascontiguousarray(frame).tobytes()
        try:
            self._image.configure(data=content, format="ppm")
            self._root.lift()
            self._root.update()
            self._size = self._measure()
        except self._error as error:
            raise DeviceError(f"back end display: the screen is gone ({error}); start the bridge again") from error

    def close(self) -> None:
        """Give the screen back."""
        self._root.destroy()

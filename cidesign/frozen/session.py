"""A frozen decoder that runs: images from readings, by onnxruntime."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cidesign.errors import FileError, InputError, first_line
from cidesign.frozen.container import read_contents
from cidesign.frozen.record import INPUT, OUTPUT, FrozenRecord

# Not the extra of cidesign: where torch is left out, that would bring it.
INSTALL = "pip install onnxruntime"


@dataclass(frozen=True)
class FrozenDecoder:
    """A decoder that knows its operator, with what its file says."""

    path: Path
    record: FrozenRecord
    session: Any

    def __call__(self, y: NDArray[np.floating]) -> NDArray[np.float32]:
        """The images (B, n, n) of readings (B, K) in units of y = A x; raises `InputError` for another K."""
        if y.ndim != 2 or y.shape[1] != self.record.readings:
            raise InputError(f"readings of shape {y.shape}: {self.path.name} takes (B, {self.record.readings})")
        (images,) = self.session.run([OUTPUT], {INPUT: np.ascontiguousarray(y, np.float32)})
        side = self.record.side
        if images.shape != (len(y), 1, side, side):
            raise FileError(f"{self.path}: gives images of shape {images.shape}, its record says {side} x {side}")
        found: NDArray[np.float32] = images[:, 0]
        return found


def open_decoder(path: Path) -> FrozenDecoder:
    """Open a file of `cidesign export --decoder onnx`; onnxruntime gets it only after its record and digests fit.

    Raises `FileError` for another or a changed file, and `InputError` where onnxruntime is not installed.
    """
    contents = read_contents(path)
    return FrozenDecoder(path, contents.record, session_of(contents.model, path))


def session_of(model: bytes, path: Path) -> Any:
    """A session of onnxruntime on the processor, of the bytes of a model: it has no folder to look for others in."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"{path}: onnxruntime runs ONNX decoders, and is not installed: {INSTALL}") from error
    try:
        return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes have no common one
        raise FileError(f"{path}: onnxruntime does not take this decoder ({first_line(error)})") from error

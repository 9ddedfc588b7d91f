"""What a frozen decoder says of itself: a record among the metadata of its ONNX file."""

import base64
import binascii
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cidesign.errors import FileError
from cidesign.pattern import PatternStack
from cidesign.records import Digest, Finite, NotNegative, Positive, Strict

SCHEMA_VERSION: Literal[1] = 1
# The name of the record among the metadata.
KEY = "cidesign"
OPSET: Literal[17] = 17
IR_VERSION = 8
# What graphs are made of; others are not run.
OPERATORS = frozenset(
    {"Add", "Concat", "Conv", "Identity", "MatMul", "MaxPool", "Pad", "Relu", "Reshape", "Resize", "Slice", "Sub"}
)
ORIENTATION = "row 0 at the top, column 0 at the left; readings in the order of the patterns of the design"
INPUT, OUTPUT = "readings", "images"

Text = Annotated[str, Field(max_length=4096)]
Count = Annotated[int, Field(ge=1, le=2**20)]


class Parity(Strict):
    """How far the file, as read from disk, was from the decoder that it was made of: the largest difference of a
    pixel, in units of the images, over `scenes` asymmetric scenes with noise."""

    scenes: Count
    largest_difference: NotNegative
    bound: Positive


class FrozenRecord(Strict):
    """The record of a frozen decoder; `calibration_sha256` is that of `calibration.json`, None for the design as it is.

    `graph_sha256` is that of the graph's bytes; `design_npz` and `prior_variance` (float64, row by row) are base64.
    """

    schema_version: Literal[1]
    kind: Literal["frozen-decoder"]
    modality: Annotated[str, Field(max_length=64)]
    cidesign_version: Annotated[str, Field(max_length=64)]
    created_utc: Annotated[str, Field(max_length=64)]
    run: Text
    decoder: Annotated[str, Field(max_length=64)]
    student_sha256: Digest
    design_digest: Digest
    calibration_sha256: Digest | None
    calibration: Text | None
    units: Text
    orientation: Text
    readings: Count
    side: Annotated[int, Field(ge=1, le=4096)]
    opset: Literal[17]
    graph_sha256: Digest
    parity: Parity
    prior_level: Finite
    prior_variance: str
    design_npz: str

    def variance(self) -> NDArray[np.float64]:
        """The variance (n, n) of each cosine of the training images; raises `FileError` where it is damaged."""
        found = np.frombuffer(_bytes(self.prior_variance), dtype="<f8")
        if found.size != self.side**2 or not np.isfinite(found).all() or found.min() <= 0:
            raise FileError("the statistics of the training images in the frozen decoder are damaged; export it again")
        return found.reshape(self.side, self.side).astype(np.float64)

    def design(self) -> PatternStack:
        """The patterns that the decoder is for; raises `FileError` where they are damaged, or not of its digest."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "design.npz"
            path.write_bytes(_bytes(self.design_npz))
            found = PatternStack.load(path)
        if (found.design_digest, found.count, found.side) != (self.design_digest, self.readings, self.side):
            raise FileError("the design in the frozen decoder is not the one that its record names; export it again")
        return found


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FileError(f"the record of the frozen decoder is damaged ({error}); export it again") from error

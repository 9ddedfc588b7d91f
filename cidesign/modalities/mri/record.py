"""What the records of MRI reconstructions add to those of all."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field

from cidesign.calibration.verify import Verdict, Verification
from cidesign.orientation import StoredOrientation
from cidesign.reconstruct.record import Count, Entry, Line, ReconstructionRecord
from cidesign.records import Finite, NotNegative, Positive, Strict


class ScoredEntry(Entry):
    """One way to an image: how it explains the readings, and scores where there is a reference."""

    reconstruction: Line
    residual: NotNegative
    chi_square_reduced: NotNegative
    psnr_db: Finite | None = None
    ssim: Finite | None = None
    hfen_db: Finite | None = None


class LinesEntry(ScoredEntry):
    """One set of lines and one way to images: how it explains the readings, and scores where there is a reference."""

    lines: Line


class Verifications(Strict):
    """That of the calibration, and that of the capture."""

    calibration: Verification
    capture: Verification


class HeldOut(Strict):
    """The relative residual of lines that were held out, None where none were."""

    relative_residual: Annotated[
        Finite | None, Field(validation_alias=AliasChoices("relative_residual", "unexplained"))
    ]
    meaning: Line


class SliceEntry(Entry):
    """One slice of a stack: its number in the file, its middle in mm (left, back, head), and its own figures."""

    slice: Count
    centre_mm: tuple[Finite, Finite, Finite] | None = None
    full_scale: Positive | None = None
    verdict: Verdict | None = None
    images: list[LinesEntry]
    held_out: HeldOut
    notes: list[Line]


class MriRecord(ReconstructionRecord):
    """Of raw k-space; of a stack with means over its slices, and what each says of itself.

    `full_scale`: what 1 of the images is in units of the file, orthonormal transforms taken.  `virtual_coils`: how many
    combinations of the coils were used in their place.
    """

    verification: Verifications
    capture_source: Line
    sampling: Literal["prospective", "retrospective"]
    reference: Line | None
    acquired_lines: Count
    acceleration: Positive
    coils: Count
    orientation: StoredOrientation
    images: list[LinesEntry]
    held_out: Annotated[HeldOut, Field(validation_alias=AliasChoices("held_out", "held_back"))]
    full_scale: Positive | None = None
    virtual_coils: Count | None = None
    slices: list[SliceEntry] = Field(default_factory=list)

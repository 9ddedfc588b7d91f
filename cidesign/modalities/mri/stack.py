"""Captures of several slices: each is reconstructed by itself, and the images are put together as a stack."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from cidesign import progress
from cidesign.calibration.mri.kspace import listed
from cidesign.calibration.mri.place import ImagePlace
from cidesign.calibration.mri.record import StoredKspaceCalibration
from cidesign.calibration.mri.slices import KspaceSlices, StackPlace, of_slice, stack_place
from cidesign.calibration.mri.stack import StoredKspaceSlices, merged
from cidesign.calibration.verify import Judgement
from cidesign.errors import FileError
from cidesign.files import save_npz, write_bytes
from cidesign.io.nifti import write_nifti
from cidesign.io.ome_tiff import write_ome_tiff
from cidesign.modalities.mri.panels import METHODS
from cidesign.modalities.mri.reconstruct import HEADER, MriReconstructor
from cidesign.modalities.mri.record import HeldOut, LinesEntry, MriRecord, SliceEntry, Verifications
from cidesign.modalities.mri.run import MriRun
from cidesign.reconstruct.outcome import COMPARISON, Leaf, NamedMap, Reconstruction, grey_png, map_png, shown
from cidesign.reconstruct.pipeline import reconstruct
from cidesign.reconstruct.record import Disagreement, Uncertainty
from cidesign.runs import Run

Stack = NDArray[np.float32]
SCORES = ("psnr_db", "ssim", "hfen_db")


class SliceImages(NamedTuple):
    """The reconstruction of one slice, and where it lies."""

    number: int
    place: ImagePlace | None
    done: Reconstruction

    @property
    def record(self) -> MriRecord:
        """What it says of itself."""
        return cast(MriRecord, self.done.record)


@dataclass(frozen=True)
class NamedStack:
    """Images (S, H, W) of slices: NAME.nii, NAME.npz (`image`), NAME.tiff (OME, float32), and NAME.png side by side."""

    name: str
    image: Stack
    affine: NDArray[np.float64] | None

    @property
    def array(self) -> Stack:
        """The images."""
        return self.image

    def write(self, folder: Path) -> None:
        """Write all files."""
        save_npz(folder / f"{self.name}.npz", {"image": self.image})
        write_ome_tiff(folder / f"{self.name}.tiff", self.image, axes="ZYX")
        write_bytes(folder / f"{self.name}.png", grey_png(_side_by_side(self.image)))
        write_nifti(folder / f"{self.name}.nii", np.ascontiguousarray(self.image.transpose(2, 1, 0)), self.affine)


@dataclass(frozen=True)
class NamedMaps:
    """Maps (S, H, W) of slices, drawn side by side as `drawn` is."""

    drawn: NamedMap
    image: Stack

    @property
    def name(self) -> str:
        """The stem of the files."""
        return self.drawn.name

    @property
    def array(self) -> Stack:
        """The maps."""
        return self.image

    def write(self, folder: Path) -> None:
        """Write NAME.png (in colour), NAME.tiff (OME, float32), NAME.npz (`image`)."""
        save_npz(folder / f"{self.name}.npz", {"image": self.image})
        write_ome_tiff(folder / f"{self.name}.tiff", self.image, axes="ZYX")
        write_bytes(folder / f"{self.name}.png", map_png(replace(self.drawn, image=_side_by_side(self.image))))


def _side_by_side(stack: Stack) -> Stack:
    """One picture of all slices, row by row."""
    count, height, width = stack.shape
    columns = math.ceil(count**0.5)
    whole = np.zeros((math.ceil(count / columns), columns, height, width), dtype=np.float32)
    whole.reshape(-1, height, width)[:count] = stack
    return np.ascontiguousarray(whole.transpose(0, 2, 1, 3).reshape(-1, columns * width))


class SlicesReconstructor(MriReconstructor):
    """Of a capture of one slice, or of several."""

    def images(self, run: Run, capture: Any, calibration: Any, accept_failed: bool = False) -> Reconstruction:
        """Every slice with its own calibration."""
        if isinstance(capture, KspaceSlices):
            return reconstruct_slices(cast(MriRun, run), capture, calibration, accept_failed)
        told = calibration.one(capture.slice_number) if isinstance(calibration, StoredKspaceSlices) else calibration
        return super().images(run, capture, told, accept_failed)


def reconstruct_slices(
    run: MriRun,
    capture: KspaceSlices,
    calibration: StoredKspaceSlices | StoredKspaceCalibration,
    accept_failed: bool = False,
) -> Reconstruction:
    """Every slice of a capture with its own calibration, as one stack; errors name the slice.

    Raises `FileError` for a calibration of one slice, which is none of another.
    """
    if isinstance(calibration, StoredKspaceCalibration):
        raise FileError(
            f"{calibration.path}: is the calibration of one slice, and coil maps are those of a slice; {capture.path} "
            f"holds {listed(list(capture.numbers))}: calibrate it without slice_index, or choose --set slice_index=N"
        )
    slices = []
    for number in progress.steps("slices", capture.numbers):
        with of_slice(number):
            raw = capture.one(number)
            done = reconstruct(MriReconstructor(of_stack=True), run, raw, calibration.one(number), accept_failed)
        slices.append(SliceImages(number, raw.place, done))
    return _together(calibration, slices)


def _together(calibration: StoredKspaceSlices, slices: Sequence[SliceImages]) -> Reconstruction:
    middle = slices[len(slices) // 2]
    place, said = stack_place([one.place for one in slices])
    alike = all(one.record.orientation == middle.record.orientation for one in slices)
    affine = _affine(place, middle) if alike else None
    # Each slice has a scale of its own: 1 is the brightest pixel of the object in all of them.
    full = max(one.record.full_scale or 1.0 for one in slices)
    factors = [np.float32((one.record.full_scale or 1.0) / full) for one in slices]
    leaves: list[Leaf] = [
        NamedStack(leaf.name, _stacked(slices, "leaves", number, factors), affine)
        for number, leaf in enumerate(middle.done.leaves)
    ]
    maps: list[Leaf] = [
        NamedMaps(cast(NamedMap, leaf), _stacked(slices, "map_leaves", number, factors))
        for number, leaf in enumerate(middle.done.map_leaves)
    ]
    record = _record(calibration, slices, full, [said if affine is not None else _unplaced(said)])
    pictures = {f"{COMPARISON}_{one.number:03d}": one.done.pictures[COMPARISON] for one in slices}
    judgement = Judgement(
        record.verification.calibration,
        record.verification.capture,
        all(one.done.judgement is not None and one.done.judgement.same for one in slices),
    )
    return Reconstruction(
        leaves=leaves,
        record=record.model_copy(update={"verdict": judgement.verdict, "not_looked_at": list(judgement.not_looked_at)}),
        heading=f"{len(slices)} slices, {middle.done.heading}",
        rows=[_row(entry, one.number) for one in slices for entry in _own(one.record.images)],
        header=("slice", *HEADER),
        pictures={**pictures, COMPARISON: middle.done.pictures[COMPARISON]},
        judgement=judgement,
        map_leaves=maps,
    )


def _stacked(slices: Sequence[SliceImages], kind: str, number: int, factors: Sequence[np.float32]) -> Stack:
    return np.stack(
        [
            np.asarray(getattr(one.done, kind)[number].array * factor, dtype=np.float32)
            for one, factor in zip(slices, factors, strict=True)
        ]
    )


def _affine(place: StackPlace | None, middle: SliceImages) -> NDArray[np.float64] | None:
    turned = middle.record.orientation
    if place is None or turned.transpose:
        return None
    rows, columns = middle.done.leaves[0].array.shape
    return place.affine(rows, columns, turned.flip_vertical, turned.flip_horizontal)


def _unplaced(why: str) -> str:
    return f"the NIfTI files hold no place in the patient: {why}, or the images are turned"


def _own(entries: Sequence[LinesEntry]) -> list[LinesEntry]:
    """Those of the run's own lines, which come first."""
    return [entry for entry in entries if entry.lines == entries[0].lines]


def _row(entry: LinesEntry, number: int) -> tuple[str, ...]:
    return (
        str(number),
        entry.lines,
        METHODS[entry.reconstruction],
        *(shown(getattr(entry, name), form) for name, form in zip(SCORES, (".2f", ".3f", ".2f"), strict=True)),
        f"{entry.residual:.4f}",
        f"{entry.chi_square_reduced:.2f}",
    )


def _record(
    calibration: StoredKspaceSlices, slices: Sequence[SliceImages], full_scale: float, said: list[str]
) -> MriRecord:
    """One record for all: means over the slices, the worst of what was checked, and what each slice says."""
    records = {one.number: one.record for one in slices}
    middle = slices[len(slices) // 2].record
    worst = max(records.values(), key=lambda one: one.held_out.relative_residual or 0.0).held_out
    apart = [one.disagreement for one in records.values() if one.disagreement is not None]
    scatter = [one.uncertainty.student_rms or 0.0 for one in records.values() if one.uncertainty is not None]
    common = [note for note in middle.notes if all(note in one.notes for one in records.values())]
    captures = merged({number: one.verification.capture for number, one in records.items()})
    changed = {
        "calibration": str(calibration.path),
        "capture": middle.capture,
        "full_scale": full_scale,
        "verification": Verifications(calibration=calibration.verification, capture=captures),
        "checks": captures.checks,
        "images": _means([one.images for one in records.values()]),
        "held_out": HeldOut(relative_residual=worst.relative_residual, meaning=worst.meaning),
        "notes": [*said, *common],
        "slices": [_slice_entry(one, common) for one in slices],
        "disagreement": None if not apart else _furthest(apart),
        "uncertainty": None
        if not scatter or middle.uncertainty is None
        else Uncertainty(draws=middle.uncertainty.draws, student_rms=float(np.sqrt(np.mean(np.square(scatter))))),
    }
    return middle.model_copy(update={name: value for name, value in changed.items() if value is not None})


def _furthest(apart: Sequence[Disagreement]) -> Disagreement:
    return max(apart, key=lambda one: one.rms)


def _means(images: Sequence[Sequence[LinesEntry]]) -> list[LinesEntry]:
    """The mean of each figure over the slices that have it."""
    found = []
    for entries in zip(*images, strict=True):
        values: dict[str, float] = {}
        for name in ("residual", "chi_square_reduced", *SCORES):
            known = [value for entry in entries if (value := getattr(entry, name)) is not None]
            if known:
                values[name] = float(np.mean(known))
        found.append(LinesEntry(lines=entries[0].lines, reconstruction=entries[0].reconstruction, **values))
    return found


def _slice_entry(one: SliceImages, common: Sequence[str]) -> SliceEntry:
    record, place = one.record, one.place
    return SliceEntry(
        slice=one.number,
        centre_mm=None if place is None else tuple(place.centre_mm.tolist()),
        full_scale=record.full_scale,
        verdict=record.verdict,
        images=record.images,
        held_out=record.held_out,
        notes=[note for note in record.notes if note not in common],
    )

"""The rules of a coded aperture, checked in NumPy on the pixels of a mask; `relax_aperture` trains against them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cidesign.constraints.rules import Violation
from cidesign.errors import LimitError
from cidesign.hardware_profiles.aperture_schema import ApertureProfile
from cidesign.pattern import ApertureMask

Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class MinimumFeature:
    """Smallest transparent feature and smallest opaque gap, in code pixels, and whether corners alone may touch.

    Along every row and column, a run of 1 is at least `feature_px` long and a run of 0 at least `gap_px`; runs that
    end at the border of the code are measured like the others, since the frame around the code is opaque for
    some orders and transparent for others.
    """

    feature_px: int
    gap_px: int
    corner_contacts: bool
    pitch_um: float
    profile_id: str

    @property
    def cell_px(self) -> int:
        """The side of the square cells that training draws the mask in: any such mask keeps both run lengths."""
        return max(self.feature_px, self.gap_px)

    def check(self, pattern: ApertureMask) -> list[Violation]:
        """At most one violation for features, gaps and corner contacts each, with the count and the first place."""
        found = []
        for value, least_px, name in ((1, self.feature_px, "feature"), (0, self.gap_px, "gap")):
            places = short_runs(pattern.levels, value, least_px)
            if len(places):
                found.append(self._violation(f"smallest {name}", places, f"{self._um(least_px)} um"))
        if not self.corner_contacts:
            places = corner_contacts(pattern.levels)
            if len(places):
                found.append(self._violation("corner contacts", places, "none"))
        return found

    def _um(self, pixels: float) -> str:
        return f"{pixels * self.pitch_um:g}"

    def _violation(self, rule: str, places: NDArray[np.int64], limit: str) -> Violation:
        row, column = places[0]
        where = f"mask at x = {self._um(column)} um, y = {self._um(row)} um (row {row}, column {column})"
        value = f"broken at {len(places)} places" if rule == "corner contacts" else f"less at {len(places)} places"
        return Violation(rule, where, value, f"{limit} on {self.profile_id}", "export a run made for it")


def short_runs(mask: Mask, value: int, least_px: int) -> NDArray[np.int64]:
    """(count, 2) row and column of the first pixel of every run of `value` shorter than `least_px`, either way."""
    if least_px <= 1:
        return np.empty((0, 2), dtype=np.int64)
    along_rows = _short_runs_in_rows(mask == value, least_px)
    along_columns = _short_runs_in_rows((mask == value).T, least_px)[:, ::-1]
    places: NDArray[np.int64] = np.unique(np.concatenate([along_rows, along_columns]), axis=0)
    return places


def _short_runs_in_rows(wanted: NDArray[np.bool_], least_px: int) -> NDArray[np.int64]:
    framed = np.zeros((wanted.shape[0], wanted.shape[1] + 2), dtype=np.int8)
    framed[:, 1:-1] = wanted
    steps = np.diff(framed, axis=1)
    starts, ends = np.argwhere(steps == 1), np.argwhere(steps == -1)
    return starts[(ends - starts)[:, 1] < least_px]


def corner_contacts(mask: Mask) -> NDArray[np.int64]:
    """(count, 2) row and column of the upper left pixel of every 2 x 2 block whose equal pixels are diagonal."""
    a, b, c, d = mask[:-1, :-1], mask[:-1, 1:], mask[1:, :-1], mask[1:, 1:]
    return np.argwhere((a == d) & (b == c) & (a != b))


def feature_rule(profile: ApertureProfile) -> MinimumFeature:
    """The rule of a profile: what training builds masks by, and what the written file is checked against."""
    pitch_um, lithography = profile.pixel_pitch_um.value, profile.lithography
    return MinimumFeature(
        feature_px=_pixels(lithography.min_feature_um.value, pitch_um),
        gap_px=_pixels(lithography.min_gap_um.value, pitch_um),
        corner_contacts=lithography.corner_contacts.value,
        pitch_um=pitch_um,
        profile_id=profile.id,
    )


def _pixels(length_um: float, pitch_um: float) -> int:
    # 6.0 um at a pitch of 2.0 um is 3 pixels; the tolerance keeps 6.000000001 / 2 from becoming 4.
    return max(1, math.ceil(length_um / pitch_um * (1 - 1e-9)))


def require_freedom(profile: ApertureProfile, height: int, width: int) -> None:
    """Raise `LimitError` when a code of height x width pixels leaves nothing to design, or does not fit."""
    rule, lithography = feature_rule(profile), profile.lithography
    if min(height, width) < 2 * rule.cell_px:
        raise LimitError(
            f"mask of {height} x {width} code pixels: the smallest feature of {profile.id} is {rule.cell_px} code "
            f"pixels, so at least {2 * rule.cell_px} a side are needed; use a larger code or a finer process"
        )
    pitch_um = profile.pixel_pitch_um.value
    plate_mm = lithography.plate_width_mm.value, lithography.plate_height_mm.value
    code_mm = width * pitch_um / 1000, height * pitch_um / 1000
    if code_mm[0] > plate_mm[0] or code_mm[1] > plate_mm[1]:
        raise LimitError(
            f"mask of {code_mm[0]:g} x {code_mm[1]:g} mm: the plate of {profile.id} is {plate_mm[0]:g} x "
            f"{plate_mm[1]:g} mm; use fewer code pixels or a smaller pitch"
        )
    shifts = profile.spectrograph.shift_px.value
    dispersed = width if profile.spectrograph.axis.value == "columns" else height
    span = max(shifts) - min(shifts)
    if span >= dispersed:
        raise LimitError(
            f"mask of {dispersed} code pixels along the dispersion: {profile.id} spreads the bands over {span:g} "
            f"pixels, so first and last band would not overlap at all; use more than {math.ceil(span)} pixels"
        )

"""Where the light of any wavelength lies: a curve of Cauchy's through the positions found at narrow lines.

d(l) = a + b (l0 / l)^2 + c (l0 / l)^4,   for the direction along the dispersion and the one across it
"""

from dataclasses import dataclass

import numpy as np

from cidesign.calibration.cassi.capture import MIN_LINES
from cidesign.calibration.cassi.optics import Array, Layout, cauchy_terms
from cidesign.checks import Check, Status
from cidesign.errors import FileError

MAX_RESIDUAL_PX = 0.3
WARN_RESIDUAL_PX = 0.15
STEP_PERCENT = 1.5


@dataclass(frozen=True)
class DispersionFit:
    """`coefficients` (3, 2) give (row, column) of the code's centre on the detector, in code pixels.

    `lines_nm` (n,) and `positions` (n, 2) were fitted; `residual_px` (n, 2) is what is left; `checked_px`: how far the
    position at a line that took no part in the fit was missed, and `checked_nm` its wavelength.
    """

    reference_nm: float
    coefficients: Array
    lines_nm: Array
    positions: Array
    checked_px: float
    checked_nm: float
    checked_by: str

    def at(self, wavelengths_nm: Array) -> Array:
        """(row, column) of the code's centre at `wavelengths_nm` (n,), (n, 2)."""
        found: Array = cauchy_terms(wavelengths_nm, self.reference_nm) @ self.coefficients
        return found

    @property
    def residual_px(self) -> Array:
        """Positions less the curve, (n, 2)."""
        return self.positions - self.at(self.lines_nm)

    @property
    def uncertainty_px(self) -> float:
        """Standard error of one line's position in one direction, from how the lines scatter about the curve."""
        freedom = 2 * (len(self.lines_nm) - self.coefficients.shape[0])
        return float(np.sqrt((self.residual_px**2).sum() / freedom))


def fit_dispersion(
    lines_nm: Array, positions: Array, check: tuple[float, Array] | None, reference_nm: float
) -> DispersionFit:
    """Fit the curve; without a `check` line (wavelength, position) each line is left out in turn.

    Raises `FileError` for fewer than 5 different lines.
    """
    distinct = len(np.unique(lines_nm))
    if distinct < MIN_LINES:
        raise FileError(
            f"lines: {distinct} different wavelengths; a dispersion curve needs {MIN_LINES} or more, spread over all "
            "bands and a little beyond"
        )

    def fitted(chosen: Array) -> Array:
        terms = cauchy_terms(lines_nm[chosen], reference_nm)
        coefficients: Array = np.linalg.lstsq(terms, positions[chosen], rcond=None)[0]
        return coefficients

    everything = np.ones(len(lines_nm), dtype=bool)
    if check is not None:
        tests = [(everything, check[0], check[1])]
    else:
        inner = [n for n in range(len(lines_nm)) if lines_nm.min() < lines_nm[n] < lines_nm.max()]
        tests = [(np.arange(len(lines_nm)) != n, float(lines_nm[n]), positions[n]) for n in inner]
    missed = [
        (float(np.hypot(*(place - cauchy_terms(np.array([nm]), reference_nm)[0] @ fitted(chosen)))), nm)
        for chosen, nm, place in tests
    ]
    worst, worst_nm = max(missed)
    by = "a line of its own" if check is not None else "leaving out each inner line in turn"
    return DispersionFit(reference_nm, fitted(everything), lines_nm, positions, worst, worst_nm, by)


def dispersion_checks(fit: DispersionFit, layout: Layout) -> list[Check]:
    """Fit, check line, bands beyond the lines, direction and step against the profile."""
    return [_fit_check(fit), _held_out(fit), _extrapolation(fit, layout), *_against_profile(fit, layout)]


def shift_px(fit: DispersionFit, layout: Layout) -> Array:
    """The fitted shift of every band along the axis, (L,), 0 for the band that the profile shifts least."""
    along = fit.at(layout.wavelengths_nm)[:, layout.axis]
    return np.asarray(along - along[int(layout.shift_px.argmin())])


def _graded(value: float, warn: float, refuse: float) -> Status:
    return "passed" if value <= warn else "warning" if value <= refuse else "failed"


def _fit_check(fit: DispersionFit) -> Check:
    missed = np.hypot(*fit.residual_px.T)
    worst = int(missed.argmax())
    status = _graded(float(missed[worst]), WARN_RESIDUAL_PX, MAX_RESIDUAL_PX)
    return Check(
        name="dispersion",
        status=status,
        text=f"{len(fit.lines_nm)} lines lie up to {missed[worst]:.3f} code pixels from a curve of three terms (at "
        f"{fit.lines_nm[worst]:g} nm)" + ("" if status == "passed" else "; is that wavelength right?"),
        value=float(missed[worst]),
        limit=WARN_RESIDUAL_PX if status == "warning" else MAX_RESIDUAL_PX,
        unit="code pixels",
    )


def _held_out(fit: DispersionFit) -> Check:
    status = _graded(fit.checked_px, WARN_RESIDUAL_PX, MAX_RESIDUAL_PX)
    return Check(
        name="wavelengths",
        status=status,
        text=f"by {fit.checked_by}: {fit.checked_nm:g} nm is predicted to within {fit.checked_px:.3f} code pixels"
        + ("" if status == "passed" else "; the wavelengths of the lines do not fit each other"),
        value=fit.checked_px,
        limit=WARN_RESIDUAL_PX if status == "warning" else MAX_RESIDUAL_PX,
        unit="code pixels",
    )


def _extrapolation(fit: DispersionFit, layout: Layout) -> Check:
    low, high = float(fit.lines_nm.min()), float(fit.lines_nm.max())
    outside = [nm for nm in layout.wavelengths_nm if not low <= nm <= high]
    listed = ", ".join(f"{nm:g}" for nm in outside)
    return Check(
        name="bands between the lines",
        status="failed" if outside else "passed",
        text=f"the band(s) at {listed} nm lie outside the lines, {low:g} to {high:g} nm, where the curve is a guess; "
        "add lines beyond them"
        if outside
        else f"all bands lie between the outer lines, {low:g} and {high:g} nm",
        value=float(len(outside)),
        limit=0.0,
        unit="bands",
    )


def _against_profile(fit: DispersionFit, layout: Layout) -> list[Check]:
    found = fit.at(layout.wavelengths_nm)
    wanted = layout.shift_px - layout.shift_px.mean()
    # How much of the profile's step there is, along the axis and across it.
    steps = (wanted @ (found - found.mean(axis=0))) / float(wanted @ wanted)
    along, across = float(steps[layout.axis]), float(steps[1 - layout.axis])
    if along <= 0 or abs(across) > abs(along):
        text = (
            f"the spectrum runs {along:+.2f} of the profile's way along the axis and {across:+.2f} across it; mirror "
            "or turn the camera's image, or correct sign and axis in the profile, and train for it"
        )
        return [Check(name="direction of the dispersion", status="failed", text=text, fault="mirror")]
    percent = 100 * (along - 1)
    off = abs(percent) > STEP_PERCENT
    return [
        Check(
            name="direction of the dispersion", status="passed", text=f"as the profile says; {across:+.1%} across it"
        ),
        Check(
            name="step of the dispersion",
            status="corrected" if off else "passed",
            text=f"{percent:+.2f} % of the profile's"
            + ("; the measured curve is used. Correct the profile for the next design" if off else ""),
            value=percent,
            limit=STEP_PERCENT,
            unit="%",
            fault="wrong-step" if off else None,
        ),
    ]

"""Whether a calibration still describes the bench: design, profile, region, temperature, age and so on, one by one."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cidesign.checks import Check, Status

WARN_AGE_DAYS, REFUSE_AGE_DAYS = 1.0, 30.0
WARN_TEMPERATURE_C, REFUSE_TEMPERATURE_C = 2.0, 10.0
# Clocks of two computers on one bench differ by as much.
CLOCK_TOLERANCE = timedelta(minutes=10)


class BenchState(BaseModel):
    """What of the bench's setting was written down with a capture; None where nobody did.

    `roi_px` (top, left, height, width) and `binning` are the camera's, `detector_gain` the setting of its dial.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature_c: Annotated[float, Field(ge=-100, le=200, allow_inf_nan=False)] | None = None
    roi_px: tuple[int, int, int, int] | None = None
    binning: Annotated[int, Field(ge=1, le=64)] | None = None
    detector_gain: Annotated[str, Field(max_length=100)] | None = None


class Circumstances(BaseModel):
    """Everything that a calibration and the captures it is used for must share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    design_digest: str
    profile_digest: str
    exposure_us: float | None
    created_utc: str
    bench: BenchState


def circumstances_checks(calibrated: Circumstances, captured: Circumstances, *, design_matters: bool) -> list[Check]:
    """Compare field by field; a field that neither side wrote down is left out, one-sided ones are said.

    `design_matters`: whether the calibration is void for another design (an operator), or holds for any (a detector).
    """
    bench, other = calibrated.bench, captured.bench
    checks = [
        _equal("profile", calibrated.profile_digest[:12], captured.profile_digest[:12], "calibrate this device"),
        _equal(
            "design",
            calibrated.design_digest[:12],
            captured.design_digest[:12],
            "calibrate with this design" if design_matters else "dark, gain and scale do not depend on it",
            refuse=design_matters,
        ),
        _equal("exposure", _us(calibrated.exposure_us), _us(captured.exposure_us), "calibrate at this exposure"),
        _equal("region of interest", bench.roi_px, other.roi_px, "calibrate with this region"),
        _equal("binning", bench.binning, other.binning, "calibrate with this binning"),
        _equal("detector gain", bench.detector_gain, other.detector_gain, "calibrate at this gain"),
        _temperature(bench.temperature_c, other.temperature_c),
        _age(calibrated.created_utc, captured.created_utc),
    ]
    return [check for check in checks if check is not None]


def _us(value: float | None) -> str | None:
    return None if value is None else f"{value:g} us"


def _equal(name: str, calibrated: object, captured: object, remedy: str, refuse: bool = True) -> Check | None:
    if calibrated is None and captured is None:
        return None
    if calibrated is None or captured is None:
        side = "calibration" if calibrated is None else "capture"
        return Check(name=name, status="not checked", text=f"the {side} does not say it")
    if calibrated == captured:
        return Check(name=name, status="passed", text=f"{captured} as calibrated")
    return Check(
        name=name,
        status="failed" if refuse else "warning",
        text=f"{calibrated} was calibrated, the capture has {captured}; {remedy}",
    )


def _temperature(calibrated: float | None, captured: float | None) -> Check | None:
    found = _equal("temperature", calibrated, captured, "")
    if found is None or calibrated is None or captured is None:
        return found
    apart = abs(calibrated - captured)
    status = _graded(apart, WARN_TEMPERATURE_C, REFUSE_TEMPERATURE_C)
    return Check(
        name="temperature",
        status=status,
        text=f"calibrated at {calibrated:g} C, captured at {captured:g} C"
        + ("" if status == "passed" else "; let the bench settle or calibrate again"),
        value=apart,
        limit=WARN_TEMPERATURE_C if status != "failed" else REFUSE_TEMPERATURE_C,
        unit="C",
    )


def _age(calibrated: str, captured: str) -> Check | None:
    first, second = _moment(calibrated), _moment(captured)
    if first is None or second is None:
        return Check(name="age", status="not checked", text="the calibration or the capture has no readable date")
    days = (second - first) / timedelta(days=1)
    if second < first - CLOCK_TOLERANCE and days < -WARN_AGE_DAYS:
        return Check(
            name="age", status="warning", value=days, limit=-WARN_AGE_DAYS, unit="days",
            text=f"the capture is {-days:.1f} days older than the calibration; had the bench changed in between?",
        )  # fmt: skip
    status = _graded(days, WARN_AGE_DAYS, REFUSE_AGE_DAYS)
    limit = WARN_AGE_DAYS if status != "failed" else REFUSE_AGE_DAYS
    advice = "" if status == "passed" else "; calibrate again"
    return Check(
        name="age", status=status, text=f"calibrated {days:.1f} days before the capture{advice}",
        value=days, limit=limit, unit="days",
    )  # fmt: skip


def _graded(value: float, warn: float, refuse: float) -> Status:
    return "passed" if value <= warn else "warning" if value <= refuse else "failed"


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

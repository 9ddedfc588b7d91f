"""What a single-pixel calibration looks at, in plain words: detector, triggers, lamp, and how the patterns lie."""

from cidesign.calibration.estimate import RESOLVED_SIGMA
from cidesign.calibration.single_pixel.capture import SequenceName
from cidesign.calibration.single_pixel.fit import TargetFit
from cidesign.calibration.single_pixel.frames import Frames
from cidesign.calibration.single_pixel.measurement import Measurements
from cidesign.calibration.single_pixel.readings.lamp import MOST_DRIFT_PERCENT, LampFit
from cidesign.calibration.single_pixel.response import LINEARITY_NOTE_PERCENT, Response
from cidesign.calibration.verify import finding
from cidesign.checks import Check, FaultName, Status

# Below these a bench is as good as perfect, and nothing is said; above them it is corrected for.
FLICKER_PERCENT = 0.3
DRIFT_PERCENT = 1.0
ROTATION_DEG = 0.25
SHIFT_PX = 0.1
CORNER_LOSS_PERCENT = 10.0
SCATTER_RATIO = 4.0
LEVEL_PERCENT = 5.0
ORIENTATION_MARGIN = 0.05
# Misfit of the held-out patterns on the known card, of the variation of their readings.
RESIDUAL_WARN, RESIDUAL_REFUSE = 0.05, 0.15
SIGNIFICANT = 4.0
# An unevenness that its error hides (`fit.UNEVEN`) spans so many errors between brightest and darkest.
HIDDEN = 8.0


def detector_checks(response: Response) -> list[Check]:
    """Dark level, converter, linearity and gain."""
    stray = 100 * response.stray_counts / response.scale_counts.value
    bits = int(response.step_counts).bit_length() - 1 if response.step_counts >= 1 else 0
    gain = response.gain_counts_per_photoelectron
    return [
        finding(
            "dark level",
            stray != 0,
            "dark frames and white levels agree",
            f"the white levels extrapolate to a level {stray:+.2f} % of full white from that of the dark frames: stray "
            "light, or dark frames taken otherwise; the extrapolated level is used",
            value=stray,
            unit="% of full white",
            fault="dark",
        ),
        finding(
            "converter",
            bits > 0,
            "no bit of the readings stands still",
            f"the lowest {bits} bits of all readings are 0: data are justified to the left; a step of "
            f"{response.step_counts:g} counts is allowed for. Set the card to right-justified data if it can",
            value=response.step_counts,
            limit=1.0,
            unit="counts a step",
            fault="bit-justification",
        ),
        finding(
            "linearity",
            response.linearity_percent > LINEARITY_NOTE_PERCENT,
            "the white levels lie on a line",
            "the white levels depart from a line; check the light fractions, and whether the detector saturates",
            status="warning",
            value=response.linearity_percent,
            limit=LINEARITY_NOTE_PERCENT,
            unit="% of full white",
        ),
        finding(
            "gain",
            gain.value < RESOLVED_SIGMA * gain.standard_error,
            "photon noise shows it",
            "not resolved: the white frames' noise does not grow with the light; that of the dark frames is used",
            status="warning",
            value=gain.value,
            unit="counts per photoelectron",
        ),
    ]


def sequence_checks(name: SequenceName, frames: Frames, measured: Measurements) -> list[Check]:
    """Triggers and lamp during one sequence."""
    found = "; ".join(event.words for event in frames.events)
    left_out = ", ".join(str(pair) for pair in sorted({pair for event in frames.events for pair in event.left_out}))
    triggers = finding(
        f"triggers ({name})",
        bool(frames.events),
        "every frame has its reading",
        f"{found}; put right, patterns {left_out} are left out. Check trigger level and cable",
        value=float(len(frames.events)),
        limit=0.0,
        unit="lost or doubled",
        fault="lost-trigger",
    )
    lamp = measured.lamp
    if lamp is None:
        text = (
            "patterns shown once have no pair sums to see the lamp in; record a lamp reference, or export sync frames"
        )
        return [triggers, Check(name=f"lamp ({name})", status="not checked", text=text)]
    ratio = measured.scatter_ratio or 0.0
    return [
        triggers,
        _flicker_check(name, lamp),
        _drift_check(name, lamp),
        finding(
            f"pair sums ({name})",
            ratio > SCATTER_RATIO,
            "they scatter as noise does",
            "they scatter more than noise, drift and flicker explain: a moving scene, or another light",
            status="warning",
            value=ratio,
            limit=SCATTER_RATIO,
            unit="x noise",
        ),
    ]


NO_LAMP = (
    "no lamp {does}: lost or doubled triggers, or frames in a wrong order, look like this, or the light was switched "
    "while the sequence ran; check both and record again"
)


def _flicker_check(name: SequenceName, lamp: LampFit) -> Check:
    wave = lamp.flicker
    strength, most = (wave.amplitude_percent, wave.most_percent) if wave else (0.0, FLICKER_PERCENT)
    excess = wave is not None and strength > most
    words = wave.words if wave else ""
    return finding(
        f"flicker ({name})",
        strength > FLICKER_PERCENT,
        "none that matters",
        f"{words}; {NO_LAMP.format(does='flickers so strongly at this frequency')}"
        if excess
        else f"{words}, divided out; use a DC lamp, or frames of a multiple of 10 ms",
        status="failed" if excess else "corrected",
        value=strength,
        limit=most if excess else FLICKER_PERCENT,
        unit="%",
        fault="flicker",
    )


def _drift_check(name: SequenceName, lamp: LampFit) -> Check:
    excess = lamp.drift_percent > MOST_DRIFT_PERCENT
    return finding(
        f"drift ({name})",
        lamp.drift_percent > DRIFT_PERCENT,
        "the lamp is steady",
        NO_LAMP.format(does="changes so much during a sequence")
        if excess
        else "slow change of the lamp, divided out; let it warm up",
        status="failed" if excess else "corrected",
        value=lamp.drift_percent,
        limit=MOST_DRIFT_PERCENT if excess else DRIFT_PERCENT,
        unit="% peak to peak",
        fault="drift",
    )


def placement_checks(fit: TargetFit) -> list[Check]:
    """Evenness of the light and, with a known card, orientation, polarity, turn, shift and level."""
    operator, place = fit.operator, fit.operator.placement
    checks = [_illumination_check(fit)]
    if not operator.fitted:
        text = "no known card was captured: mirrored, inverted or shifted patterns would go unseen"
        return [*checks, Check(name="place of the patterns", status="not checked", text=text)]
    shift = float((place.down_px**2 + place.right_px**2) ** 0.5)
    level = 100 * (fit.card_level - 1)
    return [
        *checks,
        _orientation_check(fit),
        finding(
            "polarity",
            operator.polarity < 0,
            "on mirrors send light to the detector",
            "on and off mirrors are exchanged; allowed for. Check the device's inversion, and the detector's side",
            fault="inversion",
        ),
        _moved("turn", abs(place.rotation_deg), ROTATION_DEG, operator.rotation_error_deg, "degrees", "rotation"),
        _moved("shift", shift, SHIFT_PX, operator.shift_error_px, "super-pixels", "shift"),
        finding(
            "light of the card",
            abs(level) > LEVEL_PERCENT,
            "as bright as on the white reference",
            "the lamp was brighter or darker than on the white reference; keep it steady between captures",
            status="warning",
            value=level,
            limit=LEVEL_PERCENT,
            unit="%",
        ),
    ]


def _orientation_check(fit: TargetFit) -> Check:
    orientation, margin = fit.operator.placement.orientation, fit.margin or 0.0
    clear = margin >= ORIENTATION_MARGIN
    unclear = (
        "no orientation of the patterns explains the card much better than the others; is it the card of card_picture, "
        "and does it fill the field?"
    )
    status: Status = "corrected" if clear else "failed"
    fault: FaultName = "mirror" if orientation.mirrored else "rotation"
    turned = not orientation.identity
    return finding(
        "orientation",
        turned or not clear,
        "the patterns lie as designed",
        f"how the patterns lie on the scene: {orientation.text}; allowed for" if clear else unclear,
        status=status,
        value=margin,
        limit=ORIENTATION_MARGIN,
        unit="more misfit of the next best",
        fault=fault if turned else None,
    )


def _moved(name: str, value: float, limit: float, error: float, unit: str, fault: FaultName) -> Check:
    if value <= SIGNIFICANT * error > limit:
        return Check(
            name=name,
            status="not checked",
            text=f"readings this noisy tell it to {SIGNIFICANT * error:.2g} {unit} only (found and allowed for: "
            f"{value:.2g}); give the targets more light",
        )
    return finding(
        name,
        value > limit and value > SIGNIFICANT * error,
        "none that matters",
        f"the patterns are off by {value:.2f} +- {error:.2f} {unit}; allowed for",
        value=value,
        limit=limit,
        unit=unit,
        fault=fault,
    )


def _illumination_check(fit: TargetFit) -> Check:
    light = fit.operator.illumination
    loss, error = float(100 * (1 - light.min() / light.max())), 100 * fit.operator.light_error
    if loss <= CORNER_LOSS_PERCENT < HIDDEN * error:
        return Check(
            name="evenness of the light",
            status="not checked",
            text="readings this noisy do not tell whether the field is evenly lit (each place is uncertain by "
            f"{error:.1f} %), and it is taken to be; give the targets more light",
        )
    return finding(
        "evenness of the light",
        loss > CORNER_LOSS_PERCENT,
        "the field is evenly lit",
        "the field is unevenly lit; allowed for, but its dark parts are noisier",
        value=loss,
        limit=CORNER_LOSS_PERCENT,
        unit="% between brightest and darkest",
        fault="gain-map",
    )


def held_out_check(relative_residual: float, resembles: FaultName | None = None, detail: str = "") -> Check:
    """The gate: the misfit of patterns that were not used, on a card that is known."""
    return _held_out(
        "held-out patterns",
        relative_residual,
        "the operator predicts held-out patterns",
        "the operator does not predict the readings on the known card" + (f": {detail}" if detail else ""),
        resembles,
    )


def held_out_white_check(relative_residual: float) -> Check:
    """The same on the white reference, which shows the illumination, and nothing of where the patterns lie."""
    return _held_out(
        "held-out patterns (white reference)",
        relative_residual,
        "the illumination predicts the white reference; where the patterns lie does not show there",
        "the illumination does not predict the readings on the white reference",
        None,
    )


def _held_out(name: str, relative_residual: float, right: str, wrong: str, resembles: FaultName | None) -> Check:
    return finding(
        name,
        relative_residual > RESIDUAL_WARN,
        right,
        wrong,
        status="failed" if relative_residual > RESIDUAL_REFUSE else "warning",
        value=relative_residual,
        limit=RESIDUAL_REFUSE if relative_residual > RESIDUAL_REFUSE else RESIDUAL_WARN,
        unit="relative residual",
        fault=resembles,
    )

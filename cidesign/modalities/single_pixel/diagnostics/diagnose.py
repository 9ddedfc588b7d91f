"""The diagnostics of a single-pixel reconstruction: numbers for its record, notes in words, maps and a picture."""

import io

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cidesign.calibration.single_pixel.measurement import Measurements
from cidesign.modalities.single_pixel.diagnostics.maps import DRAWS, FOLDS, SpcMaps
from cidesign.modalities.single_pixel.diagnostics.residuals import HeldOut, Residuals
from cidesign.modalities.single_pixel.record import HeldOutEntry, HeldOutRecord
from cidesign.reconstruct.outcome import NamedImage, NamedMap
from cidesign.reconstruct.record import Disagreement, Trust, Uncertainty
from cidesign.reconstruct.uncertainty import Image, error_over

# Over this, the held-out readings are predicted worse than scenes unlike the training images explain.
HELD_OUT_LIMIT = 9.0
# Over this part of the error of wrong orders, the recorded order is no better; right ones gave 0.02 to 0.43, all
# readings moved by one pattern 0.8 to 1.6.
ORDER_LIMIT = 0.7
# Residuals of readings one after the other are as alike only where something depends on time.
NEIGHBOUR_LIMIT = 0.5
SCATTER_TEXT = (
    "How much {what} would vary, pixel by pixel, were the capture and the calibration made again: noise of the "
    "readings, place of the patterns, light and scale, from {draws} draws. It does not hold what the patterns cannot "
    "see, so the error is larger"
)
MAPS = {
    "disagreement": (
        "student less linear",
        "The student's image less the best linear estimate from the same readings. Where it is near 0 the readings "
        "themselves show the detail; where it is not, the student adds what it learned from its training images",
    ),
    "uncertainty": ("student: scatter", SCATTER_TEXT.format(what="the student's image", draws=DRAWS)),
    "uncertainty_lmmse": ("linear: scatter", SCATTER_TEXT.format(what="the linear estimate", draws=DRAWS)),
    "posterior_lmmse": (
        "linear: with what is unseen",
        "The standard deviation of the scene around the best linear estimate, for scenes like the training images: "
        "noise and what the patterns cannot see. It takes the calibrated operator as exact",
    ),
}
HELD_OUT_MEANING = (
    "Each reading is predicted by an image that was made without it and every tenth of the others. error over noise: 1 "
    "where nothing is left open; error over expected: about 1 (0.3 to 3) for the right operator and scenes like the "
    "training images; error over variation: 0 perfect, 1 nothing known. error over wrong order: "
    "the error of the linear estimate over that with the readings moved by some patterns, near 1 where their order is "
    "wrong or the patterns say nothing of one another. All this finds a wrong order, a lost trigger and "
    "patterns that were not shown; patterns that all lie mirrored, turned or shifted predict just as well"
)
RESIDUALS_TEXT = (
    "Above: what the images leave of each reading, in units of its noise, in the order of display. Below: the errors "
    "of held-out readings, in units of what is expected of the linear estimate. Both should "
    "scatter around 0 without structure; grey lines are patterns that were left out"
)


def time_notes(found: Residuals) -> list[str]:
    """A note where residuals depend on time."""
    value = found.neighbour_correlation
    if value < NEIGHBOUR_LIMIT or found.chi_square_reduced < 1:
        return []
    return [
        f"the residuals of readings that follow one another are alike (correlation {value:.2f}): something depended on "
        "time, such as a moving scene or a lamp that the pair sums do not show"
    ]


def held_out_record(maps: SpcMaps) -> HeldOutRecord:
    """Held-out readings of all images, each with three measures."""
    return HeldOutRecord(
        meaning=HELD_OUT_MEANING,
        folds=maps.folds,
        readings=int(maps.held_out[maps.first].error.size),
        images={name: _held_out_entry(one) for name, one in maps.held_out.items()},
        error_over_wrong_order=maps.order,
    )


def _held_out_entry(found: HeldOut) -> HeldOutEntry:
    return HeldOutEntry(
        error_over_noise=found.chi_square_noise**0.5,
        error_over_expected=found.chi_square_expected**0.5,
        error_over_variation=found.relative,
    )


def trust(maps: SpcMaps, truth: Image | None, images: dict[str, Image]) -> Trust:
    """The numbers of the maps; with the truth, the errors of the images over what the maps expect of them."""
    apart = maps.disagreement
    errors = {} if truth is None else {name: images[name] - truth for name in maps.scatter}
    uncertainty: dict[str, float] = {"lmmse_rms": _rms(maps.scatter[maps.linear])}
    disagreement = None
    if apart is not None:
        uncertainty["student_rms"] = _rms(maps.scatter["student"])
        disagreement = Disagreement(
            rms=apart.rms,
            rms_over_posterior=error_over(apart.difference, maps.posterior),
            row=apart.place[0],
            column=apart.place[1],
            largest=apart.largest,
        )
    return Trust(
        disagreement,
        Uncertainty(draws=DRAWS, lmmse_posterior_rms=_rms(maps.posterior), **uncertainty),
        {one.name: one.text for one in named_maps(maps)},
        {
            **{name: error_over(error, maps.scatter[name]) for name, error in errors.items()},
            **{f"{name}_posterior": error_over(error, maps.posterior) for name, error in errors.items()},
        }
        or None,
    )


def map_notes(maps: SpcMaps) -> list[str]:
    """What the maps say, in plain words."""
    held = maps.held_out
    worse = max(held[maps.first].chi_square_expected, held[maps.linear].chi_square_expected)
    better = f"{maps.order:.0%} of the error with readings moved by one to three patterns"
    if maps.order > ORDER_LIMIT:
        verdict = (
            f"{better}, hardly better: the patterns say little of one another, or their order is wrong, which the "
            "check of the readings' order decides"
        )
    elif worse > HELD_OUT_LIMIT:
        verdict = (
            f"{better}, but {worse**0.5:.1f} times worse than expected of scenes like the training images: the scene "
            "is of another kind, or some readings are wrong"
        )
    else:
        verdict = f"{better}, as expected of scenes like the training images"
    scatter, posterior = _rms(maps.scatter[maps.first]), _rms(maps.posterior)
    both = dict.fromkeys((maps.first, maps.linear))
    told = " and ".join(f"{held[name].relative:.1%} ({'linear' if name == maps.linear else name})" for name in both)
    return [
        f"held-out readings: an image made without every tenth reading predicts it to {told} of the readings' "
        f"variation. That is {verdict}. This tests the order of the readings and the patterns, not their place on the "
        "scene, which only a known card shows",
        *_disagreement_notes(maps),
        f"uncertainty: noise and calibration alone make the {'student' if maps.disagreement else 'linear'} image "
        f"scatter by {scatter:.4f} (root mean square); with what the patterns cannot see, scenes like the training "
        f"images lie {posterior:.3f} from the linear estimate",
    ]


def _disagreement_notes(maps: SpcMaps) -> list[str]:
    apart = maps.disagreement
    if apart is None:
        return []
    row, column = apart.place
    times = abs(apart.largest) / max(float(maps.posterior[row, column]), 1e-9)
    return [
        f"the student and the linear estimate differ most at row {row}, column {column} (counted from 0), by "
        f"{apart.largest:+.3f}, {times:.1f} times the linear estimate's uncertainty there: treat detail there with "
        "care"
    ]


def named_maps(maps: SpcMaps) -> list[NamedMap]:
    """The maps to write and draw; both scatters on one scale."""
    apart = maps.disagreement
    top = float(max(scatter.max() for scatter in maps.scatter.values()))
    linear = maps.scatter[maps.linear]
    drawn: dict[str, tuple[Image, str]] = {}
    if apart is not None:
        place = f"most at {apart.place[0]}, {apart.place[1]}"
        drawn["disagreement"] = apart.difference, f"r.m.s. {apart.rms:.3f}, {place}"
        drawn["uncertainty"] = maps.scatter["student"], f"r.m.s. {_rms(maps.scatter['student']):.4f}"
    drawn["uncertainty_lmmse"] = linear, f"r.m.s. {_rms(linear):.4f}"
    drawn["posterior_lmmse"] = maps.posterior, f"r.m.s. {_rms(maps.posterior):.3f}"
    return [
        NamedMap(
            name, MAPS[name][0], image, MAPS[name][1], caption,
            signed=name == "disagreement", top=top if name.startswith("uncertainty") else None,
        )
        for name, (image, caption) in drawn.items()
    ]  # fmt: skip


def draw_residuals(images: list[NamedImage], found: dict[str, Residuals], maps: SpcMaps | None, count: int) -> bytes:
    """A PNG of `RESIDUALS_TEXT` for `count` designed patterns; without maps, the upper part alone."""
    figure = Figure(figsize=(9.0, 5.0 if maps else 2.8), layout="constrained", dpi=110)
    axes = figure.subplots(2 if maps else 1, 1, sharex=True, squeeze=False)[:, 0]
    first = next(iter(found.values()))
    for axis in axes:
        axis.axhline(0.0, color="grey", linewidth=0.8)
        for number in sorted(set(range(count)) - set(first.numbers.tolist())):
            axis.axvline(number, color="0.8", linewidth=3)
    for named, marker in zip(images, ("o", "x", "+", "."), strict=False):
        one = found[named.name]
        axes[0].plot(one.numbers, one.normalised, marker, markersize=3, label=named.title)
        if maps is not None and named.name in maps.held_out:
            held = maps.held_out[named.name]
            at = first.numbers[held_positions(first.numbers.size, maps.folds)]
            axes[1].plot(at, held.error / held.expected, marker, markersize=3, label=named.title)
    axes[0].set(ylabel="residual / noise", title="what the images leave of the readings")
    axes[0].legend(fontsize=7, loc="upper right")
    if maps is not None:
        axes[1].set(ylabel="error / expected", title="held-out readings")
    axes[-1].set_xlabel("pattern, in the order of display")
    target = io.BytesIO()
    figure.savefig(target, format="png")
    return target.getvalue()


def held_positions(count: int, used: int) -> NDArray[np.int64]:
    """Which of `count` measurements are in the first `used` of the parts, rising."""
    numbers = np.arange(count)
    return numbers[numbers % FOLDS < used]


def left_out_words(measurements: Measurements, count: int) -> list[str]:
    """A note that names the patterns that no reading was kept of."""
    lost = sorted(set(range(count)) - set(measurements.kept.tolist()))
    if not lost:
        return []
    named = ", ".join(map(str, lost[:20])) + (" ..." if len(lost) > 20 else "")
    return [f"{len(lost)} of {count} patterns have no reading and are left out of all images: {named}"]


def _rms(image: Image) -> float:
    return float(np.sqrt(np.mean(image.astype(np.float64) ** 2)))

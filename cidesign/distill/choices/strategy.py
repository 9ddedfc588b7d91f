"""Whether optics that are learnt get a teacher, or are trained end to end (E2E) in all of the epochs."""

import math
from collections.abc import Mapping, Sequence

from cidesign.distill.choices.where_it_pays import REGIMES, Regime
from cidesign.distill.loop import epochs_of, phases_of
from cidesign.distill.presets import OF_TEACHERS
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.models.optics import optics_for
from cidesign.run_settings import TrainingSettings, shown_value
from cidesign.runs import StrategyChoice

AUTO = "auto"
# E2E is taken where it leads by more than so many standard errors, and by this much at least; the standard error of
# fewer seeds says little.
REQUIRED_ERRORS, LEAST_LEAD_DB, FEWEST_SEEDS = 2.0, 0.05, 3
# A regime says something of settings none of whose conditions differs by a larger factor.
FARTHEST = 4.0
# What all regimes were measured with: at its default, or so.
ASSUMED = {"task": None, "decoder": None, "optics_start": "designed", "schedule": None, "exploring": None}


def conditions_of(settings: TrainingSettings, profile: HardwareProfile) -> dict[str, float]:
    """What it depends on whether a teacher pays, each > 0: the limits of the optics, and the size of the training.

    `steps` are those of all phases together.
    """
    epochs = sum(epochs_of(settings, phase) for phase in phases_of(settings))
    steps = max(1, settings.images // settings.batch) * max(1, epochs)
    limits = optics_for(settings, profile).limits()
    return {**limits, "side": settings.side, "images": settings.images, "steps": steps}


def by_what_was_asked(
    strategy: str, settings: TrainingSettings, asked: Mapping[str, object], teacher: str | None
) -> StrategyChoice | None:
    """The choice where something that the user named decides it; None where nothing does.

    `asked` are the settings that were named, and `teacher` what was said of the teacher, None where nothing was.
    """
    if strategy != AUTO:
        return StrategyChoice(strategy=settings.strategy, by="asked", reason="asked for")
    if teacher is not None:
        return StrategyChoice(strategy="distill", by="teacher", reason=f"teacher {teacher} is asked for")
    if settings.recipe is not None:
        return StrategyChoice(
            strategy="distill", by="recipe", reason=f"the recipe {settings.recipe} is of a teacher and a student"
        )
    # Epochs of a student are a part of all epochs, which E2E would have.
    for name in (*OF_TEACHERS, "student_epochs"):
        if (value := asked.get(name)) is not None:
            said = f"{name} {shown_value(value)} is about a teacher or its student"
            return StrategyChoice(strategy="distill", by="teacher", reason=said)
    return None


def by_map(settings: TrainingSettings, profile: HardwareProfile, regimes: Sequence[Regime] = REGIMES) -> StrategyChoice:
    """The choice by the nearest of the regimes that were measured; what was not measured gets a teacher."""
    for name, measured in ASSUMED.items():
        if (value := getattr(settings, name)) not in (type(settings).model_fields[name].default, measured):
            return _not_measured(f"with {name} {shown_value(value)}")
    own = conditions_of(settings, profile)
    of_kind = [regime for regime in regimes if regime.modality == settings.modality]
    if not of_kind:
        return _not_measured(f"for {settings.modality}")
    near = [regime for regime in of_kind if max(_doublings(regime, own).values()) <= math.log2(FARTHEST)]
    nearest = min(near or of_kind, key=lambda regime: sum(_doublings(regime, own).values()))
    if not near:
        doublings = _doublings(nearest, own)
        farthest = max(doublings, key=lambda name: doublings[name])
        return _not_measured(
            f"near {farthest} {own[farthest]:g} (the nearest, {nearest.name}, has {nearest.conditions[farthest]:g})"
        )
    return _by_regime(nearest, settings)


def _doublings(regime: Regime, own: Mapping[str, float]) -> dict[str, float]:
    """How many doublings each condition of a regime is from that of a run."""
    return {name: abs(math.log2(regime.conditions[name] / value)) for name, value in own.items()}


def _by_regime(regime: Regime, settings: TrainingSettings) -> StrategyChoice:
    lead_db = -regime.gain_db
    clear = lead_db > REQUIRED_ERRORS * regime.standard_error_db and lead_db >= LEAST_LEAD_DB
    ahead = clear and regime.seeds >= FEWEST_SEEDS
    images = "" if settings.data == "procedural" else " of procedural images"
    where = (
        f"where it was measured nearest ({regime.name}, {regime.seeds} seeds{images}), a student minus E2E of as many "
        f"epochs is {regime.gain_db:+.2f} +- {regime.standard_error_db:.2f} dB"
    )
    verdict = (
        "E2E is ahead (--strategy distill trains a teacher)"
        if ahead
        else f"E2E is not {'shown to be' if clear else 'clearly'} ahead, and a teacher can be stored for others"
    )
    return StrategyChoice(
        strategy="e2e" if ahead else "distill",
        by="measured",
        reason=f"{where}: {verdict}",
        regime=regime.name,
        gain_db=regime.gain_db,
        standard_error_db=regime.standard_error_db,
        seeds=regime.seeds,
    )


def _not_measured(where: str) -> StrategyChoice:
    said = f"whether E2E would be ahead was not measured {where}; a teacher can be stored for other students"
    return StrategyChoice(strategy="distill", by="not-measured", reason=said)

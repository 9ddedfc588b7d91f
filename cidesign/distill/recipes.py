"""Recipes: settings that are taken together by one name, as baselines that others can repeat."""

from collections.abc import Mapping

from cidesign.errors import InputError
from cidesign.run_settings import TrainingSettings, shown_value

# The published method (arXiv 2501.17898) as its authors' codes run it; docs/decisions/0009-published-recipe.md says
# what of it is established.  The weights are those of `losses` published.
PUBLISHED: Mapping[str, object] = {
    "decoder": "back-projection",
    "start": "fresh",
    "optics_start": "random",
    "exploring": False,
    "learning_rate": 5e-4,
    "optics_learning_rate": 5e-4,
    "schedule": "constant",
    "losses": "published",
    "weighting": "fixed",
    "weight_output": 0.0,
}
# Of the authors' code for single-pixel cameras.
PUBLISHED_WEIGHTS: Mapping[str, float] = {"weight_task": 0.1, "weight_decoder": 0.1, "weight_encoder": 0.8}
RECIPES: Mapping[str, Mapping[str, object]] = {"published": PUBLISHED}


def recipe_values(name: object) -> Mapping[str, object]:
    """The settings of a recipe by their names, none for None; raises `InputError` for a recipe that there is not."""
    if name is None:
        return {}
    if not isinstance(name, str) or name not in RECIPES:
        raise InputError(f"recipe {shown_value(name)}: use {', '.join(RECIPES)}, or leave it out")
    return RECIPES[name]


def published_weights(has_teacher: bool, given_design: bool) -> Mapping[str, float]:
    """The weights of the published losses that can act: none moves optics that are given, or needs a teacher where
    there is none."""
    if not has_teacher:
        return {**PUBLISHED_WEIGHTS, "weight_decoder": 0.0, "weight_encoder": 0.0}
    return {**PUBLISHED_WEIGHTS, "weight_encoder": 0.0} if given_design else PUBLISHED_WEIGHTS


def recipe_said(settings: TrainingSettings) -> str | None:
    """What a run took from its recipe, and what it has otherwise because it was given by name; None without one."""
    if settings.recipe is None or settings.recipe not in RECIPES:  # one of a newer version
        return None
    wanted = dict(RECIPES[settings.recipe])
    if settings.losses == "published":
        # A teacher alone has nobody to guide it.
        guided = settings.has_teacher and not settings.only_teacher
        wanted |= published_weights(guided, settings.design is not None)
    taken, other = [], []
    for name, value in wanted.items():
        found = getattr(settings, name)
        if found == value:
            taken.append(f"{name} {shown_value(value)}")
        else:
            other.append(f"{name} {shown_value(found)} (not {shown_value(value)})")
    but = f"; given otherwise by name: {', '.join(other)}" if other else ""
    return f"recipe {settings.recipe}: {', '.join(taken)}{but}"

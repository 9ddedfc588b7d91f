"""The guiding terms of a student where nobody says which."""

from collections.abc import Mapping

# The method's terms, on features and operators, each pulling with a tenth of the task's gradient: nothing to choose,
# and level with a warm start alone and with the best of a grid in every modality (docs/results.md).  Soft labels gain
# in the dark and lose where a mask's features are large, so they are asked for.
WEIGHTING = "gradient"
WEIGHTS: Mapping[str, float] = {"weight_decoder": 0.1, "weight_encoder": 0.1}
NO_TERMS: Mapping[str, float] = dict.fromkeys((*WEIGHTS, "weight_output"), 0.0)


def names_terms(values: Mapping[str, object]) -> bool:
    """Whether weights of guiding terms are among the values."""
    return any(name in values for name in NO_TERMS)


def default_terms(values: Mapping[str, object], task: str) -> Mapping[str, object]:
    """What is taken of the terms where the values name no weights: both for learnt optics with a teacher and
    images to reconstruct, which is what was measured; none otherwise."""
    has_teacher = values.get("teacher") is not None or values.get("teacher_epochs") != 0
    measured = has_teacher and values.get("design") is None and task == "reconstruct"
    return {"weighting": WEIGHTING, **WEIGHTS} if measured and not names_terms(values) else {}

"""The figures of merit of a system's optics: the modality's own, and the linear bound beside what was reached."""

from collections.abc import Mapping

from torch import Tensor

from cidesign.distill.comparison.evaluate import LINEAR, NETWORK
from cidesign.modality import Modality
from cidesign.models.system import ImagingSystem
from cidesign.physics.linear_bound import mean_square_db
from cidesign.physics.merit import Merit, NotEvaluated

BOUND = "linear_bound_db"
REACHED = {"linear_reached_db": LINEAR, "network_reached_db": NETWORK}
HEADINGS = {
    BOUND: "linear bound dB",
    "linear_reached_db": "linear reached dB",
    "network_reached_db": "network reached dB",
}
EXPLANATIONS = {
    BOUND: "what no linear estimate can exceed on average, for images with the mean and covariance that the run's "
    "linear estimate assumes; by the mean squared error of all values (complex images: both parts); higher is better",
    "linear_reached_db": "the linear estimate of these images, in the same way, which is not the mean of their PSNR; "
    "above the bound where images have less detail than the run's, below it where its steps are too few",
    "network_reached_db": "the network, in the same way; it is not linear, and may exceed the bound",
}


def optics_merits(
    system: ImagingSystem, kind: Modality, images: Tensor, mean_square: Mapping[str, float] | None
) -> dict[str, Merit]:
    """All figures of merit by name, for stored images (M, C, H, W).

    `mean_square` are errors measured on them (see `Measures`); None where none were, and nothing is said of them.
    """
    found = kind.optics_metrics(system.encoder, images)
    bound = kind.linear_bound(system.encoder, system.decoder.prior)
    found[BOUND] = bound if isinstance(bound, NotEvaluated) else bound.merit
    if mean_square is not None:
        for name, measured in REACHED.items():
            known = measured in mean_square
            found[name] = mean_square_db(mean_square[measured]) if known else NotEvaluated("predictions are no images")
    return found


def headings_of(kind: Modality) -> dict[str, str]:
    """What figures of merit are called in a table."""
    return {**kind.headings, **HEADINGS}


def explanations_of(kind: Modality) -> dict[str, str]:
    """What each of them means, and which way is better, in the order of a table."""
    return {**kind.explanations, **EXPLANATIONS}

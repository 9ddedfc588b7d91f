"""Procedural pictures in colour, and which images a camera is trained on."""

import numpy as np

from cidesign.distill.presets import settings_for
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.lensless.data.leaves import colour_leaves
from cidesign.modality import modality


def test_a_seed_has_its_images_and_each_seed_others() -> None:
    first, other = colour_leaves(6, 16, 1), colour_leaves(6, 16, 2)
    assert first.shape == (6, 3, 16, 16)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, colour_leaves(6, 16, 1))
    assert np.abs(first.astype(int) - other).mean() > 5


def test_colours_vary_as_those_of_photographs() -> None:
    """The differences of two channels over the variation of grey; 0.58 to 0.91 in photographs of the Kodak set."""
    images = colour_leaves(64, 16, 3).astype(float)
    grey = images.mean(axis=1)
    for one, other in ((0, 1), (1, 2), (0, 2)):
        apart = (images[:, one] - images[:, other]).std()
        assert 0.3 * grey.std() < apart < grey.std()


def test_the_sensor_says_whether_images_have_colours() -> None:
    kind = modality("lensless")
    for name, channels in (("lensless-pi-hq", 3), ("lensless-imx250", 1)):
        profile = load_profile(name)
        settings = settings_for(profile, side=16)
        assert kind.procedural_images(settings, profile, 3, 1).shape == (3, channels, 16, 16)

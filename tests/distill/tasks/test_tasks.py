"""Every task keeps the laws of tasks; those of classes count rightly and refuse what has none."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from cidesign.data.image_sets import MeasuredSet
from cidesign.data.source import TrainingImages
from cidesign.distill.tasks.base import TASKS, task_named
from cidesign.distill.tasks.classify import standard_error
from cidesign.errors import InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modality import modality
from cidesign.testing import tasks

Make = Callable[..., Any]


def _tried(name: str) -> tasks.Tried:
    """Predictions of eight images: nearly right and wrong ones, by what the task is about."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(8, 1, 12, 12, generator=generator)
    noise = torch.randn(x.shape, generator=generator)
    if task_named(name).predicts == "images":
        return tasks.Tried(x + 0.01 * noise, x + 0.3 * noise, x, x + 0.1 * noise)
    labels = torch.arange(8) % 3
    right = torch.nn.functional.one_hot(labels, 3).float()
    return tasks.Tried(6 * right, 2 * right.roll(1, dims=1) + 0.1 * right, labels, x)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("law", tasks.LAWS, ids=lambda law: law.__name__)
def test_laws(law: tasks.Law, name: str) -> None:
    law(task_named(name), _tried(name))


def test_images_of_every_modality_are_reconstructed() -> None:
    for name in ("cassi", "mri"):
        x = torch.rand(4, 2, 12, 12, generator=torch.Generator().manual_seed(2))
        tried = tasks.Tried(x + 0.001, x.flip(0), x, x, modality(name))
        for law in tasks.LAWS:
            law(task_named("reconstruct"), tried)


def test_accuracy_its_error_and_the_log_loss() -> None:
    """Three of four right, with probabilities 0.8, 0.5, 0.6, and 0.1 where it is wrong."""
    task, kind = task_named("classify"), modality("single-pixel")
    logits = torch.tensor([[0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8]]).log()
    found = task.metrics(logits, torch.tensor([0, 0, 1, 1]), kind)
    assert found["accuracy_percent"].tolist() == [100, 100, 100, 0]
    assert found["log_loss"].exp().reciprocal().tolist() == pytest.approx([0.8, 0.5, 0.6, 0.1])
    means = task.means({name: [value[:3], value[3:]] for name, value in found.items()}, 4)
    assert means["accuracy_percent"] == pytest.approx(75)
    assert means["accuracy_error_percent"] == pytest.approx(100 * (4 / 6 * 2 / 6 / 7) ** 0.5)
    assert means["log_loss"] == pytest.approx(-np.log([0.8, 0.5, 0.6, 0.1]).mean())
    # Eight crops of two pictures are two scenes.
    of_crops = task.means({name: [value, value] for name, value in found.items()}, 2)
    assert of_crops["accuracy_error_percent"] == pytest.approx(100 * (2.5 / 4 * 1.5 / 4 / 5) ** 0.5)
    assert task.score_of_loss(float(task.loss(logits[:1], torch.tensor([0])))) == pytest.approx(80)


def test_the_error_of_a_proportion() -> None:
    """That of p (1 - p) / n for many; of four that are all right it is not 0."""
    assert standard_error(0.8, 10_000) == pytest.approx(0.004, rel=1e-3)
    assert standard_error(1.0, 4) == pytest.approx((5 / 6 * 1 / 6 / 7) ** 0.5)


def _images(labels: tuple[Any, ...] | None, names: tuple[str, ...]) -> TrainingImages:
    blank = np.zeros((4, 1, 8, 8), np.uint8)
    return TrainingImages(blank, blank, "", (), (), frozenset(), labels, names)


def test_names_of_classes_come_from_the_images(make_settings: Make) -> None:
    settings = make_settings(task="classify", decoder="classifier", data="digits", classes=())
    numbers = np.arange(4)
    settled = task_named("classify").settled(settings, _images((numbers, numbers), ("a", "b", "c", "d")))
    assert settled.classes == ("a", "b", "c", "d")
    assert settled == settings.changed(classes=("a", "b", "c", "d"))
    assert type(settled).model_validate_json(settled.model_dump_json()) == settled
    with pytest.raises(
        InputError, match="digits: task classify: a class for every picture is needed: a folder for"
    ) as e:
        task_named("classify").settled(settings, _images(None, ()))
    assert "\n" not in str(e.value)
    assert task_named("reconstruct").settled(make_settings(), _images(None, ())) == make_settings()


def test_the_classes_of_other_images_are_those_of_the_run(make_settings: Make) -> None:
    settings = make_settings(task="classify", decoder="classifier", data="digits", classes=("a", "b", "c"))
    blank = np.zeros((3, 1, 8, 8), np.uint8)
    other = MeasuredSet(blank, 3, 0, True, (), (), np.array([0, 1, 1]), ("c", "a"))
    found = task_named("classify").labels(settings, other)
    assert found is not None
    assert found.tolist() == [2, 0, 0]
    with pytest.raises(InputError, match="class dog: the run knows a, b and c alone"):
        task_named("classify").labels(settings, replace(other, classes=("c", "dog")))
    with pytest.raises(InputError, match="task classify: a class for every picture is needed"):
        task_named("classify").labels(settings, replace(other, labels=None, classes=()))
    assert task_named("reconstruct").labels(make_settings(), other) is None


def test_the_digest_of_images_holds_their_classes() -> None:
    numbers = np.arange(4)
    plain = _images(None, ())
    labelled = _images((numbers, numbers), ("a", "b", "c", "d"))
    others = [
        plain,
        labelled,
        _images((numbers[::-1], numbers), ("a", "b", "c", "d")),
        _images((numbers, numbers), ("a", "b", "c", "e")),
    ]
    assert len({one.digest for one in others}) == 4


@pytest.mark.parametrize(
    ("profile", "values", "said"),
    [
        ("dlp4500", {}, "task classify: procedural images have no classes; give --data, in which a class for every"),
        ("dlp4500", {"data": "x", "decoder": "unet"}, "decoder unet: it does not predict classes, .*; use classifier$"),
        ("dlp4500", {"data": "x", "classes": ("a", "b")}, "classes: no such setting here"),
        ("mri-generic-3t", {"data": "x"}, "task classify: images of mri runs are read without classes"),
        ("chrome-laser-10um", {"data": "x"}, "task classify: images of cassi runs are read without classes"),
        ("mri-generic-3t", {"task": "reconstruct", "pictures": "whole"}, "pictures: is for single-pixel runs"),
        (
            "dlp4500",
            {"task": "reconstruct", "decoder": "classifier"},
            "it does not predict images, .*; use unet, phase-unet, unrol",
        ),
        ("dlp4500", {"data": "x", "augmentation": "mirrors"}, "augmentation mirrors: should be 'flips-and-turns', 's"),
    ],
)
def test_what_cannot_be_classified(profile: str, values: dict[str, Any], said: str) -> None:
    from cidesign.distill.presets import settings_for

    with pytest.raises(InputError, match=said) as caught:
        settings_for(load_profile(profile), **{"task": "classify", **values})
    assert "\n" not in str(caught.value)


def test_what_a_task_presets() -> None:
    """Digits are not mirrored and stay whole; textures may be otherwise, where that is asked for."""
    from cidesign.distill.presets import settings_for

    profile: Any = load_profile("dlp4500")
    digits: Any = settings_for(profile, task="classify", data="digits", channels=8)
    assert (digits.decoder, digits.augmentation, digits.pictures, digits.classes) == (
        "classifier",
        "shifts",
        "whole",
        (),
    )
    assert digits.decoder_settings == {"channels": 8}
    textures: Any = settings_for(
        profile, task="classify", data="bark", augmentation="flips-and-turns", pictures="crops"
    )
    assert (textures.augmentation, textures.pictures, textures.classes) == ("flips-and-turns", "crops", ())
    images: Any = settings_for(profile)
    assert (images.decoder, images.augmentation, images.pictures, images.classes) == (
        "unet",
        "flips-and-turns",
        "crops",
        None,
    )

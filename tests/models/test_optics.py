"""What differs between modalities: relaxations, starts, inheritance, and designs that come and go."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cidesign.errors import InputError
from cidesign.modalities.cassi.encoders.designed import SdCassiEncoder
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.models.optics import Optics, optics_for
from cidesign.pattern import ApertureMask

MODALITIES = {
    "single-pixel": "real@12",
    "cassi": "real",
    "mri": "R1.6",
    "mri-points": "R1.6",
    "mri-shots": "slew2",
    "lensless": "real",
}


@pytest.fixture
def make(make_settings: Callable[..., Any], profile_of: Callable[[str], Any]) -> Callable[..., Optics]:
    return lambda modality, **changes: optics_for(make_settings(modality, **changes), profile_of(modality))


def _images(optics: Optics) -> torch.Tensor:
    return torch.rand(16, optics.bands, *optics.size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("modality", MODALITIES)
def test_start_fits_and_can_be_built(modality: str, make: Callable[..., Optics]) -> None:
    optics = make(modality)
    for relaxation in (None, MODALITIES[modality]):
        encoder, weight = optics.encoder(relaxation), optics.start(relaxation, _images(optics))
        assert encoder.weight.shape == weight.shape
        assert torch.isfinite(weight).all()
        assert torch.equal(weight, optics.start(relaxation, _images(optics)))
        assert encoder.A(_images(optics)).abs().sum().item() >= 0


@pytest.mark.parametrize(
    ("modality", "mean", "deviation", "size"),
    [("single-pixel", 0.0, 1 / 32, {"side": 32, "patterns": 99}), ("cassi", 0.5, 12**-0.5, {"side": 96}),
     ("mri", 0.0, 0.01, {"side": 512, "acquired": 128, "acs_lines": 32})],
)  # fmt: skip
def test_optics_can_start_at_random(
    modality: str, mean: float, deviation: float, size: dict[str, int], make: Callable[..., Optics]
) -> None:
    """N(0, 1) / n, U[0, 1) and N(0, 0.01^2), whatever the images; each seed has its own."""
    ladder = {"single-pixel": "real@120", "cassi": "real", "mri": "R2"}[modality]
    optics = make(modality, optics_start="random", **size)
    student, teacher = (optics.start(relaxation, torch.empty(0)) for relaxation in (None, ladder))
    for weight in (student, teacher):
        error = deviation / weight.numel() ** 0.5
        assert weight.mean().item() == pytest.approx(mean, abs=4 * error)
        assert weight.std().item() == pytest.approx(deviation, rel=0.15 if modality == "mri" else 0.02)
    assert modality != "cassi" or (student.min() >= 0 and student.max() < 1)
    shared = student.flatten()[: min(student.numel(), teacher.numel())]
    assert abs(np.corrcoef(shared, teacher.flatten()[: len(shared)])[0, 1]) < 0.2
    again, other = make(modality, optics_start="random", **size), make(modality, optics_start="random", seed=4, **size)
    assert torch.equal(again.start(None, torch.empty(0)), student)
    assert not torch.equal(other.start(None, torch.empty(0)), student)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_placed_design_is_that_design(modality: str, make: Callable[..., Optics]) -> None:
    optics = make(modality)
    first, second = optics.encoder(None), optics.encoder(None)
    with torch.no_grad():
        first.weight.copy_(torch.rand(first.weight.shape, generator=torch.Generator().manual_seed(2)) * 2 - 0.5)
    design = optics.design(first)
    optics.place(second, design)
    assert optics.design(second).design_digest == design.design_digest
    x = _images(optics)
    torch.testing.assert_close(first.A(x), second.A(x), atol=1e-6, rtol=1e-6)


def test_patterns_are_inherited_within_their_levels(make: Callable[..., Optics]) -> None:
    optics = make("single-pixel")
    student, teacher = optics.encoder(None), optics.encoder("real@12")
    with torch.no_grad():
        teacher.weight.copy_(2 * torch.randn(teacher.weight.shape, generator=torch.Generator().manual_seed(1)))
    optics.inherit(student, teacher)
    assert torch.equal(student.weight, teacher.weight[:7].clamp(-1, 1))


def test_a_coarse_mask_inherits_the_mean_transmission(make: Callable[..., Optics]) -> None:
    from dataclasses import replace

    optics = make("cassi", side=13)
    optics.rule = replace(optics.rule, feature_px=2)  # type: ignore[attr-defined]
    student, teacher = optics.encoder(None), optics.encoder("real")
    with torch.no_grad():
        teacher.weight.copy_(torch.linspace(-0.2, 1.2, 169).reshape(13, 13))
    optics.inherit(student, teacher)
    assert student.weight.shape == (6, 6)
    wanted = teacher.weight.detach()[4:6, 8:10].clamp(0, 1).mean()
    torch.testing.assert_close(student.weight[2, 4].detach(), wanted)
    other = optics.encoder("real")
    optics.inherit(other, teacher)
    assert torch.equal(other.weight, teacher.weight.clamp(0, 1))


def test_scores_are_inherited_for_any_budget(make: Callable[..., Optics]) -> None:
    optics = make("mri")
    student, teacher = optics.encoder(None), optics.encoder("R2")
    with torch.no_grad():
        teacher.weight.copy_(torch.randn(16, generator=torch.Generator().manual_seed(1)))
    optics.inherit(student, teacher)
    assert torch.equal(student.weight, teacher.weight)
    assert isinstance(student, CartesianEncoder)
    assert isinstance(teacher, CartesianEncoder)
    assert bool((teacher.choice() >= student.choice()).all())  # what the student measures, its teacher did too


@pytest.mark.parametrize(
    ("word", "kind", "count"),
    [
        ("real", None, 7),
        ("4-bit", 4, 7),
        ("1-bit", 1, 7),
        ("real@64", None, 64),
        ("2-bit@9", 2, 9),
        ("real@7", None, 7),
    ],
)
def test_ladder_of_patterns(word: str, kind: int | None, count: int, make: Callable[..., Optics]) -> None:
    encoder = make("single-pixel").encoder(word)
    assert isinstance(encoder, SinglePixelEncoder)
    assert (None if encoder.rule is None else encoder.rule.bit_depth) == kind
    assert len(encoder.weight) == count


@pytest.mark.parametrize(("word", "acquired"), [("R2", 8), ("R1.5", 11), ("R1", 16), ("R4", 4), ("R3", 5)])
def test_ladder_of_lines(word: str, acquired: int, make: Callable[..., Optics]) -> None:
    encoder = make("mri").encoder(word)
    assert isinstance(encoder, CartesianEncoder)
    assert (encoder.rule.acquired, encoder.rule.calibration) == (acquired, 2)


def test_coils_of_a_run_are_the_same_for_teacher_and_student(make: Callable[..., Optics]) -> None:
    optics = make("mri", coils=4)
    pair = [optics.encoder(word) for word in (None, "R2")]
    assert all(isinstance(encoder, CartesianEncoder) and encoder.coil_maps.shape == (4, 16, 16) for encoder in pair)
    assert torch.equal(pair[0].coil_maps, pair[1].coil_maps)
    single = make("mri").encoder(None)
    assert torch.equal(single.coil_maps, torch.ones(1, 16, 16, dtype=torch.complex64))


def test_masks_have_two_forms(make: Callable[..., Optics]) -> None:
    optics = make("cassi")
    student, teacher = optics.encoder(None), optics.encoder("real")
    assert isinstance(student, SdCassiEncoder)
    assert isinstance(teacher, SdCassiEncoder)
    assert student.rule is not None
    assert teacher.rule is None
    assert student.noise == teacher.noise
    assert student.noise is not None
    assert student.noise.full_scale == 8  # a white scene in all bands through an open mask


@pytest.mark.parametrize(
    ("modality", "words"),
    [
        ("single-pixel", ["", "R2", "9-bit", "0-bit", "01-bit", "-bit", "bit", "real@", "real@6", "real@65", "real@x",
                          "real@-8", "real@²", "²-bit", "real@" + "9" * 5000, "@9", "REAL"]),
        ("cassi", ["", "grey", "4-bit", "real@12", "R2"]),
        ("mri", ["", "R", "R0", "R-2", "R5", "R0.5", "Rnan", "Rinf", "R1e-320", "2", "real", "r2", "R2@4"]),
    ],
)  # fmt: skip
def test_unknown_words_of_a_ladder_are_refused(modality: str, words: list[str], make: Callable[..., Optics]) -> None:
    optics = make(modality)
    for word in words:
        with pytest.raises(InputError, match="ladder") as caught:
            optics.encoder(word)
        assert "\n" not in str(caught.value)


def test_a_mask_that_no_cells_can_draw_is_held_as_it_is(
    make: Callable[..., Optics], profile_of: Callable[[str], Any]
) -> None:
    """A mask of somebody's own is neither repaired nor rounded."""
    optics, profile = make("cassi"), profile_of("cassi")
    rng, side = np.random.default_rng(0), optics.size[0]
    checkerboard = (np.indices((side, side)).sum(axis=0) % 2).astype(np.uint8)
    for levels in (rng.random((side, side), dtype=np.float32), checkerboard):
        encoder = optics.encoder(None)
        optics.place(encoder, ApertureMask(levels, 10.0, profile.id, profile.digest))
        assert isinstance(encoder, SdCassiEncoder)
        assert torch.equal(encoder.mask(), torch.from_numpy(levels.astype(np.float32)))
        assert not encoder.weight.requires_grad
    other = ApertureMask(rng.random((side, side + 1), dtype=np.float32), 10.0, profile.id, profile.digest)
    with pytest.raises(
        InputError, match=f"{side} x {side + 1} code pixels, and the settings are for one of {side} x {side}"
    ):
        optics.place(optics.encoder(None), other)

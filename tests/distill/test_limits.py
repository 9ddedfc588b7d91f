"""What the profile allows holds in every step of training, and in the design that is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cidesign.constraints.aperture import feature_rule
from cidesign.constraints.kspace import LineBudget
from cidesign.constraints.rules import bit_depth_rule
from cidesign.distill import job
from cidesign.distill.job import Listener, start_run
from cidesign.distill.loop import StepReport
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.cassi.encoders.designed import SdCassiEncoder
from cidesign.modalities.mri.encoders.cartesian import CartesianEncoder
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder
from cidesign.models.system import ImagingSystem, load_student
from cidesign.pattern import ApertureMask, PatternStack, centre_block
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run

ProfileOf = Callable[[str], Any]


def test_design_is_feasible_by_its_own_rule(every: Path) -> None:
    """The NumPy rule on what was read from disk, not on what training held."""
    run = Run(every)
    design = run.design
    if isinstance(design, PatternStack):
        assert bit_depth_rule(run.profile, run.settings.bit_depth).check(design) == []
        assert set(design.levels.flatten()) == {0, 1}
    elif isinstance(design, ApertureMask):
        assert feature_rule(run.profile).check(design) == []
        assert 0 < design.open_fraction < 1
    else:
        settings = run.settings
        assert LineBudget(settings.side, settings.acquired, settings.acs_lines).check(design) == []
        assert design.acceleration == settings.side / settings.acquired


class _Watch(Listener):
    """Looks at the optics after every step; the rules must hold in all of them, not only at the end."""

    def __init__(self, settings: TrainingSettings, profile: Any) -> None:
        self.settings, self.profile = settings, profile
        self.system: ImagingSystem | None = None
        self.steps: dict[str, int] = {}

    def step(self, report: StepReport) -> None:
        assert self.system is not None
        self.steps[report.phase] = self.steps.get(report.phase, 0) + 1
        encoder = self.system.encoder
        if isinstance(encoder, CartesianEncoder):
            lines = encoder.choice().detach()
            assert set(lines.tolist()) <= {0.0, 1.0}
            assert int(lines.sum()) == encoder.rule.acquired
            trajectory = encoder.pattern(self.settings.side, "test", "")
            assert encoder.rule.check(trajectory) == []
            assert set(centre_block(encoder.rule.lines, self.settings.acs_lines)) <= set(
                lines.nonzero().flatten().tolist()
            )
            budget = self.settings.acquired if report.phase == "student" else 2 * self.settings.acquired
            assert encoder.rule.acquired >= budget
        elif isinstance(encoder, SdCassiEncoder):
            mask = encoder.mask().detach()
            assert float(mask.min()) >= 0
            assert float(mask.max()) <= 1
            if report.phase == "student":
                built = ApertureMask(mask.numpy().astype(np.uint8), 10.0, "test", "")
                assert feature_rule(self.profile).check(built) == []
                assert np.array_equal(built.levels, mask.numpy())
        else:
            assert isinstance(encoder, SinglePixelEncoder)
            signed = encoder.signed().detach()
            assert float(signed.abs().max()) <= 1
            if report.phase == "student":
                assert set(signed.unique().tolist()) <= {-1.0, 1.0}
                built = encoder.pattern("complementary", "test", "")
                assert bit_depth_rule(self.profile, 1).check(built) == []
                assert np.array_equal(built.signed(), signed.numpy())


def test_limits_hold_in_every_step(
    case: TrainingSettings, profile_of: ProfileOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = _Watch(case, profile_of(case.modality))
    original = job._run_phase

    def watched(run, system, *rest):  # type: ignore[no-untyped-def]
        watch.system = system
        original(run, system, *rest)

    monkeypatch.setattr(job, "_run_phase", watched)
    start_run(tmp_path / "run", case, watch.profile, False, watch)
    assert watch.steps["student"] == 12
    assert sum(watch.steps.values()) == 24


def test_cells_of_two_pixels_and_fractions_of_a_pixel(
    make_settings: Callable[..., TrainingSettings], tmp_path: Path
) -> None:
    """A coarse process and a prism: the design has no narrow place, and the detector is longer along the rows."""
    text = (Path(__file__).parents[2] / "hardware_profiles" / "aperture" / "chrome-laser-10um.toml").read_text()
    text = text.replace("min_feature_um = { value = 6.0", "min_feature_um = { value = 15.0")
    shifts = "[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]"
    text = text.replace(shifts, "[5.2, 4.1, 3.3, 2.4, 1.6, 0.9, 0.4, 0.0]").replace('"columns"', '"rows"')
    own = tmp_path / "own.toml"
    own.write_text(text)
    profile = load_profile(str(own))
    settings = make_settings("cassi", side=13)
    run = start_run(tmp_path / "run", settings, profile, False, Listener())
    design = run.design
    assert isinstance(design, ApertureMask)
    rule = feature_rule(profile)
    assert rule.cell_px == 2
    assert rule.check(design) == []
    x = torch.rand(1, 8, 13, 13)
    assert load_student(run).encoder.A(x).shape == (1, 13 + 6, 13)

"""Settings of a run by name: defaults, one line for what cannot be, checked copies, and records of older versions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cidesign.distill.presets import settings_for
from cidesign.errors import FileError, InputError, LimitError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.cassi.settings import CassiSettings
from cidesign.modalities.mri.settings import MriSettings
from cidesign.modalities.single_pixel.settings import SinglePixelSettings
from cidesign.modality import modality
from cidesign.models.system import build_decoder
from cidesign.run_settings import TrainingSettings
from cidesign.runs import Run

Make = Callable[..., Any]
# Settings as runs stored them when knobs of decoders stood among the others and ACS lines were called `calibration`.
OLD_MRI = {
    "modality": "mri", "preset": "quick", "seed": 3, "side": 16, "data": "procedural", "images": 32,
    "validation_images": 8, "batch": 8, "decoder": "unet", "channels": 4, "stages": 2, "ladder": ["R2"],
    "teacher_epochs": 1, "student_epochs": 1, "start": "teacher", "learning_rate": 0.001, "optics_learning_rate": 0.01,
    "precision": "float32", "device": "cpu", "losses": "effective", "weighting": "fixed", "weight_task": 1.0,
    "weight_decoder": 0.3, "weight_encoder": 0.1, "acquired": 4, "calibration": 2, "coils": 1, "noise": 0.01,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "needed"),
    [(SinglePixelSettings, {"patterns"}), (CassiSettings, set()), (MriSettings, {"acquired", "acs_lines"})],
)
def test_only_what_follows_from_the_size_is_needed(kind: type[TrainingSettings], needed: set[str]) -> None:
    assert {name for name, field in kind.model_fields.items() if field.is_required()} == needed


@pytest.mark.parametrize("profile", ["dlp4500", "dlp6500", "dlp7000"])
@pytest.mark.parametrize(("side", "patterns"), [(64, 410), (128, 1638), (256, 6554)])
def test_sizes_that_benches_use_are_not_bound_by_one_sequence(profile: str, side: int, patterns: int) -> None:
    settings = settings_for(load_profile(profile), side=side)
    assert isinstance(settings, SinglePixelSettings)
    assert settings.patterns == patterns


@pytest.mark.parametrize(
    ("profile", "side", "text"),
    [
        ("dlp4500", 32, ""),
        ("dlp4500", 128, " (3276 frames: 2 sequences from flash where it holds the images, else over HDMI)"),
        ("dlp4500", 256, " (13108 frames, over HDMI)"),
        ("dlp6500", 128, " (3276 frames: 9 sequences, loaded one after the other)"),
        ("dlp7000", 256, ""),
    ],
)
def test_how_a_design_will_be_shown_is_said_before_it_is_trained(profile: str, side: int, text: str) -> None:
    device = load_profile(profile)
    described = modality("single-pixel").described(settings_for(device, side=side), device)
    assert described.partition("complementary")[2] == text


def test_every_setting_by_name(profile_of: Make, tmp_path: Path) -> None:
    settings = settings_for(
        profile_of("single-pixel"), "standard", images=np.int64(500), batch=25, learning_rate=1, data=tmp_path,
        weight_task=np.float32(2), channels=8, photoelectrons=1e5, ladder="real, 4-bit", optics_learning_rate=None,
    )  # fmt: skip
    assert (settings.images, settings.batch, settings.learning_rate, settings.weight_task) == (500, 25, 1.0, 2.0)
    assert (settings.data, settings.ladder) == (str(tmp_path), ("real", "4-bit"))
    assert settings.decoder_settings == {"channels": 8}
    assert isinstance(settings, SinglePixelSettings)
    assert settings.photoelectrons_per_frame == 1e5
    assert (settings.preset, settings.student_epochs, settings.patterns) == ("standard", 10, 410)
    assert settings.optics_learning_rate == 1e-2


def test_knobs_follow_preset_and_decoder(profile_of: Make) -> None:
    kind = profile_of("mri")
    assert settings_for(kind, "paper", decoder="unrolled").decoder_settings == {
        "channels": 32,
        "stages": 6,
        "kept_gb": 2.0,
    }
    assert settings_for(kind, decoder="unrolled", stages=3).decoder_settings == {
        "channels": 16, "stages": 3, "kept_gb": 2.0,
    }  # fmt: skip
    assert settings_for(kind, decoder_settings={"channels": 12}).decoder_settings == {"channels": 12}


def test_settings_that_follow_from_others(profile_of: Make) -> None:
    published = settings_for(profile_of("mri"), losses="published", weight_decoder=0.0)
    assert (published.weight_task, published.weight_decoder, published.weight_encoder) == (0.1, 0.0, 0.8)
    lines = settings_for(profile_of("mri"), acceleration=2, side=32)
    assert isinstance(lines, MriSettings)
    assert (lines.acquired, lines.acs_lines) == (16, 2)


@pytest.mark.parametrize(
    ("modality", "values", "said"),
    [
        ("single-pixel", {"imges": 5}, "imges: no such setting here; did you mean images? Known are "),
        ("single-pixel", {"stages": 5}, "stages: no such setting here"),
        ("single-pixel", {"modality": "mri"}, "modality: no such setting here"),
        ("single-pixel", {"images": -5}, "images -5: should be greater than or equal to 1"),
        ("single-pixel", {"images": 2.5}, "images 2.5: should be a valid integer"),
        ("single-pixel", {"images": "many"}, "images many: should be a valid integer"),
        ("single-pixel", {"images": True}, "images True: should be a valid integer"),
        ("single-pixel", {"learning_rate": float("nan")}, "learning_rate nan: should be a finite number"),
        ("single-pixel", {"learning_rate": 0}, "learning_rate 0: should be greater than 0"),
        ("single-pixel", {"channels": 1000}, "channels 1000: should be less than or equal to 256"),
        ("single-pixel", {"decoder_settings": {"depth": 3}}, "depth: no such setting here; Known are channels"),
        ("single-pixel", {"decoder_settings": 3}, "decoder_settings 3: a mapping"),
        ("single-pixel", {"side": "large"}, "side large: between 8 and 512"),
        ("single-pixel", {"device": 3}, "device 3: auto, cpu"),
        ("single-pixel", {"seed": -1}, "seed -1: "),
        ("single-pixel", {"data": ""}, "data '': String should have at least 1 character"),
        ("single-pixel", {"start": "late"}, "start late: should be 'teacher' or 'fresh'"),
        ("single-pixel", {"task": "segment"}, "task segment: there are reconstruct, classify"),
        ("single-pixel", {"decoder": "../trick\nx"}, "'../trick\\nx' is no decoder known here"),
        ("single-pixel", {"photoelectrons": -1}, "photoelectrons -1: should be greater than 0"),
        (
            "single-pixel", {"photoelectrons": 1e5, "photoelectrons_per_frame": 1e5},
            "photoelectrons and photoelectrons_per_frame are the same setting",
        ),
        ("single-pixel", {"patterns": 2000}, "patterns 2000: an image of 32 x 32 has 1024 unknowns"),
        ("mri", {"lines": 16, "acceleration": 4}, "lines and acceleration: give one of them"),
        ("mri", {"acceleration": "fast"}, "acceleration fast: between 1 and 64"),
        ("mri", {"patterns": 9}, "patterns: is for single-pixel runs; mri-generic-3t makes mri runs"),
        ("mri", {"calibration": 4}, "calibration: no such setting here"),
        ("cassi", {"acs_lines": 4}, "acs_lines: is for mri"),
    ],
)  # fmt: skip
def test_one_line_names_value_and_limit(modality: str, values: dict[str, Any], said: str, profile_of: Make) -> None:
    with pytest.raises(InputError) as caught:
        settings_for(profile_of(modality), **values)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_is_named(profile_of: Make) -> None:
    with pytest.raises(InputError, match="preset fast: use quick, standard, paper"):
        settings_for(profile_of("mri"), "fast")


@pytest.mark.parametrize("way", [lambda s, **v: s.changed(**v), lambda s, **v: s.model_copy(update=v)])
def test_a_changed_copy_is_checked(way: Make, make_settings: Make) -> None:
    settings = make_settings("mri")
    changed = way(settings, images=np.int64(7), ladder=["R1", "R2"])
    assert (changed.images, changed.ladder, settings.images) == (7, ("R1", "R2"), 96)
    assert type(changed) is MriSettings
    for values, said in (
        ({"images": -5}, "images -5: should be greater"),
        ({"imges": 5}, "imges: no such setting here; did you mean images"),
        ({"images": "5"}, "images 5: should be a valid integer"),
        ({"ladder": ("R1", "R2", "R3")}, "3 teachers; each needs an epoch of the 2"),
        ({"coils": 40}, "coils 40: the samples of this scan tell at most 16 coils apart"),
        ({"images": 0, "batch": 0}, r"images 0: .* \(and 1 more\)"),
    ):
        with pytest.raises(InputError, match=said):
            way(settings, **values)
    with pytest.raises(LimitError, match="budget of 99 lines"):
        way(settings, acquired=99)
    assert settings.model_copy() == settings


def _old_run(path: Path, make_record: Make, **changes: Any) -> Path:
    stored = make_record(MriSettings.from_record(OLD_MRI), "0" * 64).model_dump(mode="json")
    path.mkdir()
    (path / "run.json").write_text(json.dumps({**stored, "settings": {**OLD_MRI, **changes}}))
    return path


@pytest.mark.parametrize(("decoder", "knobs"), [("unet", {"channels": 4}), ("unrolled", {"channels": 4, "stages": 2})])
def test_records_of_older_runs_are_read(decoder: str, knobs: dict[str, int], make_record: Make, tmp_path: Path) -> None:
    run = Run(_old_run(tmp_path / "run", make_record, decoder=decoder))
    settings = run.settings
    assert isinstance(settings, MriSettings)
    assert (settings.acs_lines, settings.acquired, settings.task) == (2, 4, "reconstruct")
    assert settings.decoder_settings == knobs
    assert build_decoder(settings, 2, (16, 16)).settings.model_dump(exclude_unset=True) == knobs
    assert MriSettings.from_record(settings.model_dump(mode="json")) == settings


def test_what_an_older_run_is_known_by_stays(make_record: Make, tmp_path: Path) -> None:
    """Its checkpoint and its baselines are found by the settings as they were written."""
    run = Run(_old_run(tmp_path / "run", make_record))
    assert json.loads(run.settings_text) == OLD_MRI
    assert '"calibration":2,"coils":1,"noise":0.01}' in run.settings_text


@pytest.mark.parametrize("name", [name for name in OLD_MRI if name not in ("modality", "channels", "stages")])
def test_nothing_is_filled_into_a_record(name: str, make_record: Make, tmp_path: Path) -> None:
    path = _old_run(tmp_path / "run", make_record) / "run.json"
    record = json.loads(path.read_text())
    del record["settings"][name]
    path.write_text(json.dumps(record))
    field = {"calibration": "acs_lines"}.get(name, name)
    with pytest.raises(FileError, match=f"damaged: settings: {field}: this setting is missing"):
        Run(path.parent)


@pytest.mark.parametrize(
    ("profile", "side", "others"),
    [("dlp4500", 64, {}), ("chrome-laser-10um-16band", 128, {}), ("mri-generic-3t", 256, {"coils": 4})],
)
def test_the_standard_preset_has_the_sizes_of_benches(profile: str, side: int, others: dict[str, int]) -> None:
    """What a preset says of a modality's own settings can be said otherwise, like all the rest of it."""
    loaded = load_profile(profile)
    settings = settings_for(loaded, "standard")
    assert settings.side == side
    assert {name: getattr(settings, name) for name in others} == others
    for name in others:
        assert getattr(settings_for(loaded, "standard", **{name: 1}), name) == 1


def test_patterns_of_older_runs_began_at_the_fixed_design() -> None:
    """What starts them when nobody says is another thing now."""
    settings = settings_for(load_profile("dlp4500"))
    older = {name: value for name, value in settings.model_dump(mode="json").items() if name != "optics_start"}
    assert settings.optics_start == "auto"
    assert SinglePixelSettings.from_record(older).optics_start == "designed"

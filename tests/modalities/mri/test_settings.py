"""How many coils a scan can be trained with, and how many of their combinations are."""

import pytest

from cidesign.calibration.mri.virtual_coils import FEW_COILS
from cidesign.distill.presets import settings_for
from cidesign.errors import InputError
from cidesign.hardware_profiles.loader import load_profile
from cidesign.modalities.mri.data.phantoms import coil_maps, phantom_slices, virtual_maps
from cidesign.modalities.mri.settings import MriSettings
from cidesign.modality import modality


def _settings(**changes: object) -> MriSettings:
    found = settings_for(load_profile("mri-generic-3t"), device="cpu", **changes)
    assert isinstance(found, MriSettings)
    return found


def test_few_coils_are_trained_with_as_they_are() -> None:
    assert [_settings(side=32, coils=coils).virtual_coils for coils in (1, 4, 8)] == [None, None, None]
    maps, kept = virtual_maps(4, (16, 12), 4)
    assert (maps == coil_maps(4, 16, 0, 12)).all()
    assert kept == 1


def test_many_coils_are_combined_and_both_numbers_are_recorded() -> None:
    found = _settings(side=32, coils=24)
    assert found.coils == 24
    assert found.virtual_coils is not None
    assert 8 <= found.virtual_coils < 24
    kept = [virtual_maps(24, (32, 32), found.virtual_coils - less)[1] for less in (0, 1)]
    assert kept[0] >= 0.95 > kept[1] or found.virtual_coils == FEW_COILS
    words = modality("mri").described(found, load_profile("mri-generic-3t"))
    assert f"24 coils as {found.virtual_coils} virtual ones, which keep 9" in words
    assert _settings(side=32, coils=24, virtual_coils=5).virtual_coils == 5
    # Older records know nothing of virtual coils.
    stored = {name: value for name, value in dict(found).items() if name != "virtual_coils"}
    assert MriSettings.from_record(stored).virtual_coils is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"side": 32, "coils": 40},
            r"coils 40: the samples of this scan tell at most 32 .*lower coils to 32",
        ),
        ({"side": 64, "coils": 40, "acs_lines": 7, "readout": 12}, r"at most 36 coils apart \(64 lines, 16 of them "),
        ({"side": 32, "coils": 4, "virtual_coils": 6}, "virtual_coils 6: 4 coils have no more combinations"),
    ],
)
def test_coils_beyond_the_samples_are_refused_with_both_numbers(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _settings(**changes)


def test_older_records_are_of_smooth_phase() -> None:
    """So that their images, whose digest a run keeps, are drawn again as they were."""
    found, profile = _settings(side=16, images=4, validation_images=2, batch=2), load_profile("mri-generic-3t")
    assert found.echo == "gradient"
    stored = {name: value for name, value in dict(found).items() if name != "echo"}
    older = MriSettings.from_record(stored)
    assert older.echo == "spin"
    assert MriSettings.from_record({**stored, "echo": "any"}).echo == "any"
    images = modality("mri").procedural_images(older, profile, 4, 1)
    assert (images == phantom_slices(4, 16, 1, "spin")).all()
    assert (images != modality("mri").procedural_images(found, profile, 4, 1)).any()
    assert modality("mri").described(older, profile).endswith("; spin echoes")
    with pytest.raises(InputError, match="echo"):
        _settings(echo="stimulated")

"""Every controller that comes with cidesign keeps the laws of controllers, on every profile that has it."""

from pathlib import Path

import pytest

from cidesign.hardware_profiles.dmd.controllers import MODULES
from cidesign.hardware_profiles.dmd.schema import DmdProfile
from cidesign.hardware_profiles.loader import load_dmd, shipped_profiles
from cidesign.testing.controllers import Law, files_hold_the_design, laws

PROFILES = [load_dmd(entry.id) for entry in shipped_profiles() if entry.kind == "dmd"]
# One device for each controller, and for each number of them, stands for its relatives where files do not differ.
UPLOADED = {(one.controller.value, one.dual_controller.value): one.id for one in reversed(PROFILES)}
CASES = [
    pytest.param(profile, law, id=f"{profile.id}-{law.__name__}")
    for profile in PROFILES
    for law in laws(profile)
    if law is files_hold_the_design or profile.id in UPLOADED.values()
]


def test_every_controller_has_a_profile() -> None:
    assert {profile.controller.value for profile in PROFILES} == set(MODULES)


@pytest.mark.parametrize(("profile", "law"), CASES)
def test_laws(profile: DmdProfile, law: Law, tmp_path: Path) -> None:
    law(profile, tmp_path)

"""The rule of gradients that designs are trained and projected with, as files have to keep it."""

from dataclasses import replace

from cidesign.checks import Check
from cidesign.constraints.gradients import GradientRule
from cidesign.hardware_profiles.mri.schema import MriProfile
from cidesign.pattern import NonCartesian

# Amplitudes are written with six digits, the corners between with seven: a file is not refused for its rounding.
RELATIVE_TOLERANCE = 1e-5


def broken_limits(design: NonCartesian, profile: MriProfile, from_file: bool = False) -> list[Check]:
    """Where shots break the rule of a profile's design limits, with shot, time, value and limit.

    Those that were read from a sequence (`from_file`) may do so by the rounding of files.
    """
    rule = GradientRule.of(profile)
    if not from_file:
        return rule.check(design)
    written = replace(
        rule,
        gradient_mt_per_m=rule.gradient_mt_per_m * (1 + RELATIVE_TOLERANCE),
        slew_t_per_m_per_s=rule.slew_t_per_m_per_s * (1 + RELATIVE_TOLERANCE),
    )
    return written.check(design)

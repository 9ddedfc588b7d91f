"""What to capture on the bench, in which order, and why: the list that `cidesign calibrate --plan` prints."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PlanStep:
    """One capture: `title` says what, `how` how to take it, `arrays` where it goes, `why` what would go unseen.

    `needed`: without it `cidesign calibrate` refuses; the others make it see more.
    """

    title: str
    how: str
    arrays: str
    why: str
    needed: bool


def plan_text(steps: list[PlanStep]) -> str:
    """The numbered list."""
    lines = []
    for number, step in enumerate(steps, start=1):
        need = "" if step.needed else " (recommended)"
        lines += [
            f"{number}. {step.title}{need}",
            f"   how:  {step.how}",
            f"   file: {step.arrays}",
            f"   why:  {step.why}",
        ]
    return "\n".join(lines)

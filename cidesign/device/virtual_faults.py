"""What can go wrong with a virtual device; every fault comes from one seeded source."""

import random
from dataclasses import dataclass, field


class Refused(Exception):
    """A virtual controller refuses a command: its error code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass
class DeviceFaults:
    """Faults of a virtual controller.

    `wrong_decoder` shows every image with two of its plane groups exchanged and reports no error; `full_memory`
    refuses every image; `power_cut_rate` is the chance, per command, that the controller starts anew.
    """

    wrong_decoder: bool = False
    full_memory: bool = False
    power_cut_rate: float = 0.0
    source: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - not for secrets

    def power_cut(self) -> bool:
        """Whether the power fails at this command."""
        return self.power_cut_rate > 0 and self.source.random() < self.power_cut_rate

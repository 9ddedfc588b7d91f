"""What a run of classes says of a capture: how probable each class is."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cidesign.files import write_bytes
from cidesign.reconstruct.record import ClassesEntry
from cidesign.text import table

FILE = "classes.csv"
SHOWN = 5


@dataclass(frozen=True)
class Classes:
    """The classes of a capture, the most probable first."""

    entry: ClassesEntry

    @property
    def best(self) -> str:
        """The most probable class."""
        return self.entry.classes[0].name

    @property
    def probabilities(self) -> Mapping[str, float]:
        """The probability of each class, which add to 1."""
        return {one.name: one.probability for one in self.entry.classes}

    def table(self) -> str:
        """The most probable classes."""
        first, rest = self.entry.classes[:SHOWN], self.entry.classes[SHOWN:]
        rows = [(one.name, f"{one.probability:.3f}") for one in first]
        if rest:
            rows.append((f"{len(rest)} more, together", f"{sum(one.probability for one in rest):.3f}"))
        return table(rows, ("class", "probability"))

    @property
    def headline(self) -> str:
        """The class in one line."""
        entry = self.entry
        return (
            f"class: {self.best} (probability {entry.classes[0].probability:.3f}; {entry.agreeing} of {entry.draws} "
            "redraws of noise and calibration say so)"
        )

    def write(self, folder: Path) -> None:
        """Write classes.csv: class, probability."""
        target = io.StringIO()
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(("class", "probability"))
        writer.writerows((one.name, f"{one.probability:.6f}") for one in self.entry.classes)
        write_bytes(folder / FILE, target.getvalue().encode())

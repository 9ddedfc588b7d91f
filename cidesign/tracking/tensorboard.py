"""TensorBoard: event files in RUN/tensorboard, for `tensorboard --logdir RUN`."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cidesign.files import JsonObject, disk_errors
from cidesign.tracking.base import Tracked, Tracker, numbers

if TYPE_CHECKING:  # of the extra
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


class TensorBoard(Tracker):
    """Every number of a line at the step of its phase, and those of a finished run at step 0."""

    name = "tensorboard"
    _writer: "SummaryWriter | None" = None

    def start(self, run: Tracked, lines: Sequence[JsonObject]) -> None:
        """Write anew what there is so far: events cannot be taken back, and those of a killed process may have been
        ahead of its checkpoint."""
        from torch.utils.tensorboard import SummaryWriter

        self._folder = run.folder / FOLDER
        with disk_errors(self._folder):
            self._folder.mkdir(exist_ok=True)
            for old in self._folder.glob("events.out.tfevents.*"):
                old.unlink()
            self._writer = SummaryWriter(str(self._folder))
        self._writer.add_text("settings", f"```\n{json.dumps(run.settings, indent=2)}\n```")
        for line in lines:
            self.epoch(line)

    def epoch(self, line: JsonObject) -> None:
        """One event for each number."""
        self._add(numbers(line), int(str(line["step"])))

    def finish(self, metrics: Mapping[str, float] | None) -> None:
        """Close the file, after the numbers of the record."""
        if self._writer is None:
            return
        self._add({f"finished/{name}": value for name, value in (metrics or {}).items()}, 0)
        with disk_errors(self._folder):
            self._writer.close()
        self._writer = None

    def _add(self, values: Mapping[str, float], step: int) -> None:
        if self._writer is None:
            return
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        with disk_errors(self._folder):
            self._writer.flush()


TRACKER = TensorBoard

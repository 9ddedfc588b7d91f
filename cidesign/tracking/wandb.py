"""Weights & Biases: a run of project `cidesign`; its files are in RUN/wandb.

Nothing goes over the network unless the user has set that up: with WANDB_MODE, or with the key of an account.
`wandb sync RUN/wandb/offline-run-*` sends later what was kept here.
"""

import netrc
import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from cidesign.errors import CidesignError, first_line
from cidesign.files import JsonObject
from cidesign.tracking.base import Tracked, Tracker, numbers

PROJECT = "cidesign"


class Wandb(Tracker):
    """Every number of a line, in the order of the lines; those of a finished run in its summary."""

    name = "wandb"

    def __init__(self) -> None:
        self._run: Any = None
        self._lines = 0

    def start(self, run: Tracked, lines: Sequence[JsonObject]) -> None:
        """Begin or go on under the run's own name; a line that wandb has already is left out by its number."""
        import wandb

        mode = os.environ.get("WANDB_MODE") or ("online" if _has_account() else "offline")
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=run.folder.name,
                id=run.identity,
                resume="allow" if mode == "online" else None,
                dir=str(run.folder),
                mode=mode,
                config=dict(run.settings),
                # Nothing of the terminal is recorded, and where nothing is sent nothing is told either.
                settings=wandb.Settings(console="off", silent=mode == "offline"),
            )
        except (wandb.Error, OSError) as error:
            raise CidesignError(f"log wandb: {first_line(error)}; set WANDB_MODE=offline, or leave it out") from error
        begun = int(self._run.step) if mode == "online" else 0
        for line in lines:
            if self._lines < begun:
                self._lines += 1
            else:
                self.epoch(line)

    def epoch(self, line: JsonObject) -> None:
        """One step, whose number is that of the line."""
        phase = line["phase"]
        place = {f"{phase}/{name}": line[name] for name in ("epoch", "step")}
        self._run.log({**numbers(line), **place}, step=self._lines)
        self._lines += 1

    def finish(self, metrics: Mapping[str, float] | None) -> None:
        """Close the run; exit code 1 where it was stopped or failed."""
        if self._run is None:
            return
        if metrics is not None:
            self._run.summary.update(dict(metrics))
        self._run.finish(exit_code=0 if metrics is not None else 1)
        self._run = None


def _has_account() -> bool:
    """Whether `wandb login` or WANDB_API_KEY gave a key on this computer."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


TRACKER = Wandb

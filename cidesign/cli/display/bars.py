"""Bars of what is done, in percent, with the time that is left."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


def bars(disable: bool = False, transient: bool = False, speed_estimate_period: float = 30.0) -> Progress:
    """Bars beside the result, each with its description; the time left is by the pace of the last seconds.

    `transient` ones vanish in the end; `speed_estimate_period` is how many seconds the pace is taken from.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=disable,
        transient=transient,
        speed_estimate_period=speed_estimate_period,
    )

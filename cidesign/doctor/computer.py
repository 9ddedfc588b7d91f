"""Processors, memory, graphics processors and disk."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from cidesign.distill.computing.machine import free_bytes, processors
from cidesign.doctor.findings import Finding, Status
from cidesign.errors import first_line
from cidesign.units import format_bytes

# Where runs are written to; `cidesign.runs` has the same, and loads more than is surely here.
RUNS = Path("runs")
GPU_USE = "distill --device cuda"


def computer() -> list[Finding]:
    """What a training would find here."""
    return [_processors(), _memory(), *_gpus(), _disk()]


def _processors() -> Finding:
    count = processors()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    told = f"; OMP_NUM_THREADS={asked}" if asked else ""
    return Finding("computer", "threads", "ok", f"{count} of {os.cpu_count() or count} processors can be used{told}")


def _memory() -> Finding:
    free = free_bytes()
    if free is None:
        return Finding("computer", "memory", "not verified", "this system does not say how much is free")
    return Finding("computer", "memory", "ok", f"{format_bytes(free)} can be had")


def _gpus() -> list[Finding]:
    def one(status: Status, text: str) -> list[Finding]:
        return [Finding("computer", "GPU", status, text, GPU_USE)]

    if find_spec("torch") is None:
        return one("not verified", "torch tells, and is missing")
    try:
        import torch
    except (ImportError, OSError) as error:
        return one("not verified", f"torch cannot be loaded ({first_line(error)})")
    if not torch.cuda.is_available():
        return one("missing", f"torch {torch.__version__} sees none; all works on processors")
    found = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return [
        Finding("computer", f"GPU {number}", "ok", f"{gpu.name}, {format_bytes(gpu.total_memory)}", GPU_USE)
        for number, gpu in enumerate(found)
    ]


def _disk() -> Finding:
    place = RUNS if RUNS.is_dir() else Path()
    name = f"disk at {RUNS}/"
    if not os.access(place, os.W_OK):
        fix = "work in a folder of your own, or name one with --out"
        return Finding("computer", name, "missing", f"{place.absolute()} cannot be written", "", fix)
    return Finding("computer", name, "ok", f"{format_bytes(shutil.disk_usage(place).free)} free")

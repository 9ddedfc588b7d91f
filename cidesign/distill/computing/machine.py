"""How many processors and how much memory this machine has for a program."""

import contextlib
import os
from pathlib import Path

STATUS, MACHINE = Path("/proc/self/status"), Path("/proc/meminfo")
OWN_GROUPS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
# How limit, use, and the part of the use that is given back on demand are called in a control group, old and new.
NAMES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def held_bytes() -> int:
    """The memory that this process holds already; 0 where the system does not say."""
    return _entry(STATUS, "VmRSS:") or 0


def free_bytes() -> int | None:
    """What this process can still get: of the machine, of its control groups, of its own limit; the least of them.

    None where the system does not say.
    """
    found = [_entry(MACHINE, "MemAvailable:"), _of_own_limit(), *map(_of_group, _groups())]
    known = [count for count in found if count is not None]
    return max(0, min(known)) if known else None


def _entry(path: Path, name: str) -> int | None:
    """The entry of a name among lines `name 123 kB`, in bytes."""
    for line in _text(path).splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name and words[1].isdecimal():
            return int(words[1]) * (1024 if words[2:] == ["kB"] else 1)
    return None


def _text(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):  # another system, or a closed one: not known
        return path.read_text()
    return ""


def _of_own_limit() -> int | None:
    """What `ulimit -v` leaves of this process's addresses."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _entry(STATUS, "VmSize:")
    return None if limit == resource.RLIM_INFINITY or used is None else limit - used


def _groups() -> list[Path]:
    """The folders of this process's control groups and of all above them; a container sees its own as the uppermost."""
    found: list[Path] = []
    for line in _text(OWN_GROUPS).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        root = GROUPS / "memory" if "memory" in controllers.split(",") else GROUPS
        if controllers and root == GROUPS:
            continue
        place = root / name.lstrip("/")
        found += [place, *(above for above in place.parents if above.is_relative_to(root))]
    return found


def _of_group(folder: Path) -> int | None:
    """What the limit of a control group leaves; None where it has none."""
    for limit_name, use_name, returned_name in NAMES:
        limit, use = _text(folder / limit_name).strip(), _text(folder / use_name).strip()
        if limit.isdecimal() and use.isdecimal():
            return int(limit) - int(use) + (_entry(folder / "memory.stat", returned_name) or 0)
    return None

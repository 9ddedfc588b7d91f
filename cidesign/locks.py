"""One process at a time in a folder: a lock file that names its holder.

Only one process can make the file, and it appears with its holder's name in it.  Where the system locks files, the
holder has such a lock on it as well, which ends with the process, however that ends: so a file that a killed process
left behind is told from one in use.
"""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cidesign.errors import FileError
from cidesign.files import disk_errors, partial_name

try:
    import fcntl
except ImportError:  # Windows: the file alone decides, and the one of a killed process is removed by hand
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"
MAX_BYTES = 10_000
# Another process may be about to release the lock, or to take that of a dead one: so often and so long is looked again.
LOOKS = 10
PAUSE_S = 0.02
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Holder(BaseModel):
    """Who holds a folder.  `boot` tells one start of a computer from the next, `started` one process from another of
    the same number; both are empty where the system does not say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    doing: str
    host: str
    pid: int
    since_utc: str
    boot: str
    started: str

    def __str__(self) -> str:
        return f"`{self.doing}` (process {self.pid} on {self.host}, since {self.since_utc})"


class HeldError(FileError):
    """Another process holds a folder; `holder` is None where its file names nobody."""

    def __init__(self, text: str, holder: Holder | None) -> None:
        super().__init__(text)
        self.holder = holder


class FolderLock:
    """`with FolderLock(folder, "cidesign distill"):` no other process holds the folder meanwhile.

    Entering raises `HeldError` that names the holder.  `took_over` is then the holder that was killed and left its file
    behind, or None.
    """

    def __init__(self, folder: Path, doing: str) -> None:
        self.folder = folder
        self.took_over: Holder | None = None
        self._content = _this_process(doing).model_dump_json(indent=2).encode()
        self._stream: int | None = None

    @property
    def file(self) -> Path:
        """The lock file."""
        return self.folder / NAME

    def __enter__(self) -> "FolderLock":
        held: HeldError | None = None
        with disk_errors(self.file):
            for look in range(LOOKS):
                if look:
                    time.sleep(PAUSE_S)
                if self._make():
                    return self
                held = self._in_the_way()
        raise held or HeldError(f"{self.file}: changes hands all the time; repeat when fewer commands work here", None)

    def __exit__(self, *raised: object) -> None:
        # In a folder that was removed or became read-only meanwhile there is nothing to release.
        with contextlib.suppress(OSError):
            if self.file.read_bytes() == self._content:
                self.file.unlink()
        if self._stream is not None:
            os.close(self._stream)

    def moved_to(self, folder: Path) -> None:
        """Tell that the folder was renamed; the lock went with it."""
        self.folder = folder

    def _make(self) -> bool:
        """Make the file, complete and locked by the system from its first moment; False where there is one."""
        temporary = partial_name(self.file)
        stream = self._written(temporary)
        try:
            os.link(temporary, self.file)
        except FileExistsError:
            os.close(stream)
            return False
        except OSError as error:
            os.close(stream)
            if error.errno in _NO_HARD_LINKS:
                return self._make_in_place()
            raise
        finally:
            temporary.unlink()
        self._stream = stream
        return True

    def _make_in_place(self) -> bool:
        """The same where a file has one name only; another process may find the file before its content is there."""
        try:
            stream = self._written(self.file)
        except FileExistsError:
            return False
        # That process takes it for a dead one's and removes it; then it was not made.
        if self.file.exists() and os.path.samestat(os.fstat(stream), self.file.stat()):
            self._stream = stream
            return True
        os.close(stream)
        return False

    def _written(self, path: Path) -> int:
        stream = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        os.write(stream, self._content)
        _system_lock(stream)
        return stream

    def _in_the_way(self) -> HeldError | None:
        """Why the file that is there stays there; None when it was a dead holder's and is removed, or is gone."""
        with contextlib.suppress(FileNotFoundError), _opened(self.file) as stream:
            free = _system_lock(stream)
            there = _holder(self.file)
            if _may_live(there, free):
                return HeldError(_refusal(self.folder, there), there)
            if free is None:
                return self._removed_unlocked(there)
            # Nobody else removes this name while this process has the system's lock on the file.
            if os.path.samestat(os.fstat(stream), self.file.stat()):
                self.file.unlink()
                self.took_over = there
        return None

    def _removed_unlocked(self, dead: Holder | None) -> HeldError | None:
        """Remove a dead holder's file where the system locks none: of several that try, one moves this very file."""
        aside = partial_name(self.file)
        os.rename(self.file, aside)
        found = _holder(aside)
        if found != dead:  # another process was faster, and this is its new file
            os.rename(aside, self.file)
            return HeldError(_refusal(self.folder, found), found)
        aside.unlink()
        self.took_over = dead
        return None


def refuse_held(folder: Path) -> None:
    """Raise `HeldError` that names the holder when another process holds a folder; nothing is changed."""
    with disk_errors(folder / NAME), contextlib.suppress(FileNotFoundError), _opened(folder / NAME) as stream:
        free = _system_lock(stream)
        there = _holder(folder / NAME)
        if _may_live(there, free):
            raise HeldError(_refusal(folder, there), there)


def remove_left(folder: Path, dead: Holder) -> None:
    """Remove the lock of a holder of whom it is known from elsewhere that it does not run any more."""
    with disk_errors(folder / NAME), contextlib.suppress(FileNotFoundError):
        if _holder(folder / NAME) == dead:
            (folder / NAME).unlink()


def _refusal(folder: Path, there: Holder | None) -> str:
    host, file = socket.gethostname(), folder / NAME
    if there is None:
        return f"{folder}: in use by another process; if there is none, remove {file} and repeat"
    if there.host != host:
        return (
            f"{folder}: in use by {there}; from {host} it cannot be seen whether that still runs: if it does not, "
            f"remove {file} and repeat"
        )
    return f"{folder}: in use by {there}; wait until it ends, or end it with `kill {there.pid}`, and repeat"


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        stream = os.open(path, os.O_RDWR)
    except PermissionError:  # another user's; on most file systems a file that is only read can be locked
        stream = os.open(path, os.O_RDONLY)
    try:
        yield stream
    finally:
        os.close(stream)


def _system_lock(stream: int) -> bool | None:
    """Lock an open file; False when another process has, None when this file system locks nothing."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _this_process(doing: str) -> Holder:
    return Holder(
        doing=doing,
        host=socket.gethostname(),
        pid=os.getpid(),
        since_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        boot=_boot(),
        started=_started(os.getpid()) or "",
    )


def _holder(path: Path) -> Holder | None:
    """Who the file names; None when it names nobody."""
    with path.open("rb") as stream:
        content = stream.read(MAX_BYTES)
    try:
        return Holder.model_validate_json(content)
    except ValidationError:
        return None


def _may_live(there: Holder | None, free: bool | None) -> bool:
    """Whether a holder may still be at work; `free` is what `_system_lock` says of its file."""
    if free is False:
        return True
    if there is None:  # made where files have one name only: its maker was killed before it wrote
        return free is None
    host, boot = socket.gethostname(), _boot()
    same_start = bool(boot) and there.boot == boot
    if not same_start and there.host != host:
        return True  # another computer's lock need not be seen here
    if free:
        return False
    return there.host != host or there.boot != boot or _lives(there.pid, there.started)


def _lives(pid: int, started: str) -> bool:
    if fcntl is None:
        return True  # Windows: os.kill would end it
    if started:
        return _started(pid) == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _boot() -> str:
    """What Linux calls this start of the computer; empty elsewhere."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process was started, in the system's ticks; None when there is none, or where the system does not say."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if words[0] == "Z" else words[19]

"""The one process in which other people's parsers run, bounded in time and memory.

A library that reads a foreign format can crash, hang or grow without end on a damaged file, or on a legal one that it
does not know.  So each of them is called in a process of its own: what ends there is one line of error here.

A *reader* is a module with a function `answer(request) -> (head, arrays)`: a JSON object, or a dataclass that becomes
one, and arrays by name.  It raises `Refused` with what the user should read; anything else that it raises is reported
as damage.
"""

import importlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from cidesign.errors import FileError
from cidesign.files import Json, JsonObject

if TYPE_CHECKING:  # other commands start without NumPy
    from numpy.typing import NDArray

Arrays: TypeAlias = "dict[str, NDArray[Any]]"
_HeadT = TypeVar("_HeadT")

# Address space that interpreter and libraries take before anything of the file is in memory.
SPARE_BYTES = 3_000_000_000
# What a reader may take beside it: room for what is packed in the file a hundred times smaller.
DATA_BYTES, DATA_BYTES_PER_BYTE = 600_000_000, 100
# Processor time of a reader: a loop in a damaged file ends soon, a slow disk or a busy machine ends nothing.
CPU_S, CPU_S_PER_BYTE = 4.0, 0.5e-6
# How it ends then; not on Windows.
TOO_LONG = getattr(signal, "SIGXCPU", None)
# What is said of an error that a library wrote.
MAX_TEXT = 400


class Refused(Exception):
    """Why a file is not read, for the user; raised by readers in the child."""


def ask(
    path: Path,
    reader: str,
    request: Mapping[str, object],
    what: str,
    longest_s: float,
    memory_bytes: int = SPARE_BYTES,
    cpu_s: float | None = None,
) -> tuple[JsonObject, Arrays]:
    """Have `reader` (a module of cidesign) read `path` in a child: its head, and NumPy arrays by name.

    `what` is the file's kind in errors ("HDF5 file"), `longest_s` the time after which the child is ended,
    `memory_bytes` its address space, `cpu_s` its processor time (None: 4 s, and half a second for each MB of the file).
    Its data take at most 600 MB, and a hundred times the size of the file.
    The request reaches the reader with `path` and `what` added.

    Raises `FileError` for a missing file, for what the reader refused, and for a child that crashed, grew or hung.
    """
    if not path.is_file():
        raise FileError(f"{path}: no such file")
    asked = json.dumps({**request, "path": str(path.absolute()), "what": what}).encode()
    limit_s = math.ceil(CPU_S + CPU_S_PER_BYTE * path.stat().st_size if cpu_s is None else cpu_s)
    try:
        status, answered = run_child(reader, memory_bytes, limit_s, asked, longest_s)
    except subprocess.TimeoutExpired as error:
        raise FileError(f"{path}: reading it did not end within {longest_s:g} s; is it damaged?") from error
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror or error})") from error
    line, _, content = answered.partition(b"\n")
    if TOO_LONG is not None and status == -TOO_LONG:
        raise FileError(
            f"{path}: not a sound {what} (reading it took more than {limit_s} s of computing); copy it anew"
        )
    if status or not line:
        ended = f"signal {-status}" if status < 0 else f"status {status}"
        raise FileError(f"{path}: not a sound {what} (its reader crashed: {ended}); copy or write it anew")
    head = json.loads(line)
    if "error" in head:
        found = f"; {path.stat().st_size} bytes were found" if head["damaged"] else ""
        raise FileError(f"{path}: {_printable(head['error'])}{found}")
    return head, _arrays([_Declared(**one) for one in head.pop("arrays")], content)


def typed_head(kind: type[_HeadT], head: JsonObject) -> _HeadT:
    """The head of an answer as the dataclass that its reader made of it."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_python(head)


def run_child(reader: str, memory_bytes: int, cpu_s: int, asked: bytes, longest_s: float) -> tuple[int, bytes]:
    """Start the child and wait: its exit status (below 0 the signal that ended it) and its standard output."""
    # -P: nothing that lies in the current folder is imported.
    command = [sys.executable, "-P", "-m", "cidesign.io.child", reader, str(memory_bytes), str(cpu_s)]
    # Memory that linear algebra reserves for each processor would count as the file's.
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        command, input=asked, capture_output=True, timeout=longest_s, check=False, env=os.environ | single
    )
    return done.returncode, done.stdout


class _Declared(NamedTuple):
    """One array of an answer, whose bytes follow the head."""

    name: str
    shape: list[int]
    dtype: str


def _arrays(declared: list[_Declared], content: bytes) -> Arrays:
    # Imported late: other commands start without NumPy.
    import numpy as np

    arrays: dict[str, NDArray[Any]] = {}
    position = 0
    for one in declared:
        dtype = np.dtype(one.dtype)
        count = math.prod(one.shape)
        arrays[one.name] = np.frombuffer(content, dtype=dtype, count=count, offset=position).reshape(one.shape)
        position += count * dtype.itemsize
    return arrays


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:MAX_TEXT]


def main(arguments: list[str]) -> None:
    """The child: `python -m cidesign.io.child READER MEMORY_BYTES CPU_S`, the request as JSON on standard input."""
    # Libraries print; what they print must not get between the bytes of the answer.
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    reader, memory_bytes, cpu_s = arguments[0], int(arguments[1]), int(arguments[2])
    request = json.loads(sys.stdin.buffer.read())
    _limit(memory_bytes, cpu_s, Path(request["path"]).stat().st_size)
    head, arrays = _answered(reader, request)
    declared = [_Declared(name, list(array.shape), array.dtype.str)._asdict() for name, array in arrays.items()]
    stream.write(json.dumps({**head, "arrays": declared}).encode() + b"\n")
    for array in arrays.values():
        stream.write(array.reshape(-1).data.cast("B"))
    stream.flush()


def _answered(reader: str, request: Mapping[str, Json]) -> tuple[JsonObject, Arrays]:
    # The parent's module of the same name: this one runs as `__main__`, and its `Refused` is another class.
    refused = importlib.import_module("cidesign.io.child").Refused
    try:
        head, arrays = importlib.import_module(reader).answer(request)
    except refused as error:
        return {"error": str(error), "damaged": False}, {}
    except MemoryError:
        return {"error": "reading it takes more memory than such a file can need", "damaged": True}, {}
    except Exception as error:  # whatever a library raises about damage is for the caller to report
        text = str(error).strip().splitlines()
        said = f"{type(error).__name__}{': ' + text[0] if text else ''}"
        return {"error": f"not a sound {request['what']} ({said})", "damaged": True}, {}
    return asdict(head) if is_dataclass(head) and not isinstance(head, type) else head, arrays


def _limit(max_bytes: int, cpu_s: int, file_bytes: int) -> None:
    """A file that makes a library grow or loop ends this process, not the machine."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    growth_bytes = DATA_BYTES + DATA_BYTES_PER_BYTE * file_bytes
    data_bytes = min(_data_bytes() + growth_bytes, max_bytes)
    # macOS refuses both, whatever the bytes (CPython issue 78783); time stays bounded there.
    if sys.platform != "darwin":
        resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))
        resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))
    used_s = math.ceil(time.process_time())
    resource.setrlimit(resource.RLIMIT_CPU, (used_s + cpu_s, used_s + cpu_s + 5))


def _data_bytes() -> int:
    """What this process holds in data already, where the system tells (Linux)."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData:")), 0)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Replays a DLPC900 batch file on paper and compares what it loads with the other files."""

import struct
from pathlib import Path

from cidesign.errors import FileError
from cidesign.files import read_limited

_MAX_BATCH_BYTES = 200_000_000
_MAX_CHUNK_BYTES = 504
_LOADERS = {"MASTER": "_primary", "SLAVE": "_secondary"}


def read_commands(text: str, where: str) -> list[tuple[str, bytes]]:
    """The commands of a batch file: `DESCRIPTOR: 0x.. 0x..` a line."""
    commands = []
    for number, line in enumerate(text.splitlines(), start=1):
        name, _, values = line.partition(":")
        words = values.split()
        try:
            if any(len(word) != 4 or word[:2] != "0x" for word in words):
                raise ValueError(line[:60])
            commands.append((name, bytes(int(word, 16) for word in words)))
        except ValueError as error:
            raise FileError(f"{where}: line {number} is not `DESCRIPTOR: 0x.. 0x..`") from error
    return commands


def check_batch(path: Path, table: bytes, images: list[int]) -> None:
    """Raise `FileError` unless the batch loads exactly the table and the image files, in the order that works.

    Stop, mode 3, the table, its configuration, the images from the highest index down, the configuration again.
    """
    commands = read_commands(read_limited(path, "batch file", _MAX_BATCH_BYTES).decode("ascii", "replace"), str(path))
    loads = [(name, data) for name, data in commands if name.startswith("PATMEM_LOAD_")]
    others = [(name, data) for name, data in commands if not name.startswith(("PATMEM_LOAD_", "DELAY"))]
    configuration = ("PAT_CONFIG", struct.pack("<HI", len(table) // 12, 0))
    entries = [("MBOX_DATA", table[at : at + 12]) for at in range(0, len(table), 12)]
    wanted = [("PAT_START_STOP", b"\0"), ("DISP_MODE", b"\3"), *entries, configuration, configuration]
    if others != wanted or commands[-1] != configuration or commands[len(commands) - len(loads) - 2] != configuration:
        raise FileError(f"{path}: stop, mode, table and configuration are not those of lut.bin, in their order")
    found = _loaded(path, loads)
    if [image for image, _ in found] != sorted((image for image, _ in found), reverse=True):
        raise FileError(f"{path}: images are not loaded from the highest index down")
    for (image, ending), content in found.items():
        names = [*path.parent.glob(f"*_{image:02d}{ending}.spld"), *path.parent.glob(f"*_{image:02d}.spld")]
        if len(names) != 1 or content != read_limited(names[0], "image", _MAX_BATCH_BYTES):
            raise FileError(f"{path}: image {image} {ending.strip('_')} is not the one in its own file")
    if {image for image, _ in found} != set(images):
        raise FileError(f"{path}: loads {len(found)} image parts, which are not the {len(images)} images of the table")


def _loaded(path: Path, loads: list[tuple[str, bytes]]) -> dict[tuple[int, str], bytes]:
    """The image parts that the load commands put together: (image, ending of its file) -> content."""
    found: dict[tuple[int, str], bytes] = {}
    parts: list[bytes] = []
    waiting, current = 0, ""
    for name, data in loads:
        action, _, controller = name.removeprefix("PATMEM_LOAD_").partition("_")
        if controller not in _LOADERS:
            raise FileError(f"{path}: {name[:40]!r} is no command of this controller")
        if action == "INIT" and len(data) == 6 and not waiting:
            image, waiting = struct.unpack("<HI", data)
            key, parts, current = (image, _LOADERS[controller]), [], controller
        elif action == "DATA" and controller == current and 2 < len(data) <= _MAX_CHUNK_BYTES + 2:
            if int.from_bytes(data[:2], "little") != len(data) - 2 or len(data) - 2 > waiting:
                raise FileError(f"{path}: a data command of image {key[0]} has a wrong length")
            parts.append(data[2:])
            waiting -= len(data) - 2
            if not waiting:
                found[key] = b"".join(parts)
        else:
            raise FileError(f"{path}: {name} with {len(data)} bytes does not follow what came before")
    if waiting:
        raise FileError(f"{path}: {waiting} bytes of the last image are missing")
    return found

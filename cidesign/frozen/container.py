"""The outermost fields of an ONNX file (protocol buffers, https://protobuf.dev/programming-guides/encoding/): enough to
know what a file says of itself before any library parses it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from cidesign.errors import FileError
from cidesign.files import read_limited, sha256_bytes
from cidesign.frozen.record import KEY, OPERATORS, SCHEMA_VERSION, FrozenRecord
from cidesign.records import first_problem

# A message of protocol buffers has at most 2 GiB, and a graph of ours no tensors beside itself.
MAX_BYTES = 2**31 - 1
# Fields of ModelProto, StringStringEntryProto, GraphProto and TensorProto (onnx.proto3).
_GRAPH, _METADATA, _FUNCTIONS = 7, 14, 25
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_NODE, _INITIALIZER, _SPARSE, _EXTERNAL, _LOCATION = 1, 5, 15, 13, 14
_OPERATOR, _ATTRIBUTE, _DOMAIN = 4, 5, 7
# Fields of AttributeProto whose tensors, graphs and sparse tensors could lie elsewhere or hold other operators.
_HOLDING = {5, 6, 10, 11, 22, 23}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Contents(NamedTuple):
    """A file of a frozen decoder: all of it, and its record."""

    model: bytes
    record: FrozenRecord


def read_contents(path: Path) -> Contents:
    """Read a file and its record; raises `FileError` for one that is not a frozen decoder of ours, or was changed.

    Nothing but its outermost fields is looked at: the graph's digest, and that no tensor lies in another file.
    """
    model = read_limited(path, "frozen decoder", MAX_BYTES)
    try:
        fields = list(_fields(memoryview(model)))
        graphs = [value for number, value in fields if number == _GRAPH and isinstance(value, memoryview)]
        texts = [_entry(value) for number, value in fields if number == _METADATA and isinstance(value, memoryview)]
        ours = [value for key, value in texts if key == KEY]
        elsewhere = any(_lies_elsewhere(graph) for graph in graphs)
    except (ValueError, IndexError) as error:
        raise FileError(f"{path}: not a sound ONNX file ({error})") from error
    if len(graphs) != 1 or len(ours) != 1:
        raise FileError(
            f"{path}: not a decoder that cidesign wrote; make one with `cidesign export RUN --decoder onnx`"
        )
    record = _record(path, ours[0])
    if sha256_bytes(graphs[0]) != record.graph_sha256:
        raise FileError(f"{path}: its graph was changed after it was written (its digest does not fit)")
    if elsewhere or any(number == _FUNCTIONS for number, _ in fields):
        raise FileError(f"{path}: holds other operators, functions or files than a decoder of cidesign does")
    return Contents(model, record)


def graph_digest(model: bytes) -> str:
    """SHA-256 of the graph of a model, as it is serialised."""
    (graph,) = (value for number, value in _fields(memoryview(model)) if number == _GRAPH)
    if not isinstance(graph, memoryview):
        raise ValueError("the graph is no message")
    return sha256_bytes(graph)


def _record(path: Path, text: str) -> FrozenRecord:
    try:
        return FrozenRecord.model_validate_json(text)
    except ValidationError as error:
        raise FileError(
            f"{path}: its record is damaged or not of version {SCHEMA_VERSION} ({first_problem(error)}); export it "
            "again"
        ) from error


def _entry(message: memoryview) -> tuple[str, str]:
    parts = {number: bytes(value).decode() for number, value in _fields(message) if isinstance(value, memoryview)}
    return parts.get(_ENTRY_KEY, ""), parts.get(_ENTRY_VALUE, "")


def _lies_elsewhere(graph: memoryview) -> bool:
    """Whether a graph has a tensor in another file, or a node that could bring one along."""
    for number, part in _fields(graph):
        if number == _INITIALIZER and isinstance(part, memoryview):
            if any(inner == _EXTERNAL or (inner == _LOCATION and value != 0) for inner, value in _fields(part)):
                return True
        elif number == _SPARSE or (number == _NODE and not (isinstance(part, memoryview) and _is_ours(part))):
            return True
    return False


def _is_ours(node: memoryview) -> bool:
    """Whether a node is one of the plain operators, with numbers and words alone for attributes."""
    operator, domain = b"", b""
    for number, value in _fields(node):
        if not isinstance(value, memoryview):
            continue
        if number == _OPERATOR:
            operator = bytes(value)
        elif number == _DOMAIN:
            domain = bytes(value)
        elif number == _ATTRIBUTE and any(inner in _HOLDING for inner, _ in _fields(value)):
            return False
    return not domain and operator.decode(errors="replace") in OPERATORS


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The fields of a message by their numbers; raises `ValueError` where it is cut short."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == _BYTES:
            size, place = _varint(message, place)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"field {number} has the unknown type {kind}")
        if place + size > len(message):
            raise ValueError(f"field {number} is cut short")
        yield number, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number has more than 64 bits")

"""Reads raw data for `kspace_files`, in the bounded child process: their libraries can crash, hang or grow."""

import math
import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypedDict

import h5py
import numpy as np

from cidesign.calibration.mri.raw.flags import ISMRMRD_FLAGS
from cidesign.io.child import Arrays, Refused

MAX_READOUTS = 2_000_000
SHOWN_NAMES = 12
FASTMRI = "kspace"
# Columns (int64) of the table that goes with the samples, one row for each readout.
FIELDS = (
    "line", "partition", "average", "slice", "contrast", "phase", "repetition", "set", "samples", "channels",
    "centre_sample", "dwell_ps", "discard_pre", "discard_post", "encoding", "trajectory_dimensions", "measurement",
    "counter", "version", "channel_mask", "centre_line",
)  # fmt: skip
# A field of the header that should not change within an image, in mm or as a direction, begins so.
PLACE = "place."


class Request(TypedDict):
    """What of `path` is read; see `answer`."""

    path: str
    layout: Literal["hdf5", "twix"]
    max_bytes: int
    slice_index: int | None
    measurement: str | None


@dataclass(frozen=True)
class Measurement:
    """One measurement of a file: how many readouts of an image it has, and what can be said of it in a list."""

    name: str
    imaging: int
    text: str


@dataclass(frozen=True)
class TwixProtocol:
    """What Siemens' protocol says of a scan (MeasYaps, Meas); 0 where it says nothing.

    `gradient_us`: ramp up, flat top, ramp down of the readout gradient, when sampling begins, and for how long.
    """

    base_resolution: int
    phase_encoding_lines: int
    dimension: int
    trajectory: int
    multi_band_factor: int
    regrid_mode: int
    gradient_us: list[float] | None = None
    reference_scan_mode: int = 0


@dataclass(frozen=True)
class RawHead:
    """What goes with the samples.

    `chosen` is the measurement that was read, None where one has to be chosen; `slices` counts those of fastMRI's
    array, `xml` is the header of HDF5 layouts; `ended` and `protocol` are of twix, None elsewhere.
    """

    layout: Literal["fastmri", "ismrmrd", "twix"]
    measurements: list[Measurement] = field(default_factory=list)
    chosen: str | None = None
    slices: int = 1
    xml: str = ""
    ended: bool | None = None
    protocol: TwixProtocol | None = None


def answer(request: Request) -> tuple[RawHead, Arrays]:
    """Read `path` of `layout` hdf5 or twix, at most `max_bytes` of samples.

    `slice_index` chooses one of fastMRI's, `measurement` one of several in a file.  A head without arrays says what
    there is to choose from.
    """
    if request["layout"] == "twix":
        from cidesign.calibration.mri.raw.child_twix import read_twix

        return read_twix(request["path"], request["max_bytes"], request["measurement"])
    return _hdf5(request["path"], request["max_bytes"], request["slice_index"], request["measurement"])


def _hdf5(path: str, max_bytes: int, slice_index: int | None, measurement: str | None) -> tuple[RawHead, Arrays]:
    with h5py.File(path, "r") as stored:
        names: list[str] = []
        stored.visit(names.append)
        groups = {name or "/": stored[name] if name else stored for name in ["", *names]}
        raw = {name: group for name, group in groups.items() if isinstance(group, h5py.Group) and _is_raw(group)}
        whole = isinstance(stored.get(FASTMRI), h5py.Dataset)
        if whole and (measurement == FASTMRI or (not raw and measurement is None)):
            return _fastmri(stored, max_bytes, slice_index)
        if not raw and not whole:
            raise Refused(_nothing(names))
        described = [_described(name, raw[name]) for name in sorted(raw, key=by_number)]
        if whole:
            shape = " x ".join(map(str, stored[FASTMRI].shape))
            described.append(Measurement(FASTMRI, 1, f"an array of {shape}"))
        head = RawHead("ismrmrd", described)
        chosen = chosen_of(described, measurement)
        if chosen is None:
            return head, {}
        return replace(head, chosen=chosen, xml=_text(raw[chosen], "xml")), _ismrmrd(raw[chosen], max_bytes)


def by_number(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts dataset_2 before dataset_11."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", name)]


def chosen_of(described: list[Measurement], measurement: str | None) -> str | None:
    """The measurement that was asked for, or the only one with an image; None where that has to be chosen."""
    names = [one.name for one in described]
    if measurement is not None:
        return measurement if measurement in names else None
    images = [one.name for one in described if one.imaging]
    if len(names) == 1 or not images:
        return names[0]
    return images[0] if len(images) == 1 else None


def summary(imaging: int, lines: Any, samples: Any, channels: Any, protocol: str) -> str:
    """What can be said of a measurement in a list: its protocol, and its imaging readouts."""
    named = f"protocol {protocol}, " if protocol else ""
    if not imaging:
        return f"{named}no imaging readouts (noise or adjustment alone)"
    size = "/".join(str(value) for value in sorted(set(samples.tolist())))
    coils = "/".join(str(value) for value in sorted(set(channels.tolist())))
    return f"{named}{imaging} imaging readouts of lines {lines.min()} to {lines.max()}, {size} samples, {coils} coils"


def _described(name: str, group: Any) -> Measurement:
    heads = _heads(group)
    kinds = ISMRMRD_FLAGS.kinds(heads["flags"])
    imaging = ~kinds.noise & ~kinds.skip
    found = re.search(r"<(?:\w+:)?protocolName>([^<]{1,80})<", _text(group, "xml"))
    chosen = heads[imaging]
    text = summary(
        int(imaging.sum()), chosen["idx"]["kspace_encode_step_1"], chosen["number_of_samples"],
        chosen["active_channels"], found[1].strip() if found else "",
    )  # fmt: skip
    return Measurement(name, int(imaging.sum()), text)


def _nothing(names: list[str]) -> str:
    hint = ""
    if any(name.rsplit("/", 1)[-1] == "header" for name in names):
        hint = "; this is a series of reconstructed ISMRMRD images, not raw data"
    shown = ", ".join(names[:SHOWN_NAMES]) or "nothing"
    return f"holds neither ISMRMRD acquisitions nor `{FASTMRI}`, only {shown}{hint}"


def _is_raw(group: Any) -> bool:
    data = group.get("data")
    return isinstance(data, h5py.Dataset) and {"head", "data"} <= set(data.dtype.names or ()) and "xml" in group


def _fastmri(stored: Any, max_bytes: int, slice_index: int | None) -> tuple[RawHead, Arrays]:
    item = stored[FASTMRI]
    if item.is_virtual or item.external:
        raise Refused("the values of `kspace` lie in another file, which is not opened")
    if item.dtype.kind != "c" or item.ndim not in (2, 3, 4):
        raise Refused(
            f"`kspace` is {item.dtype} of shape {item.shape}; complex (slices, coils, readout, lines) is needed"
        )
    slices = item.shape[0] if item.ndim != 2 else 1
    head = RawHead("fastmri", slices=slices, xml=_text(stored, "ismrmrd_header"))
    if slice_index is None and slices > 1:
        return head, {}
    wanted = 0 if slice_index is None else slice_index
    if not 0 <= wanted < slices:
        return head, {}
    size_bytes = math.prod(item.shape) * item.dtype.itemsize // max(slices, 1)
    if size_bytes > max_bytes:
        raise Refused(f"a slice of `kspace` declares {size_bytes} bytes; at most {max_bytes} are read")
    k = np.asarray(item[wanted] if item.ndim != 2 else item[()], dtype=np.complex64)
    return head, {"kspace": np.ascontiguousarray(k if k.ndim == 3 else k[None])}


def _text(stored: Any, name: str) -> str:
    if name not in stored:
        return ""
    value = stored[name][()]
    value = value.flat[0] if getattr(value, "size", 0) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _heads(group: Any) -> Any:
    data = group["data"]
    if len(data) > MAX_READOUTS:
        raise Refused(f"declares {len(data)} acquisitions; at most {MAX_READOUTS} are read")
    if data.is_virtual or data.external:
        raise Refused("its acquisitions lie in another file, which is not opened")
    stored_bytes, declared_bytes = data.id.get_storage_size(), len(data) * data.dtype.itemsize
    if not data.id.get_create_plist().get_nfilters() and stored_bytes < declared_bytes:
        raise Refused(f"declares acquisitions of {declared_bytes} bytes, {stored_bytes} are stored")
    return data.fields("head")[()]


def _ismrmrd(group: Any, max_bytes: int) -> Arrays:
    data, heads = group["data"], _heads(group)
    counts = heads["number_of_samples"].astype(np.int64)
    sizes, placed = counts * heads["active_channels"], counts * heads["trajectory_dimensions"]
    declared_bytes = 8 * int(sizes.sum()) + 4 * int(placed.sum())
    if declared_bytes > max_bytes:
        raise Refused(f"declares {declared_bytes} bytes of samples; at most {max_bytes} are read")
    flat, trajectories = np.empty(int(sizes.sum()), dtype=np.complex64), [np.empty(0, dtype=np.float32)]
    position = 0
    for number, size in enumerate(sizes.tolist()):
        pairs = np.asarray(data[number]["data"], dtype=np.float32)
        if pairs.size != 2 * size:
            raise Refused(f"acquisition {number} holds {pairs.size // 2} samples, its header says {size}")
        flat[position : position + size] = pairs.view(np.complex64)
        position += size
        if placed[number]:
            trajectories.append(np.asarray(data[number]["traj"], dtype=np.float32).ravel())
            if trajectories[-1].size != placed[number]:
                raise Refused(
                    f"acquisition {number} holds {trajectories[-1].size} numbers of a trajectory, its header says "
                    f"{placed[number]}"
                )
    places = ("position", "read_dir", "phase_dir", "slice_dir", "patient_table_position")
    arrays = {PLACE + name: heads[name].astype(np.float64) for name in places}
    arrays["trajectory"] = np.concatenate(trajectories)
    return {**arrays, "table": _table(heads), "flags": heads["flags"].astype(np.uint64), "data": flat}


def _table(heads: Any) -> Any:
    """The columns `FIELDS` (R, columns) of ISMRMRD headers (R,)."""
    index = heads["idx"]
    # Which coils there are is only ever compared.
    _, masks = np.unique(heads["channel_mask"], axis=0, return_inverse=True)
    masks = np.where(heads["channel_mask"].any(axis=1), masks.reshape(-1) + 1, 0)
    columns = {
        "line": index["kspace_encode_step_1"],
        "partition": index["kspace_encode_step_2"],
        **{name: index[name] for name in ("average", "slice", "contrast", "phase", "repetition", "set")},
        **{name: heads[name] for name in ("discard_pre", "discard_post", "trajectory_dimensions", "version")},
        "samples": heads["number_of_samples"],
        "channels": heads["active_channels"],
        "centre_sample": heads["center_sample"],
        "dwell_ps": np.rint(1e6 * np.nan_to_num(heads["sample_time_us"].astype(np.float64), posinf=0, neginf=0)),
        "encoding": heads["encoding_space_ref"],
        "measurement": heads["measurement_uid"],
        "counter": heads["scan_counter"],
        "channel_mask": masks,
        "centre_line": np.zeros(len(heads)),
    }
    return np.stack([np.asarray(columns[name]).astype(np.int64) for name in FIELDS], axis=1)

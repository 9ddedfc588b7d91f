"""Reads raw data for `kspace_files`, in the bounded child process: their libraries can crash, hang or grow."""

import math
from typing import Any

from cidesign.io.child import Refused

MAX_READOUTS = 2_000_000
SHOWN_NAMES = 12


def answer(request: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read `path` of `layout` hdf5 or twix, at most `max_bytes` of samples; `slice_index` chooses one of fastMRI's."""
    if request["layout"] == "twix":
        return _twix(request["path"], request["max_bytes"])
    return _hdf5(request["path"], request["max_bytes"], request["slice_index"])


def _hdf5(path: str, max_bytes: int, slice_index: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
    import h5py

    with h5py.File(path, "r") as stored:
        if isinstance(stored.get("kspace"), h5py.Dataset):
            return _fastmri(stored, max_bytes, slice_index)
        names: list[str] = []
        stored.visit(names.append)
        for name in ["", *names]:
            group = stored[name] if name else stored
            if isinstance(group, h5py.Group) and _is_raw(group):
                return _ismrmrd(group, max_bytes)
        hint = ""
        if any(name.rsplit("/", 1)[-1] == "header" for name in names):
            hint = "; this is a series of reconstructed ISMRMRD images, not raw data"
        shown = ", ".join(names[:SHOWN_NAMES]) or "nothing"
        raise Refused(f"holds neither ISMRMRD acquisitions nor `kspace`, only {shown}{hint}")


def _is_raw(group: Any) -> bool:
    import h5py

    data = group.get("data")
    return isinstance(data, h5py.Dataset) and {"head", "data"} <= set(data.dtype.names or ()) and "xml" in group


def _fastmri(stored: Any, max_bytes: int, slice_index: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
    import numpy as np

    item = stored["kspace"]
    if item.is_virtual or item.external:
        raise Refused("the values of `kspace` lie in another file, which is not opened")
    if item.dtype.kind != "c" or item.ndim not in (2, 3, 4):
        raise Refused(
            f"`kspace` is {item.dtype} of shape {item.shape}; complex (slices, coils, readout, lines) is needed"
        )
    slices = item.shape[0] if item.ndim != 2 else 1
    head: dict[str, Any] = {"layout": "fastmri", "slices": slices, "xml": _text(stored, "ismrmrd_header")}
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


def _ismrmrd(group: Any, max_bytes: int) -> tuple[dict[str, Any], dict[str, Any]]:
    import numpy as np

    data = group["data"]
    if len(data) > MAX_READOUTS:
        raise Refused(f"declares {len(data)} acquisitions; at most {MAX_READOUTS} are read")
    stored_bytes, declared_bytes = data.id.get_storage_size(), len(data) * data.dtype.itemsize
    if not data.id.get_create_plist().get_nfilters() and stored_bytes < declared_bytes:
        raise Refused(f"declares acquisitions of {declared_bytes} bytes, {stored_bytes} are stored")
    heads = data.fields("head")[()]
    sizes = heads["number_of_samples"].astype(np.int64) * heads["active_channels"]
    if 8 * int(sizes.sum()) > max_bytes:
        raise Refused(f"declares {8 * int(sizes.sum())} bytes of samples; at most {max_bytes} are read")

    def flag(*numbers: int) -> Any:
        return sum((heads["flags"] >> np.uint64(number - 1)) & np.uint64(1) for number in numbers) > 0

    # Numbers of ismrmrd.h, from 1: noise; calibration alone (and not imaging), navigation, phase correction, feedback,
    # dummies, surface-coil and phase-stabilisation scans; reversed.
    index = heads["idx"]
    calibration_alone = flag(20) & ~flag(21)
    columns = (
        flag(19), calibration_alone | flag(23, 24, 26, 27, 28, 29, 30, 31), flag(22), index["kspace_encode_step_1"],
        index["kspace_encode_step_2"], index["average"], index["slice"], index["contrast"], index["phase"],
        index["repetition"], index["set"], heads["number_of_samples"], heads["active_channels"], heads["center_sample"],
        np.rint(1e6 * np.nan_to_num(heads["sample_time_us"].astype(np.float64), posinf=0, neginf=0)),
    )  # fmt: skip
    table = np.stack([column.astype(np.int64) for column in columns], axis=1)
    flat = np.empty(int(sizes.sum()), dtype=np.complex64)
    position = 0
    for number, size in enumerate(sizes.tolist()):
        pairs = np.asarray(data[number]["data"], dtype=np.float32)
        if pairs.size != 2 * size:
            raise Refused(f"acquisition {number} holds {pairs.size // 2} samples, its header says {size}")
        flat[position : position + size] = pairs.view(np.complex64)
        position += size
    return {"layout": "ismrmrd", "xml": _text(group, "xml")}, {"table": table, "data": flat}


def _twix(path: str, max_bytes: int) -> tuple[dict[str, Any], dict[str, Any]]:
    import numpy as np
    import twixtools  # type: ignore[import-untyped]

    scans = twixtools.read_twix(
        path, parse_pmu=False, parse_geometry=False, keep_syncdata=False, keep_acqend=True, verbose=False
    )
    blocks = []
    ended = False
    for scan in scans:
        ended = any(block.is_flag_set("ACQEND") for block in scan["mdb"])
        blocks += [(scan, block) for block in scan["mdb"] if not block.is_flag_set("ACQEND")]
    images = [number for number, (_, block) in enumerate(blocks) if block.is_image_scan()]
    if not images:
        raise Refused(f"holds no imaging readouts among {len(blocks)}")
    scan = blocks[images[-1]][0]
    kept = [
        (owner, block) for owner, block in blocks if block.is_flag_set("NOISEADJSCAN") or owner is scan
    ]  # noise may lie in an earlier scan of the file; other images are other measurements
    sizes = [int(block.mdh.SamplesInScan) * int(block.mdh.UsedChannels) for _, block in kept]
    if 8 * sum(sizes) > max_bytes or len(kept) > MAX_READOUTS:
        raise Refused(f"declares {8 * sum(sizes)} bytes of samples; at most {max_bytes} are read")
    table = np.array([_twix_row(owner, block) for owner, block in kept], dtype=np.int64)
    flat = np.empty(sum(sizes), dtype=np.complex64)
    position = 0
    with open(path, "rb") as stream:
        for (_, block), size in zip(kept, sizes, strict=True):
            block.fid = stream
            flat[position : position + size] = np.asarray(block.data).reshape(-1)
            position += size
    head = {"layout": "twix", "ended": ended, "centre_line": int(blocks[images[-1]][1].mdh.CenterLin)}
    for name in ("lBaseResolution", "lPhaseEncodingLines"):
        head[name] = int(scan["hdr"]["MeasYaps"]["sKSpace"][name])
    return head, {"table": table, "data": flat}


def _twix_row(scan: Any, block: Any) -> tuple[int, ...]:
    noise = block.is_flag_set("NOISEADJSCAN")
    dwell_ns = scan["hdr"].get("MeasYaps", {}).get("sRXSPEC", {}).get("alDwellTime", [0])[0]
    return (
        int(noise), int(not noise and not block.is_image_scan()), int(block.is_flag_set("REFLECT")), block.cLin,
        block.cPar, block.cAve, block.cSlc, block.cEco, block.cPhs, block.cRep, block.cSet,
        int(block.mdh.SamplesInScan), int(block.mdh.UsedChannels), int(block.mdh.CenterCol),
        int(float(dwell_ns) * 1000),
    )  # fmt: skip

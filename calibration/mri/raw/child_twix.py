"""Reads Siemens raw data (twix) for `kspace_child`, in the bounded child process."""

from dataclasses import replace
from typing import Any

import numpy as np

from cidesign.calibration.mri.raw.child import (
    FIELDS,
    MAX_READOUTS,
    PLACE,
    Measurement,
    RawHead,
    TwixProtocol,
    summary,
)
from cidesign.calibration.mri.raw.flags import SIEMENS_FLAGS
from cidesign.io.child import Arrays, Refused

# Ramp up, flat top, ramp down of the readout gradient, when sampling begins, and for how long.
REGRID_TIMES = (
    "alRegridRampupTime", "alRegridFlattopTime", "alRegridRampdownTime", "alRegridDelaySamplesTime",
    "aflRegridADCDuration",
)  # fmt: skip


def read_twix(path: str, max_bytes: int, measurement: str | None) -> tuple[RawHead, Arrays]:
    """The readouts of one scan of the file, the last with an image unless `measurement` (1, 2 ...) names another.

    Scanners store adjustments first and the image last.  Noise may lie in an earlier scan.
    """
    import twixtools  # type: ignore[import-untyped]

    scans = twixtools.read_twix(
        path, parse_pmu=False, parse_geometry=False, keep_syncdata=False, keep_acqend=True, verbose=False
    )
    ended = any(block.is_flag_set("ACQEND") for block in scans[-1]["mdb"]) if scans else False
    readouts = [[block for block in scan["mdb"] if not block.is_flag_set("ACQEND")] for scan in scans]
    described = [_described(str(n + 1), scan, readouts[n]) for n, scan in enumerate(scans)]
    head = RawHead("twix", described, ended=ended)
    images = [one.name for one in described if one.imaging]
    if not images:
        raise Refused(f"holds no imaging readouts among {sum(map(len, readouts))}")
    if measurement is not None and measurement not in images:
        return head, {}
    chosen = int(images[-1] if measurement is None else measurement) - 1
    kept = [
        (scan, block)
        for number, scan in enumerate(scans)
        for block in readouts[number]
        if number == chosen or block.is_flag_set("NOISEADJSCAN")
    ]  # other images are other measurements
    sizes = [int(block.mdh.SamplesInScan) * int(block.mdh.UsedChannels) for _, block in kept]
    if 8 * sum(sizes) > max_bytes or len(kept) > MAX_READOUTS:
        raise Refused(f"declares {8 * sum(sizes)} bytes of samples; at most {max_bytes} are read")
    flat = np.empty(sum(sizes), dtype=np.complex64)
    position = 0
    with open(path, "rb") as stream:
        for (_, block), size in zip(kept, sizes, strict=True):
            block.fid = stream
            flat[position : position + size] = np.asarray(block.data).reshape(-1)
            position += size
    arrays: Arrays = {
        "table": np.array([_row(scan, block) for scan, block in kept], dtype=np.int64),
        "flags": np.array([int(block.mdh.EvalInfoMask) for _, block in kept], dtype=np.uint64),
        "data": flat,
        **_places([block for _, block in kept]),
    }
    return replace(head, chosen=str(chosen + 1), protocol=_protocol(scans[chosen])), arrays


def _described(name: str, scan: Any, blocks: list[Any]) -> Measurement:
    kinds = SIEMENS_FLAGS.kinds(np.array([int(block.mdh.EvalInfoMask) for block in blocks], dtype=np.uint64))
    images = [block for block, no in zip(blocks, kinds.noise | kinds.skip, strict=True) if not no]
    lines, samples, channels = (
        np.array([int(value) for value in values], dtype=np.int64)
        for values in (
            (block.cLin for block in images),
            (block.mdh.SamplesInScan for block in images),
            (block.mdh.UsedChannels for block in images),
        )
    )
    protocol = str(scan["hdr"].get("MeasYaps", {}).get("tProtocolName", "")).strip('"')
    return Measurement(name, len(images), summary(len(images), lines, samples, channels, protocol))


def _protocol(scan: Any) -> TwixProtocol:
    yaps = scan["hdr"]["MeasYaps"]
    space = yaps["sKSpace"]
    times = [time for name in REGRID_TIMES if (time := _first(scan, name)) is not None]
    return TwixProtocol(
        base_resolution=int(space["lBaseResolution"]),
        phase_encoding_lines=int(space["lPhaseEncodingLines"]),
        dimension=int(space.get("ucDimension", 0) or 0),
        trajectory=int(space.get("ucTrajectory", 0) or 0),
        multi_band_factor=int(yaps.get("sSliceAcceleration", {}).get("lMultiBandFactor", 0) or 0),
        regrid_mode=int(_first(scan, "alRegridMode") or 0),
        gradient_us=times if len(times) == len(REGRID_TIMES) else None,
        # As a number or as hexadecimal text, by the version of the scanner.
        reference_scan_mode=int(str(yaps.get("sPat", {}).get("ucRefScanMode", 0) or 0), 0),
    )


def _first(scan: Any, name: str) -> float | None:
    """A number of the protocol's `Meas`, the first of several; None where there is none."""
    value = scan["hdr"].get("Meas", {}).get(name)
    value = value[0] if isinstance(value, list) and value else value
    return float(value) if isinstance(value, int | float) else None


def _row(scan: Any, block: Any) -> tuple[int, ...]:
    mdh = block.mdh
    channels = tuple(int(one.ChannelId) for one in block.channel_hdr or [])
    dwell_ns = scan["hdr"].get("MeasYaps", {}).get("sRXSPEC", {}).get("alDwellTime", [0])[0]
    row = {
        "line": block.cLin, "partition": block.cPar, "average": block.cAve, "slice": block.cSlc,
        "contrast": block.cEco, "phase": block.cPhs, "repetition": block.cRep, "set": block.cSet,
        "samples": mdh.SamplesInScan, "channels": mdh.UsedChannels, "centre_sample": mdh.CenterCol,
        "dwell_ps": float(dwell_ns) * 1000, "discard_pre": mdh.CutOff.Pre, "discard_post": mdh.CutOff.Post,
        # Noise has a number of its own scan; which channels there are is only ever compared.
        "measurement": mdh.MeasUID, "counter": mdh.ScanCounter,
        "channel_mask": hash(channels) & 0xFFFF_FFFF if channels else 0, "centre_line": mdh.CenterLin,
    }  # fmt: skip
    return tuple(int(row.get(name, 0)) for name in FIELDS)


def _places(blocks: list[Any]) -> Arrays:
    where = [block.mdh.SliceData.SlicePos for block in blocks]
    tables = [[getattr(block.mdh, f"PTABPos{axis}", 0) for axis in "XYZ"] for block in blocks]
    return {
        PLACE + "SlicePos": np.array([[one.Sag, one.Cor, one.Tra] for one in where], dtype=np.float64),
        PLACE + "Quaternion": np.array([list(block.mdh.SliceData.Quaternion) for block in blocks], dtype=np.float64),
        PLACE + "PTABPos": np.array(tables, dtype=np.float64),
    }

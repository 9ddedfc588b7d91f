"""ISMRMRD files from header fields and samples, written as bytes by the standard's table and by no library."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.mri.kspace import centred_fft, centred_ifft

COILS, LINES, SAMPLES = 2, 8, 32
RECORDED = 2 * SAMPLES
Complex = NDArray[np.complex64]
HEAD = np.dtype(
    [
        ("version", "<u2"), ("flags", "<u8"), ("measurement_uid", "<u4"), ("scan_counter", "<u4"),
        ("acquisition_time_stamp", "<u4"), ("physiology_time_stamp", "<u4", 3), ("number_of_samples", "<u2"),
        ("available_channels", "<u2"), ("active_channels", "<u2"), ("channel_mask", "<u8", 16), ("discard_pre", "<u2"),
        ("discard_post", "<u2"), ("center_sample", "<u2"), ("encoding_space_ref", "<u2"),
        ("trajectory_dimensions", "<u2"), ("sample_time_us", "<f4"), ("position", "<f4", 3), ("read_dir", "<f4", 3),
        ("phase_dir", "<f4", 3), ("slice_dir", "<f4", 3), ("patient_table_position", "<f4", 3),
        ("idx", [(name, "<u2") for name in ("kspace_encode_step_1", "kspace_encode_step_2", "average", "slice",
                                            "contrast", "phase", "repetition", "set", "segment")]
         + [("user", "<u2", 8)]),
        ("user_int", "<i4", 8), ("user_float", "<f4", 8),
    ]
)  # fmt: skip
RECORD = np.dtype([("head", HEAD), ("traj", h5py.vlen_dtype(np.float32)), ("data", h5py.vlen_dtype(np.float32))])
ENCODING = """<encoding>
<encodedSpace><matrixSize><x>{recorded}</x><y>{lines}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>400</x><y>200</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{samples}</x><y>{lines}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>200</x><y>200</y><z>5</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center>
</kspace_encoding_step_1>{limits}</encodingLimits><trajectory>{trajectory}</trajectory>{more}</encoding>"""


def encoding(lines: int = LINES, trajectory: str = "cartesian", limits: str = "", more: str = "") -> str:
    return ENCODING.format(
        recorded=RECORDED, samples=SAMPLES, lines=lines, last=lines - 1, centre=lines // 2, trajectory=trajectory,
        limits=limits, more=more,
    )  # fmt: skip


def header(*encodings: str, more: str = "") -> str:
    content = more + "".join(encodings or [encoding()])
    return f'<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">{content}</ismrmrdHeader>'


def kspace(seed: int = 5) -> Complex:
    """(coils, lines, recorded) of an image that lies in the middle half of the readout's field of view."""
    rng = np.random.default_rng(seed)
    image = np.zeros((COILS, LINES, RECORDED), dtype=np.complex64)
    values = rng.standard_normal((2, COILS, LINES, SAMPLES))
    image[:, :, SAMPLES // 2 : SAMPLES // 2 + SAMPLES] = values[0] + 1j * values[1]
    return centred_fft(image, (-2, -1))


def plain(k: Complex) -> Complex:
    """Without readout oversampling."""
    image = centred_ifft(k, (-1,))
    return centred_fft(image[..., SAMPLES // 2 : SAMPLES // 2 + SAMPLES], (-1,))


def readout(line: int, samples: Complex, flags: tuple[int, ...] = (), **changes: Any) -> tuple[Any, Complex]:
    """One acquisition; `flags` count from 1 as in ismrmrd.h."""
    head = np.zeros((), dtype=HEAD)
    head["version"], head["sample_time_us"] = 1, 5.0
    head["number_of_samples"], head["active_channels"] = samples.shape[1], len(samples)
    head["center_sample"] = samples.shape[1] // 2
    head["flags"] = sum(1 << (flag - 1) for flag in flags)
    head["idx"]["kspace_encode_step_1"] = line
    for name, value in changes.items():
        (head["idx"] if name in HEAD["idx"].names else head)[name] = value
    return head, samples


def scan(k: Complex | None = None, **changes: Any) -> list[tuple[Any, Complex]]:
    data = kspace() if k is None else k
    return [readout(line, data[:, line], scan_counter=line + 1, **changes) for line in range(data.shape[1])]


def write(path: Path, groups: dict[str, tuple[list[tuple[Any, Complex]], str]]) -> Path:
    with h5py.File(path, "w") as stored:
        for name, (acquisitions, xml) in groups.items():
            group = stored.create_group(name) if name != "/" else stored
            group["xml"] = xml
            table = group.create_dataset("data", (len(acquisitions),), dtype=RECORD)
            rows = np.zeros(len(acquisitions), dtype=RECORD)
            for number, (head, samples) in enumerate(acquisitions):
                rows["head"][number] = head
                rows["traj"][number] = np.zeros(0, np.float32)
                rows["data"][number] = np.ascontiguousarray(samples).view(np.float32).reshape(-1)
            table[:] = rows
    return path

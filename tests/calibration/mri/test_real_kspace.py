"""Raw data of real scanners, whole, cut short and with single fields changed."""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from cidesign.calibration.mri.raw.readers import read_kspace
from cidesign.errors import FileError, InputError

DATA = Path(__file__).parents[3].parent / "shared" / "data"


@pytest.mark.skipif(not DATA.is_dir(), reason="the sample data are not beside the repository")
class TestRealFiles:
    """Files of real scanners, read only."""

    def test_twix(self, tmp_path: Path) -> None:
        pytest.importorskip("twixtools", reason="the extra 'mri' is not installed")
        source = DATA / "mri" / "twix_gre.dat"
        raw = read_kspace(source)
        assert raw.k.shape == (2, 160, 160)
        assert raw.complete
        assert raw.oversampling == 2.0
        assert np.abs(raw.k).max(axis=(0, 2)).argmax() == 80
        with pytest.raises(FileError, match=r"unexpected lines .* outside 0 .. 127 \(--set matrix_lines"):
            read_kspace(source, matrix_lines=128)
        short = tmp_path / "short.dat"
        content = source.read_bytes()
        short.write_bytes(content[:-200_000])
        with pytest.raises(FileError, match="directory says 1656864 bytes, 1457344 are there"):
            read_kspace(short)
        damaged = tmp_path / "damaged.dat"
        damaged.write_bytes(content[:790_000] + bytes(20_000) + content[810_000:])
        with pytest.raises(FileError, match=r"damaged.dat"):
            read_kspace(damaged)

    def test_twix_cut_off_samples_and_sign_reversal(self, tmp_path: Path) -> None:
        twixtools = pytest.importorskip("twixtools", reason="the extra 'mri' is not installed")
        source = DATA / "mri" / "twix_gre.dat"
        header = twixtools.mdh_def.Scan_header
        content = bytearray(source.read_bytes())
        (scan,) = twixtools.read_twix(str(source), parse_pmu=False, parse_geometry=False, verbose=False)
        blocks = [block for block in scan["mdb"] if block.is_image_scan()]
        for block in blocks:
            at = block.mem_pos + header.CutOff.offset
            content[at : at + 2] = (12).to_bytes(2, "little")
            start = block.mem_pos + ctypes.sizeof(header) + ctypes.sizeof(twixtools.mdh_def.Channel_header)
            content[start : start + 12 * 8] = np.full(12, 1e3, np.complex64).tobytes()  # of the first coil
        (tmp_path / "cut.dat").write_bytes(content)
        raw, plain = read_kspace(tmp_path / "cut.dat"), read_kspace(source)
        assert "12 samples before and 0 after the signal of a readout set to 0" in raw.notes[0]
        assert np.abs(raw.k - plain.k).max() < 0.05 * np.abs(plain.k).max()
        at = blocks[0].mem_pos + header.EvalInfoMask.offset
        content[at + 2] |= 1 << 1  # bit 17
        (tmp_path / "signed.dat").write_bytes(content)
        with pytest.raises(FileError, match=r"flagged SIGNREV \(sign reversal\) \(mdh.EvalInfoMask\)"):
            read_kspace(tmp_path / "signed.dat")
        with pytest.raises(InputError, match=r"1 \(protocol gre, 160 imaging readouts .*; 2 is none of them"):
            read_kspace(source, measurement="2")

    def test_undersampled_array_is_recognised(self) -> None:
        with pytest.raises(FileError, match=r"already undersampled .* no fully sampled reference: metrics unavailable"):
            read_kspace(DATA / "mri" / "cartesian_ksp.npy")

    def test_image_series_and_bart(self) -> None:
        with pytest.raises(FileError, match="a series of reconstructed ISMRMRD images"):
            read_kspace(DATA / "formats" / "ismrmrd" / "image.h5")
        raw = read_kspace(DATA / "formats" / "bart" / "in.cfl")
        assert raw.k.shape == (2, 64, 64)
        assert np.unravel_index(np.abs(raw.k[0]).argmax(), (64, 64)) == (32, 32)

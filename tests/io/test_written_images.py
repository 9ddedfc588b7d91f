"""Images as other programs open them: read back by tifffile's own view of OME, by nibabel, and by two ENVI readers."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from cidesign.errors import InputError
from cidesign.io.envi import read_envi, write_envi
from cidesign.io.nifti import read_nifti, write_nifti
from cidesign.io.ome_tiff import write_ome_tiff

NM = [450.0, 512.5, 650.25]


def _image(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def test_an_image_is_ome_with_its_axes(tmp_path: Path) -> None:
    image = _image(5, 7)
    write_ome_tiff(tmp_path / "a.tiff", image)
    with tifffile.TiffFile(tmp_path / "a.tiff") as file:
        (series,) = file.series
        assert (file.is_ome, series.axes, series.shape, series.dtype) == (True, "YX", (5, 7), np.float32)
        np.testing.assert_array_equal(series.asarray(), image)
    first = (tmp_path / "a.tiff").read_bytes()
    write_ome_tiff(tmp_path / "a.tiff", image)
    assert (tmp_path / "a.tiff").read_bytes() == first


def test_a_cube_has_a_channel_for_each_wavelength(tmp_path: Path) -> None:
    cube = _image(3, 5, 7)
    write_ome_tiff(tmp_path / "a.tiff", cube, NM)
    with tifffile.TiffFile(tmp_path / "a.tiff") as file:
        (series,) = file.series
        assert (series.axes, series.shape) == ("CYX", (3, 5, 7))
        np.testing.assert_array_equal(series.asarray(), cube)
        described = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
    channels = described["Pixels"]["Channel"]
    assert [one["EmissionWavelength"] for one in channels] == NM
    assert {one["EmissionWavelengthUnit"] for one in channels} == {"nm"}
    assert [one["Name"] for one in channels] == ["450 nm", "512.5 nm", "650.25 nm"]
    with pytest.raises(InputError, match="2 wavelengths for an image of shape"):
        write_ome_tiff(tmp_path / "b.tiff", cube, NM[:2])


def test_a_cube_is_envi_for_our_reader(tmp_path: Path) -> None:
    cube = _image(3, 5, 7)
    write_envi(tmp_path / "a.hdr", cube, NM, (2, 1, 0), "a {cube}\nof bands")
    found = read_envi(tmp_path / "a.hdr")
    np.testing.assert_array_equal(found.values, cube)
    assert (found.wavelengths, found.unit, found.notes) == (tuple(NM), "Nanometers", ())
    with pytest.raises(InputError, match="2 wavelengths for a cube of 3 bands"):
        write_envi(tmp_path / "b.hdr", cube, NM[:2], (2, 1, 0), "")
    assert not (tmp_path / "b.hdr").exists()


def test_a_cube_is_envi_for_spectral_python(tmp_path: Path) -> None:
    spectral = pytest.importorskip("spectral")
    cube = _image(3, 5, 7)
    write_envi(tmp_path / "a.hdr", cube, NM, (2, 1, 0), "a cube")
    opened = spectral.open_image(str(tmp_path / "a.hdr"))
    np.testing.assert_array_equal(np.asarray(opened.load()), cube.transpose(1, 2, 0))
    assert opened.bands.centers == NM
    assert opened.metadata["default bands"] == ["3", "2", "1"]


def test_a_slice_is_nifti_the_right_way_round(tmp_path: Path) -> None:
    image = _image(5, 7)
    write_nifti(tmp_path / "a.nii", np.ascontiguousarray(image.T[:, :, None]), None)
    stored = nibabel.load(tmp_path / "a.nii")
    assert stored.shape == (7, 5, 1)
    assert (int(stored.header["qform_code"]), int(stored.header["sform_code"])) == (0, 0)
    np.testing.assert_array_equal(np.asarray(stored.dataobj)[:, :, 0].T, image)
    found = read_nifti(tmp_path / "a.nii")
    np.testing.assert_array_equal(found.slices, image[None])
    assert (found.plane, found.volumes) == (None, 1)

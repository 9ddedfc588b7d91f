"""Raw data and images of scanners that are not read: named for what they are, with what makes ISMRMRD of them."""

import re
from pathlib import Path
from typing import NamedTuple

from cidesign.errors import FileError


class _Vendor(NamedTuple):
    """`names`: what the whole name of a file, in lower case, looks like."""

    what: str
    names: str
    instead: str


_IMAGES = "these are images, not raw data; export the raw data of the scan"
_VENDORS = (
    _Vendor("a GE P-file", r"p\d+\.7|.*\.7", "make ISMRMRD of it with ge_to_ismrmrd (GE's Orchestra)"),
    _Vendor("a GE ScanArchive", r"scanarchive.*\.h5", "make ISMRMRD of it with ge_to_ismrmrd (GE's Orchestra)"),
    _Vendor("Philips raw data (.data, .list)", r".*\.(data|list)", "make ISMRMRD of the .raw/.lab/.sin of the scan"),
    _Vendor(
        "Philips raw data (.raw, .lab, .sin)", r".*\.(raw|lab|sin)", "make ISMRMRD of them with philips_to_ismrmrd"
    ),
    _Vendor("Philips complex images (.cpx)", r".*\.cpx", _IMAGES),
    _Vendor("Philips images (PAR/REC)", r".*\.(par|rec)", _IMAGES),
    _Vendor("Bruker raw data", r"fid|ser|rawdata\.job\d+", "make ISMRMRD of them with bruker_to_ismrmrd"),
    _Vendor("DICOM images", r".*\.(dcm|ima|dicom)", _IMAGES),
    _Vendor("NIfTI images", r".*\.(nii|nii\.gz)", _IMAGES),
)
# A folder with this file in it.
_FOLDERS = {
    "acqp": _Vendor("a folder of Bruker raw data", "", "make ISMRMRD of it with bruker_to_ismrmrd"),
    "procpar": _Vendor("a folder of Agilent/Varian raw data", "", "make ISMRMRD of it, or a NumPy array (kspace)"),
}


def refuse_other_vendors(path: Path, readable: str) -> None:
    """Raise `FileError` for a file or folder of a vendor whose raw data are not read; `readable`: what is."""
    found = next((one for one in _VENDORS if re.fullmatch(one.names, path.name.lower())), None)
    if path.is_dir():
        found = next((one for name, one in _FOLDERS.items() if (path / name).is_file()), None)
    if found is not None:
        raise FileError(f"{path}: {found.what}, not read: {found.instead}; read are {readable}")

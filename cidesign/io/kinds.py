"""What kind of file a file is: by its suffix, and by its first bytes where people give such files none."""

from pathlib import Path

from cidesign.io.dicom import is_dicom
from cidesign.io.idx import is_idx

IDX, DICOM = ".idx", ".dcm"
# What has a suffix of these is that, whatever it begins with.
DOUBLE = (".nii.gz",)


def suffix_of(path: Path, known: tuple[str, ...]) -> str:
    """The suffix of a file in small letters, if it is one of `known`; `.idx` and `.dcm` also for files of other names.

    `.nii.gz` is one suffix.  A file of none of them has its own suffix, or "".
    """
    double = "".join(path.suffixes[-2:]).lower()
    if double in DOUBLE:
        return double
    suffix = path.suffix.lower()
    if suffix in known:
        return suffix
    if IDX in known and is_idx(path):
        return IDX
    return DICOM if DICOM in known and is_dicom(path) else suffix

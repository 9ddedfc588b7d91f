"""What is said where pydicom is not installed."""

import sys

import pytest

from cidesign.io import dicom_child
from cidesign.io.child import Refused


def test_without_pydicom_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(Refused, match=r"pip install 'cidesign\[dicom\]'"):
        dicom_child.answer({"path": "x.dcm"})

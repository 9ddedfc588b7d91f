"""What every calibration is: whether it fits a capture, what it makes of its readings, and the operator it found."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from cidesign.calibration.circumstances import Circumstances
from cidesign.calibration.folder import CommonRecord
from cidesign.calibration.verify import Verification, require_passed
from cidesign.checks import Check
from cidesign.errors import FileError, InputError

_Record = TypeVar("_Record", bound=CommonRecord)
_Capture = TypeVar("_Capture", bound="Recorded")
_Design = TypeVar("_Design", bound="Designed")
_Measured = TypeVar("_Measured")


class Recorded(Protocol):
    """A capture of any modality."""

    @property
    def path(self) -> Path:
        """Where it was read from."""


class Designed(Protocol):
    """A design of any device."""

    @property
    def profile_digest(self) -> str:
        """That of the device it is for."""


class LinearOperator(ABC):
    """y = A x on NumPy arrays and, as they are, on tensors (without gradient); leading dimensions are a batch.

    Images are (..., *image_shape), readings (..., *reading_shape).  Raises `InputError` for other shapes.
    """

    image_shape: tuple[int, ...]
    reading_shape: tuple[int, ...]

    @abstractmethod
    def _forward(self, x: NDArray[Any]) -> NDArray[Any]:
        """Images (B, *image_shape) to readings (B, *reading_shape)."""

    @abstractmethod
    def _adjoint(self, y: NDArray[Any]) -> NDArray[Any]:
        """Readings to images."""

    def A(self, x: Any) -> Any:
        """The readings of images, without noise."""
        return _applied(self._forward, x, self.image_shape, self.reading_shape, "images")

    def A_adjoint(self, y: Any) -> Any:
        """The adjoint: <A x, y> = <x, A_adjoint y>."""
        return _applied(self._adjoint, y, self.reading_shape, self.image_shape, "readings")


def _applied(
    function: Callable[[NDArray[Any]], NDArray[Any]],
    values: Any,
    shape: tuple[int, ...],
    other: tuple[int, ...],
    what: str,
) -> Any:
    array = values if isinstance(values, np.ndarray) else np.asarray(_on_host(values))
    batch = array.shape[: array.ndim - len(shape)]
    if array.shape != (*batch, *shape):
        raise InputError(f"{what} of shape {array.shape}: the operator takes (..., {', '.join(map(str, shape))})")
    found = function(array.reshape(-1, *shape)).reshape(*batch, *other)
    # A tensor gives one of its own kind on its own device; no library of tensors is needed for it.
    return values.new_tensor(found) if hasattr(values, "new_tensor") else found


def _on_host(values: Any) -> Any:
    return values.detach().cpu().numpy() if hasattr(values, "detach") else values


@dataclass(frozen=True)
class Examined(Generic[_Measured]):
    """A capture that was held against a calibration, before anything is measured from it.

    `verification`: what was looked at; `notes`: what can only be remarked; `same`: the capture is the one that was
    calibrated.  `measure` converts the readings, and says what was looked at meanwhile.
    """

    verification: Verification
    measure: Callable[[], tuple[_Measured, list[Check]]]
    notes: tuple[str, ...] = ()
    same: bool = False


@dataclass(frozen=True)
class Calibration(ABC, Generic[_Record, _Capture, _Design, _Measured]):
    """A calibration folder that was read; `design`: that of the run it was opened with, where one was named."""

    path: Path
    record: _Record
    design: _Design | None = field(default=None, kw_only=True)

    @property
    def verification(self) -> Verification:
        """What it was checked against."""
        return self.record.verification

    @property
    def circumstances(self) -> Circumstances:
        """What captures must share with it."""
        return self.record.circumstances

    @property
    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """What is said with every result."""

    @property
    @abstractmethod
    def size(self) -> tuple[int, ...]:
        """The size of the images that were calibrated."""

    @abstractmethod
    def size_of(self, design: _Design) -> tuple[int, ...]:
        """The size of the images of a design, to be compared with `size`."""

    def require_fitting(self, design: _Design) -> None:
        """Raise `FileError` for a design of another device or another size."""
        if self.record.profile_digest != design.profile_digest:
            raise FileError(
                f"{self.path}: profile {self.record.profile_digest[:12]} was calibrated, the run is for profile "
                f"{design.profile_digest[:12]}; calibrate with a capture of this device"
            )
        if self.size != self.size_of(design):
            raise FileError(
                f"{self.path}: a field of {self.size} was calibrated, the run has {self.size_of(design)}; calibrate "
                "with this run"
            )

    @abstractmethod
    def examine(self, capture: _Capture, design: _Design) -> Examined[_Measured]:
        """Hold a capture against the calibration; raises `FileError` for one that does not fit it at all."""

    def accepts(self, capture: _Capture, design: _Design) -> list[Check]:
        """Whether the calibration still describes the bench that a capture comes from."""
        return self.examine(capture, design).verification.checks

    def measurements(self, capture: _Capture, design: _Design, accept_failed: bool = False) -> _Measured:
        """The readings of a capture in units of y = A x; raises `LimitError` where a check failed."""
        examined = self.examine(capture, design)
        require_passed(capture.path, examined.verification, accept_failed)
        return examined.measure()[0]

    @abstractmethod
    def operator_for(self, design: _Design) -> LinearOperator:
        """The calibrated operator of a design."""

    @property
    def operator(self) -> LinearOperator:
        """The calibrated operator of the design that it was opened with; raises `InputError` where none is known."""
        if self.design is None:
            raise InputError(f"{self.path}: a calibration is of a bench; name the run whose design the operator is of")
        return self.operator_for(self.design)


AnyCalibration = Calibration[Any, Any, Any, Any]

"""What is asked of a 3-D scan of points."""

from dataclasses import dataclass
from typing import ClassVar, get_args

from cidesign.errors import InputError
from cidesign.export.mri.points.order import PointOrder
from cidesign.export.mri.protocol import Protocol

MAX_SEGMENTS = 65_536
# At small angles the pulse excites half as much at the edge of its slab, and a tenth at 1.16 of its width.
SLAB_MARGIN = 1.2


@dataclass(frozen=True, kw_only=True)
class PointsProtocol(Protocol):
    """A 3-D spoiled gradient echo: a slab is excited, and each excitation measures one point (ky, kz).

    `partition_fov_mm` is the field of view across the slab (None: `SLAB_MARGIN` slabs); what is excited beyond it folds
    in.
    `segments` None: as many as make the mean jump between points the smallest.
    """

    kind: ClassVar[str] = "gre3d"
    # The edges of a slab are sharper than those of a slice: what is excited beyond the field of view folds in.
    time_bandwidth: ClassVar[float] = 12.0

    slab_thickness_mm: float
    partition_fov_mm: float | None = None
    order: PointOrder = "segments"
    segments: int | None = None

    def __post_init__(self) -> None:
        self._positive("slab_thickness_mm", optional=False)
        self._positive("partition_fov_mm", optional=True)
        super().__post_init__()
        if self.order not in get_args(PointOrder):
            raise InputError(f"protocol: order {self.order!r} is not one of {', '.join(get_args(PointOrder))}")
        if self.segments is not None and not 1 <= self.segments <= MAX_SEGMENTS:
            raise InputError(f"protocol: {self.segments} segments are outside 1..{MAX_SEGMENTS}")
        if self.depth_fov < self.slab_thickness_mm:
            raise InputError(
                f"protocol: partition_fov_mm {self.depth_fov:g} is less than the slab of {self.slab_thickness_mm:g} mm "
                f"that is excited, which would fold in; give at least {self.slab_thickness_mm:g}, or a thinner "
                "slab_thickness_mm"
            )

    @property
    def excited_mm(self) -> float:
        """The thickness of the slab."""
        return self.slab_thickness_mm

    @property
    def depth_fov(self) -> float:
        """The field of view across the slab, in mm."""
        return SLAB_MARGIN * self.slab_thickness_mm if self.partition_fov_mm is None else self.partition_fov_mm

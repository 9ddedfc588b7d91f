"""Sweeps of runs that train in a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cidesign.distill.given import GivenDesign
from cidesign.distill.run_folder import EpochReport, append_metrics
from cidesign.runs import write_record
from cidesign.sweep.folder import Sweep, place
from cidesign.sweep.point import Point
from cidesign.sweep.points import points_of
from cidesign.sweep.resolve import Asked, Resolver
from cidesign.sweep.spec import spec_of

BASE: dict[str, Any] = {
    "profile": "dlp4500", "side": 8, "patterns": 6, "images": 16, "validation_images": 8, "batch": 8, "channels": 4,
    "teacher_epochs": 1, "student_epochs": 1, "device": "cpu",
}  # fmt: skip


@pytest.fixture
def base() -> dict[str, Any]:
    """The settings of a tiny single-pixel run."""
    return dict(BASE)


@pytest.fixture
def write_point(make_record: Callable[..., Any]) -> Callable[..., None]:
    """Write the folder of a point as its training would, with scores after the epochs of its student.

    `write_point(sweep, point, [27.0, 27.5])`; each epoch took 4 s on 2 threads.
    """

    def write(sweep: Sweep, point: Point, scores: list[float], **record: Any) -> None:
        resolver = Resolver()
        asked = Asked(point.profile, point.preset, point.design, point.teacher, point.settings)
        fixed = None
        if point.fixed is not None:
            plain = {key: one for key, one in point.settings.items() if not key.endswith("_epochs")}
            designs = resolver.fixed_designs(resolver.resolved(asked._replace(settings=plain)))
            fixed = GivenDesign(point.fixed, designs[point.fixed])
        settings = resolver.resolved(asked, fixed=fixed).settings
        path = sweep.run_path(point)
        path.mkdir(parents=True)
        phases = [("teacher", 20.0)] * settings.teacher_epochs + [("student", score) for score in scores]
        assert len(scores) == settings.student_epochs
        for number, (phase, score) in enumerate(phases, 1):
            append_metrics(path, EpochReport(phase, number, number, 0.1, {"psnr_db": score}, 4.0 * number, 2))
        metrics = {"student_psnr_db": scores[-1], "student_ssim": 0.5, "teacher_psnr_db": 20.0}
        digest = f"{settings.seed:064x}"
        write_record(path, make_record(settings, None, **{"data_digest": digest, "metrics": metrics, **record}))

    return write


@pytest.fixture
def placed(tmp_path: Path, base: dict[str, Any]) -> Callable[..., Sweep]:
    """A sweep folder of the sections of a spec, of which nothing is trained."""

    def make(**sections: Any) -> Sweep:
        spec = spec_of({"base": base, **sections})
        return place(tmp_path / "sweep", spec, points_of(spec).points if spec.grid else ())

    return make

"""What a training takes is told before any image is drawn, and refused when it cannot fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cidesign.distill import needs
from cidesign.distill.checkpoint import Progress
from cidesign.distill.computing.ranks import ALONE
from cidesign.distill.computing.threads import Threads
from cidesign.distill.job import Interrupted, Listener, resume_run, start_run
from cidesign.distill.listening import Told
from cidesign.distill.loop import StepReport
from cidesign.distill.needs import Footprint, Needs, Pace, memories_of, needs_of, steps_left
from cidesign.errors import LimitError
from cidesign.models.decoder import Decoder, DecoderSettings
from cidesign.models.footprint import LiveBytes, decoding_bytes, training_bytes
from cidesign.testing.virtual_clock import VirtualClock

Make = Callable[..., Any]
MODALITIES = ("single-pixel", "cassi", "mri")


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Set what this process can have altogether."""

    def set_to(count: int | None) -> None:
        monkeypatch.setattr(needs, "free_bytes", lambda: count)
        monkeypatch.setattr(needs, "held_bytes", lambda: 0)

    return set_to


class _Hears(Listener):
    def __init__(self) -> None:
        self.heard: list[object] = []

    def needs(self, needs: Needs) -> None:
        self.heard.append(needs)

    def images(self, images: object) -> None:
        self.heard.append("images")

    def pace(self, pace: Pace) -> None:
        self.heard.append(pace)


def test_live_arrays_are_added_up_until_they_are_gone() -> None:
    x = torch.empty(250, device="meta")
    with LiveBytes() as found:
        a = x + 1
        b = a.view(10, 25) * 2  # a view is no array of its own
        assert (found.live, found.peak) == (2000, 2000)
        del a
        assert found.live == 1000
        b += 1
        assert (found.live, found.peak) == (1000, 2000)
        del b
    assert found.live == 0


def test_a_network_in_a_shorter_format_takes_half() -> None:
    x = torch.empty(250, device="meta")
    with LiveBytes(shorter=True) as found:
        kept = (x + 1, x.long())
    assert found.peak == 500 + 2000
    del kept


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_format_of_the_network_counts(modality: str, make_settings: Make, profile_of: Make) -> None:
    """Its features take half; indices of pooling stay."""
    network_bytes = {}
    for precision in ("float32", "bfloat16"):
        settings = make_settings(modality, precision=precision, channels=32)
        found = Footprint(settings, profile_of(modality))
        # The second phase is looked at as the first.
        network_bytes[precision] = [training_bytes(found.decoder, found.shape, 9, 100) for _ in range(2)]
    for longer, shorter in zip(*network_bytes.values(), strict=True):
        assert 0.45 < shorter / longer < 0.7


# The peak of a process that trains, in GB, by benchmarks/sizes/memory.py: two batches of the quick preset, one epoch.
MEASURED = [
    ("single-pixel", {"side": 32, "patterns": 102, "batch": 64}, 0.59),
    ("single-pixel", {"side": 64, "patterns": 410, "encoding": "offset", "batch": 64}, 0.93),
    ("single-pixel", {"side": 64, "patterns": 410, "encoding": "offset", "batch": 64, "ladder": ("real@4096",)}, 1.29),
    ("cassi", {"side": 64, "batch": 32}, 0.68),
    ("cassi", {"side": 128, "batch": 32}, 1.26),
    ("cassi", {"side": 64, "batch": 32, "channels": 64}, 1.12),
    ("mri", {"side": 64, "acquired": 16, "batch": 32}, 0.71),
    ("mri", {"side": 128, "acquired": 32, "batch": 32, "coils": 4}, 1.17),
    ("mri", {"side": 256, "acquired": 64, "batch": 32}, 2.56),
    ("mri", {"side": 128, "acquired": 32, "batch": 32, "precision": "float32"}, 1.28),
]


@pytest.mark.parametrize(("modality", "changes", "peak_gb"), MEASURED)
def test_what_is_said_is_what_was_measured(
    modality: str, changes: dict[str, Any], peak_gb: float, make_settings: Make, profile_of: Make
) -> None:
    values = {"channels": 16, "precision": "bfloat16", "weight_decoder": 0.0, "weight_encoder": 0.0, **changes}
    settings = make_settings(modality, **values, images=2 * values["batch"], validation_images=2 * values["batch"])
    said_gb = memories_of(Footprint(settings, profile_of(modality)))[0].needed_bytes / 1e9
    assert 0.8 < said_gb / peak_gb < 1.25


def test_what_the_backward_pass_needs_is_held_until_then() -> None:
    """A chain of n squares of N values keeps all of them; without gradients two are there at once."""

    class Squares(Decoder):
        def forward(self, y: Tensor, encoder: Any) -> Any:
            raise NotImplementedError

        def bottleneck(self, y: Tensor, encoder: Any) -> Tensor:
            raise NotImplementedError

    weight = torch.nn.Parameter(torch.ones((), device="meta"))
    x = torch.empty(1000, device="meta")
    peaks = {}
    for learning in (True, False):
        with torch.set_grad_enabled(learning), LiveBytes() as found:
            y = x * weight
            for _ in range(9):
                y = y.square()
            if learning:
                y.sum().backward()  # type: ignore[no-untyped-call]
        peaks[learning] = found.peak
        del y
    assert 40_000 <= peaks[True] <= 52_100
    assert peaks[False] == 8000


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("decoder", ["unet", "unrolled", "linear"])
def test_networks_of_every_kind_are_looked_at(
    modality: str, decoder: str, make_settings: Make, profile_of: Make
) -> None:
    settings = make_settings(modality, decoder=decoder)
    found = Footprint(settings, profile_of(modality))
    for work in (training_bytes, decoding_bytes):
        one, two, three = (work(found.decoder, found.shape, 9, batch) for batch in (100, 200, 300))
        # In proportion to the images, beside what is there once.
        assert 0 < two - one == pytest.approx(three - two, rel=0.02)
    if decoder != "linear":
        assert training_bytes(found.decoder, found.shape, 9, 2) > decoding_bytes(found.decoder, found.shape, 9, 2)


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_size_takes_its_memory(modality: str, make_settings: Make, profile_of: Make) -> None:
    """Twice the batch, twice the side, wider networks, more images: each takes more, and none has to be computed."""
    profile, settings = profile_of(modality), make_settings(modality, side=64, batch=16)

    def bytes_of(**changes: Any) -> int:
        changed = settings.changed(**changes)
        return memories_of(Footprint(changed, profile))[0].needed_bytes

    before = bytes_of()
    for changes in ({"batch": 160}, {"side": 256}, {"images": 10**7}, {"decoder_settings": {"channels": 32}}):
        assert bytes_of(**changes) > before
    assert bytes_of(images=10**7) > 10**7 * 64 * 64


def test_teachers_that_are_larger_than_the_student_count(make_settings: Make, profile_of: Make) -> None:
    small = Footprint(make_settings(side=128), profile_of("single-pixel")).training_bytes()
    large = Footprint(make_settings(side=128, ladder=("real@16384",)), profile_of("single-pixel")).training_bytes()
    # Weight, gradient and two moments of 16384 patterns.
    assert large > small + 4 * 4 * 16384 * 128**2


def test_a_size_that_cannot_fit_is_refused_before_images_are_drawn(
    make_settings: Make, profile_of: Make, there: Make, tmp_path: Path
) -> None:
    """Both numbers, and a batch that does fit."""
    settings, profile = make_settings("cassi", side=128, batch=256), profile_of("cassi")
    found = Footprint(settings, profile)
    there(memories_of(found.changed(batch=100))[0].needed_bytes)
    hears = _Hears()
    with pytest.raises(LimitError) as caught:
        start_run(tmp_path / "run", settings, profile, False, hears)
    text = str(caught.value)
    assert text.startswith("side 128, batch 256, images 96: training takes about ")
    assert "lower batch to 100, or side, images or channels" in text
    assert hears.heard == []
    assert list(tmp_path.iterdir()) == []
    there(memories_of(found.changed(batch=100))[0].needed_bytes - 1)
    with pytest.raises(LimitError, match="lower batch to 99,"):
        needs_of(settings, profile)
    there(10**9 // 2)
    with pytest.raises(LimitError, match="a batch of 1 does not fit either: lower side, images or channels"):
        needs_of(settings, profile)
    there(None)
    assert needs_of(settings, profile).memories[0].there_bytes is None


def test_a_design_that_is_given_has_the_size_that_it_has(make_settings: Make, profile_of: Make, there: Make) -> None:
    settings = make_settings(
        design="mine.npy", side=512, patterns=4000, teacher_epochs=0, weight_decoder=0.0, weight_encoder=0.0
    )
    # 4 GB of patterns, as built once more, and once more for the products of their Gram matrix; none of it learnt.
    there(15_000_000_000)
    assert 12.6e9 < needs_of(settings, profile_of("single-pixel")).memories[0].needed_bytes < 15e9
    there(2_000_000_000)
    with pytest.raises(LimitError, match=r"side 512, patterns 4000, batch 16.*does not fit either: lower images"):
        needs_of(settings, profile_of("single-pixel"))


def test_a_run_that_goes_on_is_not_told_to_change_its_settings(
    make_settings: Make, profile_of: Make, there: Make, tmp_path: Path
) -> None:
    class Stops(_Hears):
        def step(self, report: StepReport) -> None:
            raise Interrupted

    path = tmp_path / "run"
    with pytest.raises(Interrupted):
        start_run(path, make_settings(), profile_of("single-pixel"), False, Stops())
    before = {entry.name: entry.read_bytes() for entry in path.rglob("*") if entry.is_file()}
    there(1000)
    with pytest.raises(LimitError, match="keeps its settings: end other programs, or go on elsewhere"):
        resume_run(path, Listener())
    assert {entry.name: entry.read_bytes() for entry in path.rglob("*") if entry.is_file()} == before
    there(10**12)
    hears = _Hears()
    assert resume_run(path, hears).complete
    assert [type(one) for one in hears.heard] == [Needs, str, Pace]


def test_a_decoder_that_needs_numbers_is_not_guessed_at(
    make_settings: Make, profile_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counts(Decoder):
        settings_type = DecoderSettings

        def forward(self, y: Tensor, encoder: Any) -> Any:
            return float(y.sum())

        def bottleneck(self, y: Tensor, encoder: Any) -> Tensor:
            return y

    monkeypatch.setattr(needs, "build_decoder", lambda *words: Counts(1, (8, 8), DecoderSettings()))
    found = needs_of(make_settings(), profile_of("single-pixel"))
    assert found.memories == ()
    assert found.unknown is not None
    assert "the decoder unet does not tell it by its shapes" in found.unknown


def test_steps_and_epochs_of_all_phases(make_settings: Make, profile_of: Make) -> None:
    settings = make_settings(ladder=("real@12", "3-bit"), teacher_epochs=3, student_epochs=4, batch=10)
    found = needs_of(settings, profile_of("single-pixel"))
    assert (found.steps, found.epochs) == (7 * 9, 7)
    # Half a step's worth of evaluation, 32 images, after each epoch.
    assert steps_left(settings, 9, Progress("teacher-1")) == pytest.approx(7 * (9 + 1.6))
    assert steps_left(settings, 9, Progress("teacher-2", step=9)) == pytest.approx(5 * (9 + 1.6))
    assert steps_left(settings, 9, Progress("student", step=27)) == pytest.approx(9 + 1.6)


@pytest.mark.parametrize(("step_s", "told_at"), [(0.1, 5), (12.0, 2), (100.0, 1)])
def test_the_time_is_told_once_and_early(step_s: float, told_at: int, make_settings: Make) -> None:
    """After five steps, or as soon as twenty seconds have gone by."""
    settings, clock, hears = make_settings(), VirtualClock(), _Hears()
    threads = Threads([1], None, lambda: clock.now_us() / 1e6, lambda count: None)
    told = Told(settings, 6, hears, threads, ALONE, [])
    progress = Progress("teacher")
    for step in range(1, 12):
        with threads.step():
            clock.wait_us(round(1e6 * step_s))
        progress.step = step
        told.step(progress, StepReport("teacher", step, 12, 1.0, 1.0))
        assert len(hears.heard) == (step >= told_at)
    (pace,) = hears.heard
    assert isinstance(pace, Pace)
    assert pace.seconds_per_step == pytest.approx(step_s)
    assert pace.seconds_left == pytest.approx(step_s * (4 - told_at / 6) * (6 + 1))
    assert (pace.threads, pace.chosen) == (1, True)


def test_slow_first_steps_are_told_at_once_and_again_when_the_count_is_chosen(make_settings: Make) -> None:
    """Two threads beside other programs take 24 s a step, one takes 2 s."""
    settings, clock, hears, in_use = make_settings(threads=None), VirtualClock(), _Hears(), [0]
    threads = Threads([1, 2], None, lambda: clock.now_us() / 1e6, in_use.append)
    told, progress = Told(settings, 6, hears, threads, ALONE, []), Progress("teacher")
    for step in range(1, 12):
        with threads.step():
            clock.wait_us({1: 2_000_000, 2: 24_000_000}[in_use[-1]])
        progress.step = step
        told.step(progress, StepReport("teacher", step, 12, 1.0, 1.0))
    first, second = hears.heard
    assert isinstance(first, Pace)
    assert isinstance(second, Pace)
    assert (first.seconds_per_step, first.threads, first.chosen) == (24.0, 2, False)
    # Four steps each with two threads and one.
    assert second == Pace(pytest.approx(2.0 * (4 - 8 / 6) * 7), 2.0, 1, True)

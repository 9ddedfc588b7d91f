"""Which process this is, what is its part, and with what several cannot train."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from cidesign.distill import needs
from cidesign.distill.computing import threads
from cidesign.distill.computing.ranks import ALONE, Ranks, joined, world
from cidesign.distill.computing.threads import training_threads
from cidesign.distill.loop import generator_for
from cidesign.distill.needs import needs_of
from cidesign.distill.streams import Stream
from cidesign.errors import InputError, LimitError
from cidesign.run_settings import TrainingSettings

Make = Callable[..., TrainingSettings]
NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def _set(monkeypatch: pytest.MonkeyPatch, *values: str | None) -> None:
    for name, value in zip(NAMES, values, strict=True):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("count", "size"), [(7, 2), (8, 3), (3, 3), (64, 5)])
def test_parts_are_all_images_once_and_nearly_equal(count: int, size: int) -> None:
    parts = [list(range(count))[Ranks(rank, size).part(count)] for rank in range(size)]
    assert [image for part in parts for image in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert ALONE.part(count) == slice(0, count)


def test_torchrun_says_which_process_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, "5", "8", "1", "4")
    found = world()
    assert (found.rank, found.size, found.local, found.local_size) == (5, 8, 1, 4)
    assert not found.first


@pytest.mark.parametrize("values", [(None, None, None, None), ("0", "1", "0", "1"), (None, "1", None, None)])
def test_one_process_joins_nobody(values: tuple[str | None, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, *values)
    with joined() as ranks:
        assert ranks is ALONE
        assert not torch.distributed.is_initialized()
        ranks.require_same("anything", "text")
        assert ranks.of_first(True)
        tensor = torch.ones(3)
        assert ranks.sum(tensor) is tensor


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((None, "2", None, None), "WORLD_SIZE 2, RANK missing: start several processes with torchrun"),
        (("0", "2", None, None), "WORLD_SIZE 2, LOCAL_RANK missing"),
        (("one", "2", "0", "2"), "WORLD_SIZE 2, RANK one"),
        (("0", "two", "0", "2"), "WORLD_SIZE two, WORLD_SIZE two"),
    ],
)
def test_half_an_environment_is_refused(
    values: tuple[str | None, ...], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(monkeypatch, *values)
    with pytest.raises(InputError, match=text), joined():
        pytest.fail("joined nobody")


def test_what_several_cannot_train_with(make_settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = Ranks(1, 4, 1, 4)
    with pytest.raises(LimitError, match="batch 3: 4 processes share it, and each needs an image; start 3 at the most"):
        ranks.require(make_settings(batch=3))
    with pytest.raises(InputError, match="device cuda:1: 4 processes take one GPU each; use cuda"):
        ranks.require(make_settings(device="cuda:1"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(LimitError, match="4 processes on this machine, and it has 2 GPUs for them"):
        ranks.require(make_settings(device="cuda"))
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    Ranks(5, 8, 1, 2).require(make_settings(device="cuda"))
    assert taken == [1]
    ranks.require(make_settings(batch=4))
    ALONE.require(make_settings(batch=1, device="cuda:1"))


def test_each_needs_an_image_of_every_place(make_settings: Make, profile_of: Callable[[str], Any]) -> None:
    """16 places of a mask, and one step an epoch: each step looks at all of them."""
    settings = make_settings("cassi", side=24, crop=12, images=40, batch=40)
    profile = profile_of("cassi")
    assert needs_of(settings, profile, ranks=Ranks(0, 2, 0, 2)).steps == 4
    with pytest.raises(LimitError, match=r"batch 40: a step looks at 9 places .* raise batch to 45, or start 4 at"):
        needs_of(settings, profile, ranks=Ranks(0, 5, 0, 5))


def test_memory_is_shared_out(make_settings: Make, profile_of: Callable[[str], Any], monkeypatch: Any) -> None:
    """Each takes a part of a batch, of its part of the memory; what to lower is told for the whole batch."""
    monkeypatch.setattr(needs, "held_bytes", lambda: 0)
    settings, profile = make_settings(batch=64, side=32), profile_of("single-pixel")
    monkeypatch.setattr(needs, "free_bytes", lambda: 10**12)
    (alone,), (both,) = (needs_of(settings, profile, ranks=ranks).memories for ranks in (ALONE, Ranks(0, 2, 0, 2)))
    assert both.there_bytes == 10**12 // 2
    assert both.needed_bytes < alone.needed_bytes
    assert both == needs_of(settings.changed(batch=32), profile).memories[0]._replace(there_bytes=10**12 // 2)
    monkeypatch.setattr(needs, "free_bytes", lambda: 2 * both.needed_bytes - 2_000_000)
    with pytest.raises(LimitError, match=r"batch 32.* in each of 2 processes: .*; lower batch to [3-6][02468],"):
        needs_of(settings, profile, ranks=Ranks(0, 2, 0, 2))


def test_processors_are_shared_out(make_settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "processors", lambda: 7)
    before = torch.get_num_threads()
    for size, wanted in ((2, 3), (3, 2), (8, 1)):
        with training_threads(make_settings(threads=None), ranks=Ranks(0, size, 0, size)) as found:
            assert found.counts == [wanted]
    with training_threads(make_settings(threads=1), ranks=Ranks(0, 2, 0, 2)) as found:
        assert found.counts == [1]
    assert torch.get_num_threads() == before
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    threads.require_processors(3, Ranks(0, 2, 0, 2))
    threads.require_processors(1, Ranks(0, 9, 0, 9))
    with pytest.raises(LimitError, match=r"threads 4: so many in each of 2 processes, and 7 can run at once .* use 3"):
        threads.require_processors(4, Ranks(0, 2, 0, 2))


def test_each_draws_its_own_noise(make_settings: Make) -> None:
    """The first one draws what a single process draws."""
    draws = [
        torch.rand(3, generator=generator_for(make_settings(), Stream.TRAINING_NOISE, "student", 4, *rank)).tolist()
        for rank in ((), (0,), (1,), (2,))
    ]
    assert draws[0] == draws[1]
    assert len({tuple(one) for one in draws}) == 3

"""The resumable state of a run: one safetensors file, replaced in one step."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cidesign.errors import FileError
from cidesign.files import Json, canonical_json, replacing_file, sha256_bytes
from cidesign.models.system import ImagingSystem
from cidesign.models.weights_file import bytes_of, write_tensors
from cidesign.runs import Run

FILE = Path("checkpoint") / "state.safetensors"


@dataclass
class Progress:
    """How far training is: steps done in the phase, the first task loss, the sum of losses in the current epoch,
    the length of the metrics file, the number of threads that was chosen (None: not yet), of a student's terms the
    log-variances that are learnt and the sums of losses and weights in the current epoch, and how many processes share
    each batch."""

    phase: str
    step: int = 0
    first_task_loss: float | None = None
    epoch_loss_sum: float = 0.0
    metrics_bytes: int = 0
    seconds: float = 0.0
    threads: int | None = None
    log_variances: dict[str, float] = field(default_factory=dict)
    epoch_terms: dict[str, float] = field(default_factory=dict)
    processes: int = 1


def save_checkpoint(
    run: Run,
    progress: Progress,
    system: ImagingSystem,
    teacher: ImagingSystem | None,
    optimiser: torch.optim.Optimizer,
) -> None:
    """Write everything that the next step depends on; random numbers are derived from the step and need no state."""
    tensors = _trained(system, optimiser)
    if teacher is not None and run.settings.teacher is None:  # of a stored one the run has its copy
        tensors |= {f"teacher.{name}": tensor for name, tensor in teacher.state_dict().items()}
    text = json.dumps(asdict(progress))
    metadata = {"run": _identity(run), "progress": text, "digest": _digest(text, tensors)}
    with replacing_file(run.path / FILE) as temporary:
        write_tensors(temporary, tensors, metadata)


def trained_digest(system: ImagingSystem, optimiser: torch.optim.Optimizer) -> str:
    """SHA-256 over the weights of a system and the state of its optimiser."""
    return _digest("", _trained(system, optimiser))


def _trained(system: ImagingSystem, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {f"system.{name}": tensor for name, tensor in system.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": tensor for name, tensor in state.items()}
    return tensors


def load_checkpoint(run: Run) -> tuple[Progress, dict[str, Tensor]] | None:
    """The last checkpoint of a run, or None before the first.

    Raises `FileError` for a checkpoint that is not as it was written, or that another run wrote.
    """
    path = run.path / FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as stored:
            metadata: dict[str, str] = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        owner, text, digest = metadata["run"], metadata["progress"], metadata["digest"]
    except KeyError as error:
        raise FileError(f"{path}: this checkpoint holds no {error}; start the run again with --force") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise FileError(f"{path}: this checkpoint is damaged ({error}); start the run again with --force") from error
    if _digest(text, tensors) != digest:
        raise FileError(
            f"{path}: this checkpoint is damaged (its content does not fit its digest); start the run again with "
            "--force"
        )
    if owner != _identity(run):
        raise FileError(
            f"{path}: this is the checkpoint of a run with other settings, images or profile than run.json names; put "
            "back this run's own, or start it again with --force"
        )
    return Progress(**json.loads(text)), tensors


def _identity(run: Run) -> str:
    """What decides the bits of a run, in one digest; a design or teacher that is given by its name and its content."""
    record = run.record
    parts = [run.settings_text, record.profile_digest, record.data_digest]
    if run.settings.design is not None:
        parts.append(str(record.design_digest))
    if run.settings.teacher is not None:
        parts.append(str(record.teacher_digest))
    return sha256_bytes(*(part.encode() for part in parts))


def _digest(progress: str, tensors: dict[str, Tensor]) -> str:
    names = sorted(tensors)
    described: list[Json] = [[name, str(tensors[name].dtype), list(tensors[name].shape)] for name in names]
    return sha256_bytes(progress.encode(), canonical_json(described), *(bytes_of(tensors[name]) for name in names))


def restore(
    tensors: dict[str, Tensor], system: ImagingSystem, teacher: ImagingSystem | None, optimiser: torch.optim.Optimizer
) -> None:
    """Put the tensors of a checkpoint into the systems and the optimiser."""
    try:
        system.load_state_dict(_part(tensors, "system."))
        if teacher is not None and (held := _part(tensors, "teacher.")):
            teacher.load_state_dict(held)
        weights = [weight for group in optimiser.param_groups for weight in group["params"]]
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _part(tensors, "optimiser.").items():
            index, key = name.split(".")
            # The fused optimiser walks weight and moments in memory order, so they must share their layout.
            same_layout = tensor if key == "step" else torch.empty_like(weights[int(index)]).copy_(tensor)
            states.setdefault(int(index), {})[key] = same_layout.detach()
        optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
    except (RuntimeError, ValueError, IndexError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise FileError(f"{FILE}: this checkpoint does not fit the run ({reason}); start again with --force") from error


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

"""The student of a single-pixel run as an ONNX file, told the designed or a calibrated operator once and for all."""

import base64
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from cidesign import __version__
from cidesign.calibration.single_pixel.record import SinglePixelCalibration
from cidesign.calibration.verify import require_passed
from cidesign.data.procedural import dead_leaves
from cidesign.errors import FileError, InputError, LimitError
from cidesign.files import replacing_file, sha256_file
from cidesign.frozen.container import graph_digest
from cidesign.frozen.record import KEY, OPSET, ORIENTATION, SCHEMA_VERSION, FrozenRecord, Parity
from cidesign.frozen.session import FrozenDecoder, open_decoder, session_of
from cidesign.modalities.single_pixel.encoder import SinglePixelEncoder, SquareImages
from cidesign.modalities.single_pixel.family import single_pixel_family
from cidesign.modalities.single_pixel.run import SinglePixelRun
from cidesign.modalities.single_pixel.solve import image_statistics
from cidesign.models.back_projection import BackProjectionUNet
from cidesign.models.decoder import Decoder
from cidesign.models.linear import Linear
from cidesign.models.onnx_graph import Frozen, onnx_model
from cidesign.models.system import load_student
from cidesign.models.unet import LinearThenUNet
from cidesign.pattern import PatternStack
from cidesign.reconstruct.fine_tuned import STUDENT_FILE, digests, load_decoder_for
from cidesign.records import now_utc

# Of images from 0 (no light) to 1 (white); rounding in single precision gives some 1e-5.
BOUND = 1e-4
SCENES, SEED = 6, 2**33
# Gains are differences of two estimates: of readings this large the mean level takes no digits.
PROBE = 1024.0
UNITS = "reflectance of the white reference (0 no light, 1 white), of readings y = phi x / n"


def freeze(run: SinglePixelRun, calibration: SinglePixelCalibration | None, path: Path) -> FrozenDecoder:
    """Write the decoder of a run, told the designed or a calibrated operator, as an ONNX file, and read it back.

    Raises `InputError` for a decoder that is no fixed graph, and `LimitError` for a calibration that failed, or a file
    that differs from the decoder by more than `BOUND`: none is left then.
    """
    if calibration is None:
        system = load_student(run)
        encoder, sha256 = cast(SinglePixelEncoder, system.encoder), None
    else:
        require_passed(calibration.path, calibration.verification, accept_failed=False)
        system = load_decoder_for(run, calibration.path)[0]
        encoder = cast(SinglePixelEncoder, single_pixel_family(run.design, calibration, "cpu").centre)
        sha256 = digests(run, calibration.path)[1]
    with torch.no_grad():
        model = onnx_model(frozen_parts(system.decoder, encoder, run.settings.decoder))
        y, wanted = _examples(system.decoder, encoder)
    graph = graph_digest(model.SerializeToString())
    prior = image_statistics(system)
    record = FrozenRecord(
        schema_version=SCHEMA_VERSION,
        kind="frozen-decoder",
        modality=run.settings.modality,
        cidesign_version=__version__,
        created_utc=now_utc(),
        run=str(run.known_as),
        decoder=run.settings.decoder,
        student_sha256=sha256_file(run.file(STUDENT_FILE)),
        design_digest=run.design.design_digest,
        calibration_sha256=sha256,
        calibration=None if calibration is None else str(calibration.path),
        units=UNITS,
        orientation=ORIENTATION,
        readings=run.design.count,
        side=run.design.side,
        opset=OPSET,
        graph_sha256=graph,
        parity=Parity(scenes=len(y), largest_difference=0.0, bound=BOUND),
        prior_level=prior.level,
        prior_variance=base64.b64encode(prior.variance.astype("<f8").tobytes()).decode(),
        design_npz=_design(run.design),
    )
    return _written(path, model, record, y, wanted)


def frozen_parts(decoder: Decoder, encoder: SinglePixelEncoder, name: str) -> Frozen:
    """The decoder as matrices and a network; raises `InputError` for one that is more than that."""
    if not isinstance(decoder, LinearThenUNet | Linear | BackProjectionUNet):
        raise InputError(
            f"--decoder onnx: the decoder {name} solves for its image in steps, or makes none; unet, linear and "
            "back-projection can be frozen. Reconstruct with the run"
        )
    probe = torch.eye(len(encoder.signed()))
    if isinstance(decoder, BackProjectionUNet):
        gain = encoder.back_projection(probe).flatten(1)
        return Frozen(gain, torch.zeros(gain.shape[1]), encoder.side, decoder.unet)
    estimator: SquareImages = encoder.estimator(decoder.prior)
    offset = estimator.estimate(torch.zeros(1, len(probe))).flatten()
    gain = (estimator.estimate(PROBE * probe).flatten(1) - offset) / PROBE
    if isinstance(decoder, Linear):
        return Frozen(gain, offset, encoder.side)
    return Frozen(gain, offset, encoder.side, decoder.unet, encoder.matrix())


def _examples(decoder: Decoder, encoder: SinglePixelEncoder) -> tuple[Tensor, Tensor]:
    """Noisy readings of asymmetric scenes that no training saw, and what the decoder makes of them."""
    scenes = torch.from_numpy(dead_leaves(SCENES, encoder.side, SEED)).float()[:, None] / 255
    # Brighter to the right and to the bottom, by different amounts: no flip, turn or transposition leaves them alike.
    down, right = torch.linspace(0.4, 0.7, encoder.side), torch.linspace(0.3, 1.0, encoder.side)
    y = encoder(scenes * down[:, None] * right, torch.Generator().manual_seed(1))
    return y, decoder.image(y, encoder)


def _written(path: Path, model: Any, record: FrozenRecord, y: Tensor, wanted: Tensor) -> FrozenDecoder:
    """The file, once what was read from disk gives what the decoder gives."""
    first = FrozenDecoder(path, record, session_of(model.SerializeToString(), path))
    found = _difference(first, y, wanted)
    parity = record.parity.model_copy(update={"largest_difference": found})
    record = record.model_copy(update={"parity": parity})
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, record.model_dump_json()
    with replacing_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        again = open_decoder(temporary)
        worst = _difference(again, y, wanted)
        if again.record != record:
            raise FileError(f"{path}: the record did not read back as written; is the disk sound?")
        if not worst <= BOUND:
            raise LimitError(
                f"{path}: images differ by {worst:.2g} from those of the run's decoder, more than {BOUND:g}; the file "
                "is not left. Reconstruct with the run"
            )
    return replace(again, path=path)


def _difference(frozen: FrozenDecoder, y: Tensor, wanted: Tensor) -> float:
    return float(np.abs(frozen(y.numpy()) - wanted[:, 0].numpy()).max())


def _design(design: PatternStack) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "design.npz"
        design.save(path)
        return base64.b64encode(path.read_bytes()).decode()

"""A linear estimate, and the U-Net behind it, as an ONNX graph: plain operators of opset 17, all tensors inside."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from cidesign.errors import InputError, LimitError
from cidesign.frozen.record import INPUT, IR_VERSION, OPSET, OUTPUT
from cidesign.models.unet import LEVELS, UNet

# A message of protocol buffers can hold 2 GiB; what a graph has beside its tensors is far below the rest.
MAX_TENSOR_BYTES = 2**31 - 2**24
Values = NDArray[Any]


@dataclass(frozen=True)
class Frozen:
    """x_0 = offset + y gain for y (B, K), offset (n*n,), gain (K, n*n); `network`: what is made of it.

    `matrix` A (K, n*n): the network's output c is a correction, and x_0 + c - (c A^T) gain the image; None: the image.
    """

    gain: Tensor
    offset: Tensor
    side: int
    network: UNet | None = None
    matrix: Tensor | None = None

    @property
    def tensor_bytes(self) -> int:
        """What the tensors take, in single precision."""
        tensors = [self.gain, self.offset, *([] if self.matrix is None else [self.matrix])]
        tensors += [] if self.network is None else list(self.network.parameters())
        return 4 * sum(one.numel() for one in tensors)


@dataclass
class _Graph:
    """Nodes and tensors, in the order in which they are used."""

    helper: Any
    nodes: list[Any] = field(default_factory=list)
    tensors: dict[str, Values] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, to: str | None = None, **attributes: Any) -> str:
        """A node with one output, whose name is given back."""
        name = to or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def tensor(self, values: Any) -> str:
        """A constant."""
        name = f"tensor_{len(self.tensors)}"
        array = values.detach().cpu().float().numpy() if isinstance(values, Tensor) else np.asarray(values)
        self.tensors[name] = np.ascontiguousarray(array)
        return name


def onnx_model(frozen: Frozen) -> Any:
    """The model (an `onnx.ModelProto`), checked by onnx; raises `LimitError` for more than one file can hold."""
    try:
        import onnx
        from onnx import helper, numpy_helper
    except ImportError as error:
        raise InputError(
            "--decoder onnx: onnx writes the file, and is not installed: pip install 'cidesign[onnx]'"
        ) from error
    if frozen.tensor_bytes > MAX_TENSOR_BYTES:
        raise LimitError(
            f"--decoder onnx: the frozen operator takes {frozen.tensor_bytes} bytes, an ONNX file holds at most "
            f"{MAX_TENSOR_BYTES}; reconstruct with the run, or design fewer patterns or super-pixels"
        )
    graph = _Graph(helper)
    _image(graph, frozen)
    kind, side = onnx.TensorProto.FLOAT, frozen.side
    made = helper.make_graph(
        graph.nodes,
        "decoder",
        [helper.make_tensor_value_info(INPUT, kind, ["batch", len(frozen.gain)])],
        [helper.make_tensor_value_info(OUTPUT, kind, ["batch", 1, side, side])],
        [numpy_helper.from_array(values, name) for name, values in graph.tensors.items()],
    )
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="cidesign"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _image(graph: _Graph, frozen: Frozen) -> None:
    shape = graph.tensor(np.array([-1, 1, frozen.side, frozen.side], np.int64))
    gain = graph.tensor(frozen.gain)
    first = graph.add("Add", graph.add("MatMul", INPUT, gain), graph.tensor(frozen.offset))
    if frozen.network is None:
        graph.add("Reshape", first, shape, to=OUTPUT)
        return
    made = _network(graph, frozen.network, graph.add("Reshape", first, shape), frozen.side)
    if frozen.matrix is None:
        graph.add("Identity", made, to=OUTPUT)
        return
    correction = graph.add("Reshape", made, graph.tensor(np.array([-1, frozen.side**2], np.int64)))
    seen = graph.add("MatMul", correction, graph.tensor(frozen.matrix.T))
    unseen = graph.add("Sub", correction, graph.add("MatMul", seen, gain))
    graph.add("Reshape", graph.add("Add", first, unseen), shape, to=OUTPUT)


def _network(graph: _Graph, network: UNet, image: str, side: int) -> str:
    """The U-Net, on an image whose size is made a multiple of 8 by repeating its last row and column."""
    missing = -side % 2 ** (LEVELS - 1)
    if missing:
        pads = graph.tensor(np.array([0, 0, 0, 0, 0, 0, missing, missing], np.int64))
        image = graph.add("Pad", image, pads, mode="edge")
    across = [_block(graph, network.down[0], image)]
    for block in list(network.down)[1:]:
        pooled = graph.add("MaxPool", across[-1], kernel_shape=[2, 2], strides=[2, 2])
        across.append(_block(graph, block, pooled))
    current, scales = across.pop(), graph.tensor(np.array([1, 1, 2, 2], np.float32))
    for block in network.up:
        larger = graph.add(
            "Resize", current, "", scales, mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )  # fmt: skip
        current = _block(graph, block, graph.add("Concat", larger, across.pop(), axis=1))
    made = _convolution(graph, network.last, current)
    if not missing:
        return made
    starts, ends, axes = (graph.tensor(np.array(values, np.int64)) for values in ([0, 0], [side, side], [2, 3]))
    return graph.add("Slice", made, starts, ends, axes)


def _block(graph: _Graph, block: nn.Module, image: str) -> str:
    for layer in block.children():
        image = _convolution(graph, layer, image) if isinstance(layer, nn.Conv2d) else graph.add("Relu", image)
    return image


def _convolution(graph: _Graph, layer: nn.Conv2d, image: str) -> str:
    size = layer.kernel_size[0]
    tensors = [graph.tensor(layer.weight), *([] if layer.bias is None else [graph.tensor(layer.bias)])]
    return graph.add("Conv", image, *tensors, kernel_shape=[size, size], pads=[size // 2] * 4)

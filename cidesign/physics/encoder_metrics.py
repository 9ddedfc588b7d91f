"""Figures of merit of the optics alone: of matrices, of operators, of masks and of line sets."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from torch import Tensor

from cidesign.errors import InputError, LimitError

Operator = Callable[[Tensor], Tensor]
Lines = NDArray[np.uint8] | NDArray[np.float64]
MAX_MATRIX_BYTES = 2_000_000_000
ZERO_SINGULAR_VALUE = 1e-6
BLOCK = 512
MAX_BLOCK_VALUES = 2**24


def operator_matrix(A: Operator, image_shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """The matrix (M, N) of a linear operator on images (B, C, H, W), N = C H W; column j is A e_j, flattened.

    Raises `LimitError` when it would take more than 2 GB.
    """
    pixels = math.prod(image_shape)
    values = A(torch.zeros(1, *image_shape, device=device)).numel()
    if 4 * values * pixels > MAX_MATRIX_BYTES:
        raise LimitError(
            f"operator of {values} values on {pixels} unknowns: its matrix would take {4e-9 * values * pixels:.1f} GB, "
            f"the limit is {MAX_MATRIX_BYTES / 1e9:g} GB; use a smaller image or the metrics of operators"
        )
    matrix = torch.empty(values, pixels, device=device)
    for columns, images in _unit_images(image_shape, device):
        matrix[:, columns] = A(images).detach().flatten(1).T.float()
    return matrix


def condition_number(matrix: Tensor) -> float:
    """kappa = sigma_max / sigma_min over the non-zero singular values of A (M, N); nan for a matrix of zeros.

    Values up to 1e-6 sigma_max count as zero: the entries were computed in single precision.
    """
    singular = torch.linalg.svdvals(matrix.detach().double())
    kept = singular[singular > ZERO_SINGULAR_VALUE * singular[0]]
    return float(kept[0] / kept[-1]) if len(kept) else math.nan


def column_coherence(matrix: Tensor) -> float:
    """Mutual coherence max_{i != j} |<a_i, a_j>| / (|a_i| |a_j|) over the columns of A (M, N), in [0, 1].

    Columns of zeros (pixels that no measurement sees) are left out; 0 when fewer than two columns remain.  The
    N x N products are formed in blocks of 512 columns.
    """
    norm = torch.linalg.vector_norm(matrix.detach().double(), dim=0)
    unit = (matrix.detach()[:, norm > 0].double() / norm[norm > 0]).float()
    largest = 0.0
    for first in range(0, unit.shape[1], BLOCK):
        # Later columns only: the products are symmetric.
        products = (unit[:, first : first + BLOCK].T @ unit[:, first:]).abs()
        products.fill_diagonal_(0)
        largest = max(largest, float(products.max()))
    return min(largest, 1.0)


def row_coherence(matrix: Tensor) -> float:
    """Mutual coherence of the rows of A (M, N): how far two measurements see the same, in [0, 1]."""
    return column_coherence(matrix.T)


def operator_coherence(
    A: Operator, A_adjoint: Operator, image_shape: tuple[int, int, int], device: torch.device
) -> float:
    """The column coherence of an operator that has no matrix, by A^T A e_j for every unknown j of (C, H, W).

    For N unknowns it applies A^T A to N unit images, so it suits sparse optics up to some 10^5 unknowns; real
    arithmetic, so complex channels count as separate unknowns.  In SD-CASSI with whole shifts it is 1 as soon as two
    open pixels of different bands fall on the same detector pixel, whatever the rest of the mask.
    """
    norms = [
        torch.linalg.vector_norm(A(images).detach().flatten(1), dim=1)
        for _, images in _unit_images(image_shape, device)
    ]
    norm = torch.cat(norms)
    scale = torch.where(norm > 0, 1 / norm, 0.0)
    largest = 0.0
    for columns, images in _unit_images(image_shape, device):
        products = A_adjoint(A(images)).detach().flatten(1).abs() * scale[columns, None] * scale
        products[torch.arange(len(images)), torch.arange(columns.start, columns.stop)] = 0
        largest = max(largest, float(products.max()))
    return min(largest, 1.0)


def _unit_images(shape: tuple[int, int, int], device: torch.device) -> Iterable[tuple[slice, Tensor]]:
    """All unit images of (C, H, W) in blocks: which ones, and the images (B, C, H, W)."""
    pixels = math.prod(shape)
    block = max(1, min(BLOCK, MAX_BLOCK_VALUES // pixels))
    for first in range(0, pixels, block):
        last = min(first + block, pixels)
        images = torch.zeros(last - first, pixels, device=device)
        images[torch.arange(last - first), torch.arange(first, last)] = 1
        yield slice(first, last), images.reshape(-1, *shape)


def band_correlation(cubes: Tensor) -> float:
    """Mean |Pearson correlation| between different bands of cubes (B, L, H, W), over pairs and cubes, in [0, 1].

    For A^T A x it tells how alike the bands look through the optics.  There every band carries the code itself, so only
    masks of the same open share compare: an open mask, which codes nothing, can be below a random one.  Pairs with a
    constant band have no correlation and are left out; nan when none remains.
    """
    flat = cubes.detach().double().flatten(2)
    centred = flat - flat.mean(dim=2, keepdim=True)
    norm = torch.linalg.vector_norm(centred, dim=2)
    varies = norm > 1e-6 * torch.linalg.vector_norm(flat, dim=2)
    unit = centred / torch.where(varies, norm, 1.0)[:, :, None]
    correlation = (unit @ unit.transpose(1, 2)).abs()
    pairs = (varies[:, :, None] & varies[:, None, :]).triu(diagonal=1)
    return float(correlation[pairs].mean()) if bool(pairs.any()) else math.nan


def line_density(lines: Lines, bins: int) -> NDArray[np.float64]:
    """The share of lines acquired at each distance from the centre of k-space, (bins,), centre first, in [0, 1].

    `lines` (N,) of 0 and 1, or of shares in [0, 1], with the centre at N // 2.  Bin b holds the distances |k - N // 2|
    from b (D + 1) / bins up to the next bin's, D = N // 2 the largest of them; nan where a bin holds no line.
    """
    distance = np.abs(np.arange(len(lines)) - len(lines) // 2)
    number = distance * bins // (len(lines) // 2 + 1)
    count = np.bincount(number, minlength=bins)
    acquired = np.bincount(number, weights=lines, minlength=bins)
    density = np.full(bins, math.nan)
    np.divide(acquired, count, out=density, where=count > 0)
    return density


class Spread(NamedTuple):
    """Side lobes of the point-spread function p = F^H m of lines or points, relative to p_0.

    `coherence` is the largest |p_j| / |p_0| at any j != 0 (Lustig et al. 2007), `side_lobe` the largest beyond the main
    lobe, which ends at the first minimum of |p|: a low-pass has a wide main lobe and low side lobes.
    """

    coherence: float
    side_lobe: float


def line_spread(lines: Lines) -> Spread:
    """The side lobes of a line set (N,) of 0 and 1, or of shares in [0, 1], with the centre at N // 2.

    Both are 0 when every line is acquired alike.  Raises `InputError` when no line is acquired.
    """
    if not lines.any():
        raise InputError("line set: no line is acquired, so there is no point-spread function; acquire at least one")
    spread = np.abs(np.fft.ifft(np.fft.ifftshift(lines.astype(np.float64))))
    # |p| is even, since m is real; rounding leaves some 1e-17 where it is zero.
    half = spread[: len(lines) // 2 + 1] / spread[0]
    half[half < 1e-12] = 0.0
    if len(half) == 1:
        return Spread(0.0, 0.0)
    rising = np.flatnonzero(np.diff(half) >= 0)
    beyond = half[rising[0] :] if len(rising) else np.zeros(1)
    return Spread(float(half[1:].max()), float(beyond.max()))


def point_spread(points: NDArray[np.uint8] | NDArray[np.float64]) -> NDArray[np.float64]:
    """|p| / |p_0| (H, W) of points (H, W) of 0 and 1, or of shares in [0, 1], both with the centre at H // 2, W // 2.

    Raises `InputError` when no point is acquired.
    """
    if not points.any():
        raise InputError("points: none is acquired, so there is no point-spread function; acquire at least one")
    spread = np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(points.astype(np.float64)))))
    spread /= spread[spread.shape[0] // 2, spread.shape[1] // 2]
    # Rounding leaves some 1e-17 where it is zero.
    spread[spread < 1e-12] = 0.0
    return spread


def spread_of_points(points: NDArray[np.uint8] | NDArray[np.float64]) -> Spread:
    """The side lobes of points (H, W): in two dimensions those beyond the main lobe are its local maxima but p_0.

    A local maximum is as large as its eight neighbours, around the edges of the image too.
    """
    spread = point_spread(points)
    peaks = spread == maximum_filter(spread, size=3, mode="wrap")
    centre = spread.shape[0] // 2, spread.shape[1] // 2
    peaks[centre] = False
    off = np.delete(spread, np.ravel_multi_index(centre, spread.shape))
    return Spread(float(off.max(initial=0.0)), float(spread[peaks].max(initial=0.0)))


def gradient_norms(loss_terms: Mapping[str, Tensor], parameters: Iterable[Tensor]) -> dict[str, float]:
    """|d term / d optics| for every loss term: the Euclidean norm over all `parameters` together.

    A term that does not depend on the optics has norm 0.  The graph is kept, so that a step can follow.
    """
    wanted = list(parameters)
    norms = {}
    for name, term in loss_terms.items():
        found = torch.autograd.grad(term, wanted, retain_graph=True, allow_unused=True) if term.requires_grad else ()
        squares = [float(gradient.double().square().sum()) for gradient in found if gradient is not None]
        norms[name] = math.sqrt(sum(squares))
    return norms

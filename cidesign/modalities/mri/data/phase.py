"""The phase of MR images: what shim, timing and coils leave in them, and the field of the air in and beside the body.

A spin echo has the smooth phase of the first alone.  A gradient echo shows the field too: air differs from tissue in
its susceptibility by 9 ppm, and where they meet the phase is steep, at strengths that reach from hardly any to several
turns: lines that are left out because the phase is taken to be smooth (partial Fourier) are missed there.
"""

import numpy as np
from numpy.typing import NDArray

from cidesign.modalities.mri.data.fields import Plane, smooth_field, window
from cidesign.modalities.mri.settings import Echo

# Standard deviation of the polynomial phase at the border of the field of view: x, y, x^2, xy, y^2.
PHASE_RAD = np.array([1.2, 1.2, 0.8, 0.8, 0.8])
# Of the slices, the part of gradient echoes.
GRADIENT_PARTS: dict[Echo, float] = {"spin": 0.0, "any": 0.5, "gradient": 1.0}
# Their strengths are drawn evenly in the logarithm: rad of a body in air along the field (half of 9 ppm at 3 T and an
# echo time of 0.3 to 15 ms, less what shim takes), and at the centre of a source beside the slice.
BODY_RAD, SOURCE_RAD = (1.0, 20.0), (1.0, 12.0)
MOST_SOURCES = 3
# Air is where the signal is below this part of the brightest pixel.
AIR = 0.1


def smooth_phase(rng: np.random.Generator, field: Plane, side: int) -> Plane:
    """A smooth phase (side, side) in rad: a polynomial of second order and a window of a random `field`."""
    y, x = _places(side)
    a, b, c, d, e = (rng.normal(0, 1, 5) * PHASE_RAD).astype(np.float32)
    polynomial = a * x + b * y + c * x * x + d * x * y + e * y * y
    bend = np.float32(rng.uniform(0.1, 0.8)) * window(rng, field, side)
    phase: Plane = polynomial + bend + np.float32(rng.uniform(0, 2 * np.pi))
    return phase


def is_gradient_echo(rng: np.random.Generator, echo: Echo) -> bool:
    """Whether a slice is that of a gradient echo."""
    return bool(rng.random() < GRADIENT_PARTS[echo])


def air_phase(rng: np.random.Generator, magnitude: Plane) -> Plane:
    """What the field of air adds to the phase (n, n) in rad of a magnitude (n, n) of at most 1."""
    y, x = _places(len(magnitude))
    phase = np.float32(_strength(rng, BODY_RAD)) * body_field(magnitude, rng.uniform(0, np.pi))
    for _ in range(rng.integers(0, MOST_SOURCES + 1)):
        phase += np.float32(_strength(rng, SOURCE_RAD)) * _source(rng, x, y)
    return phase


def _places(side: int) -> tuple[Plane, Plane]:
    at = np.linspace(-1, 1, side, dtype=np.float32)
    return at.reshape(-1, 1), at.reshape(1, -1)


def _strength(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))


def body_field(magnitude: Plane, angle: float) -> Plane:
    """The field (n, n) of what is not air in a plane that holds the main field's direction, in units of its own.

    In Fourier space it is that of the body times 1/3 - cos^2 of the angle to the main field (Salomir et al., Concepts
    Magn. Reson. B 19, 26, 2003; Marques and Bowtell, ibid. 25, 65, 2005), for a body that goes on through the plane;
    its mean over the body is taken out, as the scanner's frequency does.
    """
    side = len(magnitude)
    body = np.zeros((2 * side, 2 * side), dtype=np.float32)
    body[:side, :side] = np.clip(magnitude / np.float32(AIR) - np.float32(0.5), 0, 1)
    fy, fx = np.fft.fftfreq(2 * side)[:, None], np.fft.rfftfreq(2 * side)[None]
    square = fy**2 + fx**2
    square[0, 0] = 1
    kernel = 1 / 3 - (fy * np.cos(angle) + fx * np.sin(angle)) ** 2 / square
    kernel[0, 0] = 0
    field = np.fft.irfft2(np.fft.rfft2(body) * kernel, s=body.shape)[:side, :side].astype(np.float32)
    weight = body[:side, :side]
    centred: Plane = field - np.float32((field * weight).sum() / max(float(weight.sum()), 1e-9))
    return centred


def _source(rng: np.random.Generator, x: Plane, y: Plane) -> Plane:
    """The field of a small volume of air above or below the slice, 1 or -1 right over it; x, y are -1 to 1.

    A dipole along the main field across the slice: (d^2 - r^2 / 2) d^3 / (r^2 + d^2)^(5/2) at a distance d.  Sinuses,
    ear canals, lungs and bowels lie beside the middle of a slice more often than in it.
    """
    depth = np.float32(rng.uniform(0.15, 0.5))
    reach, angle = rng.uniform(0.3, 0.85), rng.uniform(0, 2 * np.pi)
    square = (x - np.float32(reach * np.cos(angle))) ** 2 + (y - np.float32(reach * np.sin(angle))) ** 2
    sign = np.float32(rng.choice([-1.0, 1.0]))
    found: Plane = sign * depth**3 * (depth**2 - square / 2) / (square + depth**2) ** np.float32(2.5)
    return found


class SyntheticPhase:
    """A phase, as that of the procedural slices, for images whose files hold none; the same for the same image.

    `side` is that of the images, in pixels.
    """

    def __init__(self, side: int, seed: int, echo: Echo) -> None:
        self._side, self._seed, self._echo = side, seed, echo
        self._field = smooth_field(np.random.default_rng([seed, side]), 4 * side)

    def of(self, magnitude: Plane, digest: str, turn: int = 0) -> NDArray[np.complex64]:
        """exp(i phase) (n, n) of the image of a magnitude and a hexadecimal `digest`, another one for each `turn`."""
        rng = np.random.default_rng([self._seed, int(digest, 16), turn])
        phase = smooth_phase(rng, self._field, self._side)
        if is_gradient_echo(rng, self._echo):
            phase += air_phase(rng, magnitude)
        turned: NDArray[np.complex64] = np.exp(np.complex64(1j) * phase).astype(np.complex64)
        return turned

"""Magnitudes of procedural MR slices: a head, a trunk, or a limb, made of nested tissues with soft borders.

Borders are level sets of smooth functions, bent by a random displacement; the folds of a cortex are the zero
crossings of band-limited noise, which form a labyrinth as sulci do.  Borders are one pixel wide: no staircase adds
power to the outer k-space.
"""

from dataclasses import dataclass

import numpy as np

from cidesign.modalities.mri.data.fields import Plane

# Relative signal of tissues: air, cortical bone, fluid, grey matter, white matter, muscle, fat, liver-like organ.
# The weightings are those of textbooks (T1, T2, proton density, T1 with suppressed fat), varied by CONTRAST_SPREAD.
TISSUES = ("air", "bone", "fluid", "grey", "white", "muscle", "fat", "organ")
WEIGHTINGS = np.array(
    [
        [0.0, 0.06, 0.15, 0.50, 0.72, 0.45, 1.00, 0.55],
        [0.0, 0.05, 1.00, 0.52, 0.36, 0.22, 0.60, 0.30],
        [0.0, 0.08, 0.85, 0.80, 0.66, 0.55, 0.80, 0.60],
        [0.0, 0.06, 0.15, 0.60, 0.85, 0.55, 0.30, 0.70],
    ]
)
CONTRAST_SPREAD = 0.12
# Standard deviation of the texture relative to a tissue's signal.
TEXTURE_LEVEL = (0.03, 0.1)


@dataclass(frozen=True)
class Scene:
    """What one slice is drawn from: planes (n, n), the sizes in units of half the field of view.

    `x`, `y` are bent and turned coordinates with the body at the origin, `folds` and `blobs` band-limited noise and
    `grain` tissue texture, all of unit variance; `tissue` the signal of each tissue; `pixel` the width of a pixel.
    """

    x: Plane
    y: Plane
    folds: Plane
    blobs: Plane
    grain: Plane
    tissue: dict[str, float]
    pixel: float
    rng: np.random.Generator

    def inside(self, level: Plane, slope: float = 1.0) -> Plane:
        """1 where `level` > 0, 0 elsewhere, with a border one pixel wide; `slope` is the level's change per unit."""
        mask: Plane = np.clip(level / np.float32(slope * self.pixel) + np.float32(0.5), 0, 1)
        return mask

    def ellipse(self, centre: tuple[float, float], axes: tuple[float, float], angle: float = 0.0) -> Plane:
        """The soft mask of an ellipse."""
        return self.inside(1 - self.radius(centre, axes, angle), 1 / (axes[0] * axes[1]) ** 0.5)

    def radius(self, centre: tuple[float, float], axes: tuple[float, float], angle: float = 0.0) -> Plane:
        """Distance from `centre`, 1 on the border of the ellipse."""
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        x, y = self.x - np.float32(centre[0]), self.y - np.float32(centre[1])
        return np.hypot((c * x + s * y) / np.float32(axes[0]), (c * y - s * x) / np.float32(axes[1]))


def paint(image: Plane, mask: Plane, signal: float | Plane) -> None:
    """Lay `signal` over `image` where `mask` is 1."""
    image += mask * (np.float32(signal) - image)


def head(scene: Scene) -> Plane:
    """An axial or coronal slice: scalp, skull, fluid, folded cortex, white matter, deep nuclei, ventricles."""
    rng, tissue = scene.rng, scene.tissue
    width, length = rng.uniform(0.55, 0.78), rng.uniform(0.72, 0.9)
    size = (width * length) ** 0.5
    rho = scene.radius((0, 0), (width, length))
    image = np.zeros_like(rho)
    brain = 1.0
    if rng.random() < 0.75:  # else the brain alone, as after skull stripping
        scalp, skull = rng.uniform(0.04, 0.09), rng.uniform(0.04, 0.09)
        paint(image, scene.inside(1 - rho, 1 / size), tissue["fat"])
        paint(image, scene.inside(1 - scalp - rho, 1 / size), tissue["bone"])
        if skull > 0.06:  # marrow between the tables of the skull
            paint(image, scene.inside(skull / 4 - abs(1 - scalp - skull / 2 - rho), 1 / size), 0.8 * tissue["fat"])
        brain = 1 - scalp - skull
    depth = brain - rho
    paint(image, scene.inside(depth, 1 / size), tissue["fluid"])
    _brain(scene, image, depth, size)
    if rng.random() < 0.3:
        _face(scene, image, rho)
    return image


def _brain(scene: Scene, image: Plane, depth: Plane, size: float) -> None:
    rng, tissue = scene.rng, scene.tissue
    folds = abs(scene.folds)
    fold_slope = 2 * np.pi / rng.uniform(0.13, 0.2)
    reach = np.float32(rng.uniform(0.35, 0.7))
    # Sulci are widest at the surface and end at `reach`; grey matter lines them and stays within it.
    open_width = np.float32(rng.uniform(0.15, 0.5)) * np.clip(1 - 1.3 * depth / reach, -1, 1)
    shell = scene.inside(depth - np.float32(rng.uniform(0.01, 0.05)), 1 / size)
    lined = open_width + np.float32(rng.uniform(0.5, 0.8)) * np.clip(2.2 * (1 - depth / reach), 0, 1) - 0.02
    white = scene.inside(folds - lined, fold_slope) * scene.inside(depth - np.float32(0.05), 1 / size)
    paint(image, shell, tissue["grey"])
    paint(image, white, tissue["white"])
    deep = scene.inside(depth - np.float32(0.35), 1 / size)
    paint(image, deep * scene.inside(scene.blobs - np.float32(rng.uniform(0.9, 1.6)), 12.0), tissue["grey"])
    paint(image, shell * scene.inside(open_width - folds, fold_slope), tissue["fluid"])
    if rng.random() < 0.7:
        fissure = np.float32(rng.uniform(0.004, 0.012)) - abs(scene.x)
        paint(image, shell * scene.inside(fissure) * scene.inside(abs(scene.y) - np.float32(0.25)), tissue["fluid"])
    if rng.random() < 0.7:
        axes = (rng.uniform(0.03, 0.1), rng.uniform(0.1, 0.28))
        shift, lean = axes[0] + rng.uniform(0.01, 0.05), rng.uniform(-0.2, 0.5)
        along = rng.uniform(-0.15, 0.15)
        for sign in (-1, 1):
            paint(image, scene.ellipse((sign * shift, along), axes, sign * lean), tissue["fluid"])
    if rng.random() < 0.3:  # a cerebellum's folia, or the thin leaves of a hippocampus
        centre = (rng.uniform(-0.1, 0.1), rng.uniform(0.3, 0.5))
        place = scene.ellipse(centre, (rng.uniform(0.2, 0.4), rng.uniform(0.12, 0.25)))
        stripes = np.sin((scene.y + 0.6 * abs(scene.x) + 0.05 * scene.blobs) * np.float32(rng.uniform(60, 110)))
        paint(image, place * np.clip(0.5 + 0.7 * stripes, 0, 1), 0.7 * tissue["grey"])


def _face(scene: Scene, image: Plane, rho: Plane) -> None:
    """Air-filled sinuses, bright eyes and fat: the part of a head whose structure is least regular."""
    rng, tissue = scene.rng, scene.tissue
    place = scene.inside(-scene.y - np.float32(rng.uniform(0.15, 0.4)), 3.0) * scene.inside(1 - rho, 1.5)
    for name, level in (("fat", 0.3), ("muscle", 0.2), ("air", 0.9)):
        sign = np.float32(rng.choice([-1.0, 1.0]))
        mixed = sign * scene.blobs + np.float32(0.6) * scene.folds - np.float32(level)
        paint(image, place * scene.inside(mixed, 25.0), tissue[name])
    eye = rng.uniform(0.08, 0.14)
    for side in (-1.0, 1.0):
        centre = (side * rng.uniform(0.24, 0.3), -rng.uniform(0.55, 0.65))
        paint(image, scene.ellipse(centre, (1.25 * eye, 1.25 * eye)), tissue["fat"])
        paint(image, scene.ellipse(centre, (eye, eye)), tissue["fluid"])


def trunk(scene: Scene) -> Plane:
    """An axial slice of an abdomen, chest or pelvis: fat, muscle wall, organs, air, a spine."""
    rng, tissue = scene.rng, scene.tissue
    width, length = rng.uniform(0.72, 0.92), rng.uniform(0.5, 0.72)
    size = (width * length) ** 0.5
    rho = scene.radius((0, 0), (width, length))
    image = np.zeros_like(rho)
    fat, wall = rng.uniform(0.04, 0.2), rng.uniform(0.05, 0.12)
    paint(image, scene.inside(1 - rho, 1 / size), 0.6 * tissue["muscle"])  # skin
    paint(image, scene.inside(np.float32(0.985) - rho, 1 / size), tissue["fat"])
    paint(image, scene.inside(1 - fat - rho, 1 / size), tissue["muscle"])
    cavity = scene.inside(1 - fat - wall - rho, 1 / size)
    paint(image, cavity, rng.uniform(0.5, 0.9) * tissue["fat"])
    for _ in range(rng.integers(6, 14)):
        centre = (rng.normal(0, 0.35) * width, rng.normal(0, 0.35) * length)
        reach = size * min(0.1 * rng.pareto(1.5) + 0.08, 0.5)
        axes = (reach * rng.uniform(0.6, 1.0), reach * rng.uniform(0.6, 1.0))
        organ = rng.choice(["organ", "muscle", "fluid", "grey", "air"], p=[0.45, 0.2, 0.15, 0.12, 0.08])
        mask = cavity * scene.ellipse(centre, axes, rng.uniform(0, np.pi))
        paint(image, mask, tissue[organ] * rng.uniform(0.8, 1.2))
        if rng.random() < 0.3:  # a wall or a capsule
            inner = cavity * scene.ellipse(centre, (0.85 * axes[0], 0.85 * axes[1]))
            paint(image, inner, tissue[rng.choice(["organ", "fluid", "grey"])])
    if rng.random() < 0.4:  # loops of the bowel
        place = cavity * scene.inside(scene.blobs - np.float32(rng.uniform(0, 0.6)), 12.0)
        paint(image, place, tissue["organ"])
        paint(image, place * scene.inside(np.float32(0.3) - abs(scene.folds), 40.0), tissue["fluid"])
    back = rng.uniform(0.35, 0.55) * length
    paint(image, scene.ellipse((0, back), (0.16, 0.13)), tissue["bone"])
    paint(image, scene.ellipse((0, back), (0.14, 0.11)), 0.6 * tissue["fat"])
    paint(image, scene.ellipse((0, back + 0.17), (0.05, 0.045)), tissue["fluid"])
    return image


def limb(scene: Scene) -> Plane:
    """A knee, thigh or wrist: skin, fat, muscles between thin septa, bones with dark borders and bright marrow."""
    rng, tissue = scene.rng, scene.tissue
    width, length = rng.uniform(0.5, 0.85), rng.uniform(0.5, 0.85)
    size = (width * length) ** 0.5
    rho = scene.radius((0, 0), (width, length))
    image = np.zeros_like(rho)
    fat = rng.uniform(0.05, 0.2)
    paint(image, scene.inside(1 - rho, 1 / size), 0.6 * tissue["muscle"])
    paint(image, scene.inside(np.float32(0.98) - rho, 1 / size), tissue["fat"])
    flesh = scene.inside(1 - fat - rho, 1 / size)
    paint(image, flesh, tissue["muscle"])
    paint(image, flesh * scene.inside(np.float32(0.12) - abs(scene.blobs), 12.0), tissue["fat"])
    paint(image, flesh * scene.inside(np.float32(0.08) - abs(scene.folds), 40.0), rng.uniform(0.5, 0.9) * tissue["fat"])
    for _ in range(rng.integers(1, 4)):
        centre = (rng.normal(0, 0.25) * width, rng.normal(0, 0.25) * length)
        axes = (size * rng.uniform(0.12, 0.42), size * rng.uniform(0.12, 0.42))
        angle, rim = rng.uniform(0, np.pi), rng.uniform(0.02, 0.05)
        if rng.random() < 0.5:
            paint(image, scene.ellipse(centre, (axes[0] + 0.05, axes[1] + 0.05), angle), tissue["fluid"])
        paint(image, scene.ellipse(centre, axes, angle), tissue["bone"])
        marrow = scene.ellipse(centre, (axes[0] - rim, axes[1] - rim), angle)
        trabeculae = 1 + np.float32(rng.uniform(0.03, 0.15)) * scene.grain
        paint(image, marrow, np.float32(rng.uniform(0.7, 1.0) * tissue["fat"]) * trabeculae)
    return image

"""The terms of the student's loss: task, bottleneck features, and sensing operators."""

from torch import Tensor


def gram_distance(a: Tensor, b: Tensor) -> Tensor:
    """|A^T A - B^T B|_F^2 for A (K, N) and B (L, N), without any N x N array.

    By |A^T A - B^T B|^2 = |A A^T|^2 + |B B^T|^2 - 2 |A B^T|^2; memory and time grow with K, not with N^2.
    """
    distance: Tensor = (a @ a.T).square().sum() + (b @ b.T).square().sum() - 2 * (a @ b.T).square().sum()
    return distance


def encoder_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Scale-free Gram distance of the operators as built, in [0, 2].

    | S^T S / |S^T S| - T^T T / |T^T T| |_F^2 = 2 - 2 |S T^T|^2 / (|S S^T| |T T^T|); S (K, N), T (L, N).
    The effective (quantised) student is compared: latent weights can agree while the built patterns do not.
    """
    norms = (student @ student.T).norm() * (teacher @ teacher.T).norm()
    agreement: Tensor = (student @ teacher.T).square().sum() / norms
    return 2 - 2 * agreement


def decoder_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of bottleneck features (B, C, h, w), relative to the teacher's: |S - T|^2 / |T|^2.

    The published loss is the mean square itself (arXiv 2501.17898); divided by the teacher's own, its weight means
    the same for every decoder.
    """
    return (student - teacher).square().sum() / teacher.square().sum().clamp_min(1e-12)

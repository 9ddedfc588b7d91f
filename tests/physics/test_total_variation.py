"""Total variation: what it minimises, and images from a few measurements."""

import torch

from cidesign.physics.total_variation import denoise_tv, differences, divergence, gap_tv


def test_divergence_is_minus_the_adjoint_of_the_differences() -> None:
    draws = torch.Generator().manual_seed(1)
    x, down, right = (torch.randn(2, 3, 5, 7, generator=draws, dtype=torch.float64) for _ in range(3))
    across, along = differences(x)
    left = float((across * down + along * right).sum())
    assert abs(left + float((x * divergence(down, right)).sum())) < 1e-12 * abs(left) + 1e-12


def test_total_variation_moves_the_sides_of_a_step_together() -> None:
    """Of a step between 5 and 11 columns, each side moves by strength / its width; the rows are all alike."""
    cube = torch.zeros(1, 2, 6, 16, dtype=torch.float64)
    cube[..., 5:] = 1.0
    cube[:, 1] *= -3
    found = denoise_tv(cube, 0.5, iterations=1500)
    wanted = torch.where(torch.arange(16) < 5, 0.5 / 5, 1 - 0.5 / 11).double()
    torch.testing.assert_close(found[0, 0], wanted.expand(6, 16), atol=2e-3, rtol=0)
    wanted = torch.where(torch.arange(16) < 5, -0.5 / 5, -3 + 0.5 / 11).double()
    torch.testing.assert_close(found[0, 1], wanted.expand(6, 16), atol=2e-3, rtol=0)


def test_a_scene_of_two_levels_comes_back_from_a_third_of_its_readings() -> None:
    """Random patterns of a rectangle: exact with 40 % of the readings, where least squares is far off."""
    draws = torch.Generator().manual_seed(0)
    x = torch.full((1, 1, 16, 16), 0.2, dtype=torch.float64)
    x[..., 4:11, 5:13] = 0.9
    matrix = torch.randn(102, 256, generator=draws, dtype=torch.float64) / 16
    inverse = torch.linalg.inv(matrix @ matrix.T)
    y = x.flatten(1) @ matrix.T

    def project(left: torch.Tensor) -> torch.Tensor:
        return (left @ inverse @ matrix).reshape(-1, 1, 16, 16)

    found = gap_tv(y, lambda v: v.flatten(1) @ matrix.T, project, torch.zeros_like(x), [0.1] * 200)
    assert float((project(y) - x).square().mean().sqrt()) > 0.2
    assert float((found - x).square().mean().sqrt()) < 0.02

"""From captures to images, with baselines and diagnostics."""

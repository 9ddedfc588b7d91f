"""Unit conversions and their display, in one place."""

US_PER_MS = 1_000
US_PER_S = 1_000_000


def format_duration_us(duration_us: float) -> str:
    """A duration in the unit a reader would choose: `235 us`, `48.0 ms`, `1.80 s`, `2 min 05 s`."""
    if duration_us < US_PER_MS:
        return f"{duration_us:.0f} us"
    if duration_us < US_PER_S:
        return f"{duration_us / US_PER_MS:.1f} ms"
    duration_s = duration_us / US_PER_S
    if duration_s < 60:
        return f"{duration_s:.2f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    return f"{minutes} min {seconds:02d} s"


def format_bytes(count: int) -> str:
    """A byte count in decimal units: `912 B`, `3.12 MB`, `1.1 TB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"

"""Devices that people ask for and that cannot be uploaded to: the reason, and the way out."""

from cidesign.errors import InputError

_ONE_DIMENSIONAL = (
    "its DLPC347x controller stores one-dimensional patterns only (TI DLPU075), so two-dimensional designs cannot be "
    "uploaded; show them through its parallel video port, or use a DLP6500"
)
_REASONS = {
    "dlp2000": (
        "its DLPC2607 controller has no pattern mode and no published pattern rate; "
        "show the frames as video, or use a DLP4500"
    ),
    "dlp2010": _ONE_DIMENSIONAL,
    "dlp3010": _ONE_DIMENSIONAL,
    "dlp4710": _ONE_DIMENSIONAL,
    "d4100": (
        "the D4100 board has USB, JTAG and GPIO connectors and no documented RS-232 commands (TI DLPU040B); "
        "export with --format alp for a DLP7000 and load the planes with the vendor's library"
    ),
}


def refuse_unsupported(name: str) -> None:
    """Raise `InputError` when `name` is a device that is known not to take uploads."""
    key = name.lower().replace("-", "").replace("_", "").replace(" ", "")
    for device, reason in _REASONS.items():
        if key.startswith(device):
            raise InputError(f"{name}: no upload: {reason}")

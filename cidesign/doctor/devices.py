"""Serial ports and USB controllers, and whether this user may open them; none is opened."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from cidesign.device.hid import VENDOR_TI, permission_hint
from cidesign.device.link.transport import group_hint, known_ports
from cidesign.doctor.findings import Finding
from cidesign.errors import first_line

SERIAL_USE = "upload --port, bridge --port"
USB_USE = "bridge --backend hid"


def serial_ports() -> list[Finding]:
    """Each serial port of this computer."""
    if find_spec("serial") is None:
        return [Finding("ports", "serial ports", "not verified", "pyserial lists them, and is missing", SERIAL_USE)]
    names = known_ports()
    if not names:
        return [Finding("ports", "serial ports", "missing", "none is here", SERIAL_USE, "is the cable plugged in?")]
    return [_port(name) for name in names]


def _port(name: str) -> Finding:
    if sys.platform == "win32":
        return Finding(
            "ports", name, "not verified", "whether another program has it shows when it is opened", SERIAL_USE
        )
    if os.access(name, os.R_OK | os.W_OK):
        return Finding("ports", name, "ok", "can be read and written by this user", SERIAL_USE)
    return Finding("ports", name, "missing", "no permission to read and write it", SERIAL_USE, group_hint(name))


def usb_controllers() -> list[Finding]:
    """Each controller of TI on USB."""

    def unknown(why: str, fix: str = "") -> list[Finding]:
        return [Finding("ports", "USB controllers", "not verified", why, USB_USE, fix)]

    if find_spec("hid") is None:
        return unknown("hidapi lists them, and is missing")
    try:
        import hid  # type: ignore[import-not-found, unused-ignore]
    except (ImportError, OSError) as error:
        return unknown(f"hidapi cannot be loaded ({first_line(error)})")
    if not hasattr(hid, "device"):
        return unknown("another package named hid is installed", "pip uninstall hid, then pip install hidapi")
    found = hid.enumerate(VENDOR_TI, 0)
    if not found:
        text = f"no USB device of TI ({VENDOR_TI:04x}) is here"
        return [Finding("ports", "USB controllers", "missing", text, USB_USE, "are cable and power plugged in?")]
    return [_controller(os.fsdecode(one["path"]), int(one["product_id"])) for one in found]


def _controller(path: str, product_id: int) -> Finding:
    name = f"USB {VENDOR_TI:04x}:{product_id:04x} {path}"
    if not Path(path).exists():  # a name that only the system's USB library knows
        return Finding("ports", name, "not verified", "whether it may be opened shows when it is", USB_USE)
    if os.access(path, os.R_OK | os.W_OK):
        return Finding("ports", name, "ok", "can be read and written by this user", USB_USE)
    return Finding("ports", name, "missing", "no permission to read and write it", USB_USE, permission_hint(product_id))

"""The whole examination."""

from cidesign.doctor.computer import computer
from cidesign.doctor.devices import serial_ports, usb_controllers
from cidesign.doctor.findings import Diagnosis
from cidesign.doctor.packages import packages, programs


def doctor() -> Diagnosis:
    """What this computer has: versions, packages, ports with their permissions, processors, memory, GPU and disk.

    Each of `.findings` has a `.status` (ok, missing, not verified), what it is for, and what to do; `.ok` is False
    where a package is missing that every command needs.  Of all packages only torch is imported, where it is there, to
    ask for graphics processors, and no port is opened.
    """
    return Diagnosis((*programs(), *packages(), *serial_ports(), *usb_controllers(), *computer()))

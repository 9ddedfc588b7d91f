"""The errors a user is meant to read: one line that names the thing, the value, the limit and what to do."""


class CidesignError(Exception):
    """An expected failure; the command line prints it as one line and leaves with `exit_code`.

    `fault` names what the failure resembles (a name of `calibration.faults`), None where it is of no such kind.  Code
    decides by the class and by this field, never by the text.
    """

    exit_code = 1

    def __init__(self, text: str, *, fault: str | None = None) -> None:
        super().__init__(text)
        self.fault = fault


class InputError(CidesignError):
    """A name, an option or a setting that cannot be used."""

    exit_code = 2


class LimitError(CidesignError):
    """A physical or device limit that the request exceeds."""

    exit_code = 3


class DeviceError(CidesignError):
    """A device or the link to it failed."""

    exit_code = 4


class FileError(CidesignError):
    """A file or folder that is missing, damaged, of another version, or in the way."""

    exit_code = 5

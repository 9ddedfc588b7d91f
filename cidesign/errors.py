"""The errors a user is meant to read: one line that names the thing, the value, the limit and what to do."""


class CidesignError(Exception):
    """An expected failure; the command line prints it as one line and leaves with `exit_code`."""

    exit_code = 1


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

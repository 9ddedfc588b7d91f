"""The errors a user is meant to read: one line that names the thing, the value, the limit and what to do."""

# What a library says of a damaged file can hold the file.
LONGEST = 200


class CidesignError(Exception):
    """An expected failure; the command line prints it as one line and leaves with `exit_code`.

    `fault` names what the failure resembles (a word of `cidesign.checks`), None where it is of no such kind.  Code
    decides by the class and by this field, never by the text.
    """

    exit_code = 1

    def __init__(self, text: str, *, fault: str | None = None) -> None:
        # What libraries say of a file can be several lines, and a file's name can hold a line break.
        super().__init__(" ".join(line.strip() for line in text.splitlines()))
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


def first_line(error: Exception) -> str:
    """What an error of a library says in its first line, or its class where it says nothing; advice comes after."""
    lines = str(error).strip().splitlines()
    return lines[0][:LONGEST] if lines else type(error).__name__

"""Commands called in this process, as a user types them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cidesign.cli import main


class Done(NamedTuple):
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def cidesign(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """`cidesign("distill", "--profile", "dlp4500")`; an unexpected error comes through as itself."""

    def call(*words: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["cidesign", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as leave:
            code = int(leave.code or 0)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return call

"""What a shell offers after Tab: by click's own interface, and by a real bash."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import BashComplete

from cidesign.cli import COMMANDS, group
from cidesign.hardware_profiles.loader import shipped_profiles

BASH = shutil.which("bash")
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from cidesign.cli import main; main()"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two runs, and a hidden one that is being made."""
    for name in ("first", "second", ".half"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text("{}")
    (tmp_path / "runs" / "no_run").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _offered(words: list[str], incomplete: str) -> list[tuple[str, str]]:
    complete = BashComplete(group, {}, "cidesign", "_CIDESIGN_COMPLETE")
    return [(item.type, item.value) for item in complete.get_completions(words, incomplete)]


def test_commands_profiles_and_runs_are_offered(place: Path) -> None:
    assert [name for _, name in _offered([], "")] == list(COMMANDS)
    ids = [entry.id for entry in shipped_profiles()]
    assert len(ids) > 5
    for words in (["distill", "--profile"], ["profiles", "show"], ["emulate", "--profile"], ["design", "--profile"]):
        assert _offered(words, "") == [("file", ""), *(("plain", one) for one in ids)]
    assert _offered(["upload", "x", "--profile"], "dlp45") == [("file", "dlp45"), ("plain", "dlp4500")]
    runs = [str(Path("runs", name)) for name in ("first", "second")]
    for command in ("export", "check", "evaluate", "simulate", "report", "reconstruct"):
        assert _offered([command], "run") == [("file", "run"), *(("plain", run) for run in runs)]
    assert _offered(["calibrate", "capture", "--run"], runs[1][:-1]) == [("file", runs[1][:-1]), ("plain", runs[1])]
    assert _offered(["export"], "elsewhere/") == [("file", "elsewhere/")]


def test_nothing_is_loaded_for_it_that_training_needs(place: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from click.shell_completion import BashComplete\nfrom cidesign.cli import COMMANDS, group\n"
        "complete = BashComplete(group, {}, 'cidesign', '_CIDESIGN_COMPLETE')\n"
        "for name in COMMANDS:\n"
        "    assert '--help' in [item.value for item in complete.get_completions([name], '--')]\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


@pytest.mark.skipif(BASH is None, reason="bash is not installed")
def test_bash_completes_by_the_script_that_is_printed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cidesign", "completion", "bash"])
    from cidesign.cli import main

    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    (place / "script").write_text(capsys.readouterr().out)
    (place / "bin").mkdir()
    (place / "bin" / "cidesign").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{WITHOUT_TORCH}" "$@"\n')
    (place / "bin" / "cidesign").chmod(0o755)
    complete = _typed_in_bash(place)
    assert complete("cidesign", "calib") == ["calibrate"]
    assert complete("cidesign", "distill", "--profile", "dlp65") == ["dlp6500"]
    assert complete("cidesign", "export", "runs/f") == ["runs/first"]


def _typed_in_bash(place: Path) -> Callable[..., Any]:
    # As bash does after Tab: `complete -p` names the function, which finds the words in these variables.
    program = (
        'source ./script; name=$(complete -p cidesign | sed "s/.*-F \\([^ ]*\\) .*/\\1/"); COMP_WORDS=("$@"); '
        'COMP_CWORD=$(($# - 1)); "$name" cidesign 2> /dev/null; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{place / 'bin'}:{os.environ['PATH']}"}

    def complete(*words: str) -> list[str]:
        assert BASH is not None
        done = subprocess.run(
            [BASH, "--norc", "-c", program, "bash", *words],
            cwd=place, env=environment, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        return done.stdout.splitlines()

    return complete


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_have_a_script(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cidesign.cli import main

    monkeypatch.setattr(sys, "argv", ["cidesign", "completion", shell])
    with pytest.raises(SystemExit):
        main()
    assert f"_CIDESIGN_COMPLETE={shell}_complete" in capsys.readouterr().out

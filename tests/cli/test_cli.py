"""The command line as a user meets it: exit codes, one-line errors, results on stdout and the rest on stderr."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cidesign.cli import COMMANDS, group
from cidesign.errors import CidesignError


def _run(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cidesign", *words], capture_output=True, text=True, cwd=cwd, check=False, timeout=120
    )


def _invoke(*words: str) -> Result:
    return CliRunner().invoke(group, list(words))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    done = _invoke(name, "--help")
    assert done.exit_code == 0
    assert "Usage: " in done.output


def test_help_lists_every_command_without_importing_it() -> None:
    program = (
        "import sys\n"
        "from cidesign.cli import main\n"
        "sys.argv = ['cidesign', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'pydantic', 'rich', 'matplotlib', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in COMMANDS)


def test_profiles_list_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from cidesign.cli import main\n"
        "sys.argv = ['cidesign', 'profiles', 'list', '--json']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'pydantic', 'rich', 'matplotlib', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"id", "kind"} <= set(json.loads(done.stdout)[0])


def test_profiles_show_prints_value_unit_source_confidence() -> None:
    done = _invoke("profiles", "show", "dlp4500")
    line = next(line for line in done.output.splitlines() if line.startswith("bit_depths.1.min_exposure_us"))
    assert "235 us" in line
    assert "mainwindow.cpp" in line
    assert json.loads(_invoke("profiles", "show", "dlp4500", "--json").stdout)["mirrors"]["columns"]["value"] == 912


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["profiles", "show", "dlp450"], 2, "did you mean dlp4500"),
        (["profiles", "check", "missing.toml"], 5, "missing.toml"),
        (["distill"], 2, "--profile is needed"),
        (["profiles", "check", "dlp450"], 2, "did you mean dlp4500"),
        (["distill", "--resume"], 2, "no run is below runs/"),
        (["distill", "--resume", "--seed", "5"], 2, "--seed cannot be given with --resume"),
        (["report", "nowhere"], 5, "no such run folder"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_wrong_input_is_one_line_and_its_exit_code(
    words: list[str], code: int, said: str, cidesign: Callable[..., Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    done = cidesign(*words)
    assert done.code == code
    assert said in done.err
    assert done.out == ""
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_a_process_of_its_own(tmp_path: Path) -> None:
    done = _run("distill", "--profile", "dlp4501", cwd=tmp_path)
    assert done.returncode == 2
    assert "unknown profile 'dlp4501'" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_existing_output_is_kept_without_force(
    cidesign: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").write_text("x")
    done = cidesign("distill", "--profile", "dlp4500", "--out", "run")
    assert done.code == 5
    assert "exists already" in done.err
    assert (tmp_path / "run" / "precious").read_text() == "x"


def test_half_written_and_foreign_runs_are_named(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for content, said in (
        (None, r"not a run \(it has no run\.json\)"),
        ('{"schema_version": 1', "not readable JSON"),
        ('{"schema_version": 9}', "version 9"),
        ('{"schema_version": 1, "kind": "run"}', "schema version 1"),
        ('{"schema_version": 2, "kind": "run"}', "damaged"),
        ("[]", "JSON object"),
    ):
        if content is not None:
            (run / "run.json").write_text(content)
        with pytest.raises(CidesignError, match=said):
            group.main(["report", str(run)], standalone_mode=False)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_leaves_a_resumable_run(tmp_path: Path) -> None:
    """SIGINT while training: exit 130, a checkpoint, an unfinished run, and the command that goes on."""
    words = ["distill", "--profile", "dlp4500", "--side", "8", "--patterns", "6", "--out", "run"]
    with subprocess.Popen(
        [sys.executable, "-m", "cidesign", *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "teacher epoch 1" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "cidesign distill --resume --out run`" in rest
    assert "Traceback" not in rest
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "training"
    assert (tmp_path / "run" / "checkpoint" / "state.safetensors").is_file()


def test_the_next_command_can_be_pasted(tmp_path: Path) -> None:
    path = tmp_path / "my profile.toml"
    path.write_text((Path(__file__).parents[2] / "hardware_profiles" / "dmd" / "dlp4500.toml").read_text())
    done = _invoke("profiles", "check", str(path))
    assert f"next: cidesign distill --profile '{path}'" in done.output

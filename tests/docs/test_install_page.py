"""What the installation page says can be typed is typed; what pip is told there is what scripts of ours tell it."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cidesign.modalities.single_pixel.run import SinglePixelRun

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "install.md").read_text()


def _commands() -> list[str]:
    return [line.removeprefix("    $ cidesign ") for line in PAGE.splitlines() if line.startswith("    $ ")]


def test_the_commands_of_the_page_run_in_their_order(
    make_settings: Callable[..., Any],
    finished_run: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    from cidesign.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    finished_run(
        tmp_path / "runs" / "demo", make_settings(side=16, patterns=80, read_noise_photoelectrons=50.0), SinglePixelRun
    )
    commands = _commands()
    assert len(commands) == 10
    for command in commands:
        monkeypatch.setattr(sys, "argv", ["cidesign", *command.split()])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 0, f"{command}: {capsys.readouterr().err}"
    assert (tmp_path / "runs" / "demo" / "decoder-images" / "student.npz").is_file()


def test_what_it_quotes_of_the_doctor_is_what_the_doctor_says() -> None:
    from cidesign.doctor.packages import PACKAGES

    (torch,) = [one for one in PACKAGES if one.name == "torch"]
    assert f"    missing  torch  not installed  {torch.use}\n      torch: pip install 'torch>=2.4'\n" in PAGE


def test_pip_is_told_what_scripts_and_files_of_ours_tell_it() -> None:
    told = re.findall(r"`pip install ([^`]*)`", PAGE)
    scripts = [(ROOT / name).read_text() for name in ("packaging/bench_install.sh", "README.md")]
    scripts.append((ROOT / "docs" / "decisions" / "0001-torch-free-bridge.md").read_text())
    assert len(told) == 5
    for words in told:
        if words != ".":
            assert any(words in text for text in scripts), words
    for path in re.findall(r"(?:requirements-\w+\.txt|packaging/[\w./]+)", PAGE):
        assert (ROOT / path).exists(), path

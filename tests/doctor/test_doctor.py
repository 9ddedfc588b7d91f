"""What the doctor says follows from what is there, and it speaks where next to nothing is."""

import configparser
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import cidesign as ci
from cidesign.doctor import computer, devices, packages
from cidesign.doctor.findings import Diagnosis, Finding
from cidesign.runs import RUNS_FOLDER

ROOT = Path(__file__).parents[2]


def _declared() -> dict[str, set[str]]:
    """The packages of each extra in setup.cfg; those of the default install under the empty name."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lists: Mapping[str, str] = dict(config["options.extras_require"])
    lists = {"": config["options"]["install_requires"], **lists}
    return {
        extra: {line.split()[0].lower() for line in text.strip().splitlines()}
        for extra, text in lists.items()
        if extra not in ("dev", "docs")
    }


def test_it_knows_all_packages_of_setup_cfg_and_no_other() -> None:
    known: dict[str, set[str]] = {}
    for one in packages.PACKAGES:
        known.setdefault("" if one.extra == packages.CORE else one.extra, set()).add(one.name)
    assert known == _declared()


def test_every_command_needs_what_the_smallest_install_has() -> None:
    lines = (ROOT / "requirements-bridge.txt").read_text().splitlines()
    bridge = {re.split(r"[ ;<>=]", line)[0] for line in lines if line and not line.startswith("#")}
    assert {one.name for one in packages.PACKAGES if one.extra == packages.CORE} == bridge - {"hidapi", "smbus2"}


@pytest.mark.parametrize(
    ("version", "versions", "fit"),
    [
        ("2.13.0+cpu", ">=2.4", True),
        ("2.3.9", ">=2.4", False),
        ("1.26", ">=1.26.0", True),
        ("10", ">=9.5", True),
        ("1.5.0.post1", "<1.6,>=1.5.0.post1", True),
        ("1.6", "<1.6,>=1.5.0.post1", False),
        ("2026.3.3", "", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, versions: str, fit: bool) -> None:
    assert packages.fits(version, versions) is fit


def test_an_old_package_is_missing_and_the_command_says_which_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version
    monkeypatch.setattr(packages.metadata, "version", lambda name: "1.2" if name == "scipy" else real(name))
    (scipy,) = [one for one in packages.packages() if one.name == "scipy"]
    assert (scipy.status, scipy.needed) == ("missing", False)
    assert scipy.fix == "pip install 'scipy>=1.12'"
    assert "1.2" in scipy.found


def test_only_what_every_command_needs_makes_it_fail() -> None:
    torch, click = (Finding("packages", name, "missing", "", needed=name == "click") for name in ("torch", "click"))
    assert Diagnosis((torch,)).ok
    assert not Diagnosis((torch, click)).ok


def test_ports_are_told_with_the_permission_of_this_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "known_ports", lambda: ["/dev/ttyACM0", "/dev/ttyUSB0"])
    monkeypatch.setattr(devices, "group_hint", lambda name: f"join the group of {name}")
    monkeypatch.setattr(os, "access", lambda name, mode: name == "/dev/ttyUSB0" and mode == os.R_OK | os.W_OK)
    closed, open_ = devices.serial_ports()
    assert (closed.name, closed.status, closed.fix) == ("/dev/ttyACM0", "missing", "join the group of /dev/ttyACM0")
    assert (open_.name, open_.status, open_.fix) == ("/dev/ttyUSB0", "ok", "")
    monkeypatch.setattr(sys, "platform", "win32")
    assert {one.status for one in devices.serial_ports()} == {"not verified"}


def test_usb_controllers_are_those_of_ti(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    node = tmp_path / "hidraw0"
    node.write_bytes(b"")
    seen = [{"path": os.fsencode(node), "product_id": 0x6401}, {"path": b"1-2:1.0", "product_id": 0xC900}]
    fake = SimpleNamespace(device=object, enumerate=lambda vendor, product: seen if vendor == 0x0451 else [])
    monkeypatch.setitem(sys.modules, "hid", fake)  # type: ignore[arg-type]
    monkeypatch.setattr(devices, "find_spec", lambda name: object())
    monkeypatch.setattr(os, "access", lambda name, mode: False)
    closed, unknown = devices.usb_controllers()
    assert (closed.status, unknown.status) == ("missing", "not verified")
    assert 'ATTRS{idProduct}=="6401"' in closed.fix
    seen.clear()
    assert [one.status for one in devices.usb_controllers()] == ["missing"]


def test_without_torch_no_gpu_is_spoken_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(computer, "find_spec", lambda name: None)
    by_name = {one.name: one for one in computer.computer()}
    assert by_name["GPU"].status == "not verified"
    assert by_name["disk at runs/"].status == "ok"
    assert computer.RUNS == RUNS_FOLDER


def test_command_and_function_say_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cidesign.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cidesign", "doctor", "--json"])
    with pytest.raises(SystemExit) as left:
        main()
    told = json.loads(capsys.readouterr().out)
    assert left.value.code == 0
    assert [one["name"] for one in told["findings"]] == [one.name for one in ci.doctor().findings]
    (torch,) = [one for one in told["findings"] if one["name"] == "torch"]
    assert (torch["status"], torch["found"]) == ("ok", metadata.version("torch"))


def _click_alone(folder: Path) -> Callable[[str], Any]:
    """Programs for a Python that has nothing but click."""
    for file in metadata.files("click") or ():
        top = file.parts[0]
        if top != ".." and not (folder / top).exists():
            (folder / top).symlink_to(Path(str(metadata.distribution("click").locate_file(top))))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}

    def run(program: str) -> Any:
        command = [sys.executable, "-S", "-W", "error", "-c", program]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    return run


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_it_speaks_where_nothing_but_click_is_installed(tmp_path: Path) -> None:
    run = _click_alone(tmp_path)
    assert run("import numpy").returncode == 1
    done = run("import sys; sys.argv[1:] = ['doctor', '--json']; from cidesign.cli import main; main()")
    assert (done.returncode, done.stderr) == (1, "")
    by_name = {one["name"]: one for one in json.loads(done.stdout)["findings"]}
    # Compared where the checkout holds metadata of an installation.
    assert by_name["click"]["status"] in ("ok", "not verified")
    assert {by_name[name]["status"] for name in ("numpy", "pydantic", "torch")} == {"missing"}
    assert by_name["serial ports"]["status"] == "not verified"

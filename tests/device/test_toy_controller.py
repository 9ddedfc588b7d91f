"""A controller of another package: found by its entry points, and as whole as those that come with cidesign."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cidesign.device.controllers import controller, each_controller
from cidesign.device.virtual_frames import SHOWN_NAME, read_shown
from cidesign.errors import FileError, InputError
from cidesign.export.dmd.formats import exporter_named, formats_for
from cidesign.export.dmd.manifest import read_manifest
from cidesign.export.dmd.verify import verify_export
from cidesign.files import read_json, write_json
from cidesign.hardware_profiles.dmd.lattice import superpixel_grid
from cidesign.hardware_profiles.loader import load_dmd, read_profile, validate_profile
from cidesign.testing import controllers
from cidesign.testing.controllers import export, laws

TOY = Path(__file__).parents[1] / "plugins" / "toy"
PROFILE = TOY / "toy.toml"
LAWS = [
    controllers.files_hold_the_design,
    controllers.other_back_ends_are_refused,
    controllers.upload_shows_the_design,
    controllers.stop_leaves_it_idle,
    controllers.wrong_images_are_refused,
    controllers.cut_upload_is_resumed,
]
WAIT_S = 60


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package, as if installed, and away again."""
    _forget()
    monkeypatch.syspath_prepend(str(TOY))
    yield
    _forget()


def _forget() -> None:
    controller.cache_clear()
    exporter_named.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "toy_controller"]:
        del sys.modules[name]


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws(law: controllers.Law, tmp_path: Path) -> None:
    profile = load_dmd(str(PROFILE))
    assert law in laws(profile)
    law(profile, tmp_path)


@pytest.mark.usefixtures("toy")
def test_all_laws_are_tried() -> None:
    assert set(laws(load_dmd(str(PROFILE)))) == set(LAWS)


BROKEN = {
    "mirrored": (
        "shown",
        lambda toy: [one._replace(flip_long=True) for one in toy._shown],
        "upload_shows_the_design",
    ),
    "inverted": ("shown", lambda toy: [one._replace(inverted=True) for one in toy._shown], "upload_shows_the_design"),
    "one frame less": ("shown", lambda toy: toy._shown[:-1], "upload_shows_the_design"),
    "too long": ("shown", lambda toy: [one._replace(exposure_us=999) for one in toy._shown], "upload_shows_the_design"),
    "goes on": ("stop", lambda toy: None, "stop_leaves_it_idle"),
    "swallows": ("load_image", lambda toy, index, half, content: None, "wrong_images_are_refused"),
}


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("fault", BROKEN)
def test_the_laws_notice_a_broken_device(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = load_dmd(str(PROFILE))
    member, broken, law = BROKEN[fault]
    monkeypatch.setattr(sys.modules[type(controller("toy")).__module__].VirtualToy, member, broken)
    with pytest.raises(AssertionError):
        getattr(controllers, law)(profile, tmp_path)


@pytest.mark.usefixtures("toy")
def test_a_reader_that_takes_other_planes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = load_dmd(str(PROFILE))
    files = sys.modules[exporter_named("toy").read.__module__]
    monkeypatch.setattr(files, "first_plane", lambda bits, slot: 23 - slot)
    with pytest.raises(FileError, match="differs from the design"):
        controllers.files_hold_the_design(profile, tmp_path)


@pytest.mark.usefixtures("toy")
def test_it_stands_beside_the_others() -> None:
    assert [name for name, _ in each_controller()] == ["dlpc900", "dlpc350", "dlpc410", "toy"]
    assert formats_for("toy") == ["toy"]
    assert formats_for("dlpc350") == ["dlpc350", "hdmi"]


def test_without_its_package_a_profile_is_refused_and_a_copy_is_read() -> None:
    with pytest.raises(
        FileError,
        match=r"toy\.toml: controller\.value: 'toy' is not known; known are dlpc900, dlpc350, dlpc410; .*package",
    ):
        read_profile(PROFILE)
    assert validate_profile(tomllib.loads(PROFILE.read_text()), "run").id == "toy-1"
    with pytest.raises(InputError, match="no export format is for the controller toy"):
        formats_for("toy")
    with pytest.raises(InputError, match="'toy' is no controller known here; known are dlpc900"):
        controller("toy")


def test_a_misspelt_controller_is_found(tmp_path: Path) -> None:
    text = PROFILE.read_text().replace('value = "toy"', 'value = "dlpc-350"')
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(FileError, match="'dlpc-350' is not known; did you mean dlpc350"):
        read_profile(tmp_path / "mine.toml")
    (tmp_path / "mine.toml").write_text(text.replace("dlpc-350", "DLPC900"))
    with pytest.raises(FileError, match="'DLPC900' is not known; did you mean dlpc900"):
        read_profile(tmp_path / "mine.toml")
    (tmp_path / "mine.toml").write_text(text.replace("dlpc-350", "os.path"))
    with pytest.raises(FileError, match=r"'os\.path' is not known; known are"):
        read_profile(tmp_path / "mine.toml")


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("file", "field", "word", "text"),
    [
        (
            "toy_00.bits",
            "role",
            "image",
            "calls toy_00.bits a file of role 'image'; a toy export has toy-image, toy-times",
        ),
        ("toy_00.bits", "compression", "erle", "calls toy_00.bits coded as 'erle'; a toy export has plain"),
        ("times.json", "role", "Toy", "is damaged"),
    ],
)
def test_words_of_another_format_are_refused(tmp_path: Path, file: str, field: str, word: str, text: str) -> None:
    export(load_dmd(str(PROFILE)), tmp_path / "e", "toy")
    assert read_manifest(tmp_path / "e").files["toy_00.bits"].compression == "plain"
    raw = read_json(tmp_path / "e" / "manifest.json", "manifest")
    raw["files"][file][field] = word
    write_json(tmp_path / "e" / "manifest.json", raw)
    with pytest.raises(FileError, match=text):
        verify_export(tmp_path / "e")


def test_words_are_those_of_the_format_for_our_own_too(tmp_path: Path) -> None:
    export(load_dmd("dlp6500"), tmp_path / "e", "dlpc900")
    raw = read_json(tmp_path / "e" / "manifest.json", "manifest")
    raw["files"]["dlp6500_00.spld"]["compression"] = "zip"
    write_json(tmp_path / "e" / "manifest.json", raw)
    with pytest.raises(FileError, match="coded as 'zip'; a dlpc900 export has none, rle, erle"):
        verify_export(tmp_path / "e")


def _package(folder: Path, name: str, module: str, text: str) -> None:
    """Another package that claims to bring the controller toy."""
    info = folder / f"{name}-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(f"[cidesign.controllers]\ntoy = {module}:CONTROLLER\n")
    (folder / f"{module}.py").write_text(text)


@pytest.mark.usefixtures("toy")
def test_two_packages_with_one_name_are_both_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _package(tmp_path, "rival", "rival_toy", "CONTROLLER = None\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=r"toy: the packages rival 2\.0, toy-controller 1\.0 all claim this name"):
        controller("toy")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "raise RuntimeError('half installed')\n",
            r"broken 2\.0 .* cannot be imported \(RuntimeError: half installed\)",
        ),
        ("CONTROLLER = 7\n", "is no Controller"),
        (
            "from cidesign.device.dlpc900.controller import CONTROLLER\n",
            "controller toy: its package calls it 'dlpc900'",
        ),
    ],
)
def test_a_broken_package_is_named_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    _forget()
    _package(tmp_path, "broken", "broken_toy", text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=says):
        controller("toy")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "cidesign", "bridge", "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "[hid|i2c|display|emulator]" in done.stdout
    assert done.stderr.startswith("note: ")
    assert len(done.stderr.splitlines()) == 1
    sys.modules.pop("broken_toy", None)


def test_a_package_that_takes_a_name_of_cidesign_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _forget()
    _package(tmp_path, "thief", "thief", "raise RuntimeError('imported')\n")
    points = tmp_path / "thief-2.0.dist-info" / "entry_points.txt"
    points.write_text("[cidesign.controllers]\ndlpc900 = thief:CONTROLLER\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=r"dlpc900: the packages cidesign, thief 2\.0 all claim this name"):
        controller("dlpc900")
    assert [(name, isinstance(found, InputError)) for name, found in each_controller()] == [
        ("dlpc900", True), ("dlpc350", False), ("dlpc410", False),
    ]  # fmt: skip
    points.write_text("[cidesign.dmd_formats]\ndlpc900 = thief:EXPORTER\n")
    _forget()
    with pytest.raises(InputError, match=r"dlpc900: the packages cidesign, thief 2\.0 all claim this name"):
        exporter_named("dlpc900")
    _forget()


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
@pytest.mark.usefixtures("toy")
def test_check_emulate_and_upload_as_a_user_starts_them(tmp_path: Path) -> None:
    profile = load_dmd(str(PROFILE))
    pattern, manifest = export(profile, tmp_path / "export", "toy")
    shutil.copy(PROFILE, tmp_path / "mine.toml")
    environment = {**os.environ, "PYTHONPATH": str(TOY)}
    cidesign = [sys.executable, "-m", "cidesign"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*cidesign, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )

    checked = run("check", "export")
    assert checked.returncode == 0, checked.stderr
    words = ["emulate", "--profile", "mine.toml", "--link", "dmd", "--render", "mirrors"]
    with subprocess.Popen(
        [*cidesign, *words], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as emulator:
        assert emulator.stdout is not None
        assert emulator.stdout.readline().startswith("port: ")
        try:
            done = run("upload", "export", "--port", "dmd", "--profile", "mine.toml", "--start", "--json")
        finally:
            emulator.terminate()
        assert emulator.wait(WAIT_S) == 0
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert (value["plan"]["way"], value["plan"]["images"]) == ("toy wire", manifest.images)
    assert value["started"]["running"]
    grid = superpixel_grid(profile, pattern.side)
    shown = read_shown(tmp_path / "mirrors" / SHOWN_NAME)
    for frame, levels in zip(shown, pattern.displayed(), strict=True):
        assert np.array_equal(frame.levels, grid.spread(levels))
    opened = run("bridge", "--profile", "mine.toml", "--backend", "toy-wire", "--listen", "127.0.0.1:0")
    assert (opened.returncode, opened.stderr) == (4, "error: toy-1: no toy is on the wire\n")
    other = run("bridge", "--profile", "dlp6500", "--backend", "toy-wire", "--listen", "127.0.0.1:0")
    assert (other.returncode, other.stderr) == (
        2,
        "error: dlp6500: back end toy-wire is for the toy; use --backend hid\n",
    )

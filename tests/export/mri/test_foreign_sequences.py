"""Sequences of somebody else: every file gets what can be said of it, and no failure that it does not have."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from cidesign.checks import Check
from cidesign.cli.check import command
from cidesign.errors import FileError
from cidesign.export.mri.checks import SliceOrientation, check_sequence
from cidesign.export.mri.pulseq.read import read_pulseq
from cidesign.export.mri.pulseq.sections import UnsupportedSequence
from cidesign.export.mri.pulseq.text import read_seq_text
from cidesign.hardware_profiles.loader import load_mri

pytest.importorskip("pypulseq", reason="the extra 'mri' is not installed")

SHARED = Path(__file__).parents[3].parent / "shared"
CASES, PEERS = SHARED / "cases", SHARED / "data" / "formats" / "seq"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="shared/cases is not here")
needs_peers = pytest.mark.skipif(not PEERS.is_dir(), reason="the sample files of other programs are not here")

HEAD = """[VERSION]
major 1
minor 5
revision 0

[DEFINITIONS]
AdcRasterTime 1e-07
BlockDurationRaster 1e-05
GradientRasterTime 1e-05
RadiofrequencyRasterTime 1e-06

"""
SHAPES = """[SHAPES]

shape_id 1
num_samples 2
1
1

shape_id 2
num_samples 2
0
0

shape_id 3
num_samples 2
0
200
"""
RF = "[RF]\n1 416.667 1 2 3 100 100 0 0 0 0 e\n2 833.333 1 2 3 100 100 0 0 0 0 r\n3 833.333 1 2 3 100 100 0 0 0 0 i\n\n"
ADC = "[ADC]\n1 64 20000 100 0 0 0 0 0\n\n"
FID = HEAD + "[BLOCKS]\n1 33 1 0 0 0 0 0\n2 200 0 0 0 0 1 0\n\n" + RF + ADC + SHAPES


def sequence(*blocks: str, extra: str = "") -> str:
    """A file of blocks `rf gx gy gz adc ext`, each of the length that it is given before a colon, in 10 us."""
    rows = [" ".join([str(number), *block.replace(":", " ").split()]) for number, block in enumerate(blocks, 1)]
    return HEAD + "[BLOCKS]\n" + "\n".join(rows) + "\n\n" + RF + extra + ADC + SHAPES


def signed(text: str, newline: str = "", kind: str = "md5") -> str:
    """The text with a signature of it; `newline` is counted in, as some writers do."""
    digest = hashlib.new(kind, (text + newline).encode(), usedforsecurity=False).hexdigest()
    return f"{text}\n[SIGNATURE]\nType {kind}\nHash {digest}\n"


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., dict[str, Check]]:
    def check(
        text: str | bytes, profile: str = "mri-generic-3t", orientation: SliceOrientation | None = None
    ) -> dict[str, Check]:
        path = tmp_path / "some.seq"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return {line.name: line for line in check_sequence(path, load_mri(profile), orientation=orientation)}

    return check


Checking = Callable[..., dict[str, Check]]


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n"])
@pytest.mark.usefixtures("pulseq_in_the_child")
def test_a_file_that_ends_in_its_shapes_gets_all_checks(check: Checking, end: str) -> None:
    lines = check(FID.rstrip("\n") + end)
    assert [line.name for line in lines.values() if line.status in ("failed", "remark")] == []
    assert lines["signature"].status == "not checked"
    assert sum(line.status == "passed" for line in lines.values()) == 18
    assert lines["total time"].value == "2.3 ms; the file states none to compare with"


@pytest.mark.parametrize("layout", ["comments", "crlf", "cr", "tabs", "order", "latin", "mark"])
def test_the_layout_of_a_text_is_of_no_meaning(check: Checking, layout: str) -> None:
    first, blocks, rest = FID.partition("[BLOCKS]\n")
    changed = {
        "comments": FID.replace("2 200", "# a remark\n\n2 200")
        .replace("num_samples 2\n0", "num_samples 2\n#\n0")
        .encode(),
        "crlf": FID.replace("\n", "\r\n").encode(),
        "cr": FID.replace("\n", "\r").encode(),
        "tabs": FID.replace("1 33 1", "\t1\t33  1").encode(),
        "order": (first + SHAPES + "\n" + blocks + rest.replace(SHAPES, "")).encode(),
        "latin": FID.replace("[DEFINITIONS]\n", "[DEFINITIONS]\nName Zürich\n").encode("latin-1"),
        "mark": b"\xef\xbb\xbf" + FID.encode(),
    }[layout]
    plain, other = check(FID), check(changed)
    assert {name: line.status for name, line in other.items()} == {name: line.status for name, line in plain.items()}
    assert plain["total time"].value == other["total time"].value


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256"])
@pytest.mark.parametrize(
    ("change", "way"),
    [
        (lambda text, kind: signed(text, "", kind), ""),
        (lambda text, kind: signed(text, "\n", kind), "JEMRIS"),
        (lambda text, kind: signed(text, "", kind) + "\n\n", ""),
        (lambda text, kind: signed(text, "", kind).replace("\n", "\r\n"), "line ends of Unix"),
        (lambda text, kind: signed(text.replace("\n", "\r\n"), "", kind), ""),
        (lambda text, kind: signed(text.replace("\n", "\r\n"), "", kind).replace("\r\n", "\n"), "line ends of Windows"),
        (lambda text, kind: signed(text, "", kind).replace("\n[SIGN", "\n\n\n[SIGN"), "one of the blank lines"),
    ],
)
def test_a_signature_is_right_in_every_convention(
    check: Checking, change: Callable[[str, str], str], way: str, kind: str
) -> None:
    line = check(change(FID, kind))["signature"]
    assert line.status == "passed"
    assert way in line.value
    assert ("taken" in line.value) == bool(way)
    edited = check(change(FID, kind).replace("416.667", "416.668"))["signature"]
    assert (edited.status, edited.fault) == ("failed", "file")
    assert "file edited after export" in edited.value


def test_what_a_signature_does_not_say_is_not_evaluated(check: Checking) -> None:
    assert "'crc32'" in check(signed(FID).replace("Type md5", "Type crc32"))["signature"].value
    line = check(signed(FID) + "\n[TRAP]\n9 1000 100 100 100 0\n")["signature"]
    assert (line.status, line.value) == ("not checked", "sections follow it, which it does not cover")


SE_EPI = ("33: 1 0 0 0 0 0", "100: 0 0 0 0 0 0", "33: 2 0 0 0 0 0", *["150: 0 0 0 0 1 0"] * 3)


@pytest.mark.parametrize(
    ("blocks", "status", "said"),
    [
        (("33: 1 0 0 0 0 0", "150: 0 0 0 0 1 0") * 2, "passed", "0.88 ms"),
        (("33: 1 0 0 0 0 0", *["150: 0 0 0 0 1 0"] * 2), "not checked", "several gradient echoes"),
        (SE_EPI, "not checked", "several gradient echoes"),
        (("33: 1 0 0 0 0 0", "150: 0 0 0 0 1 0", *SE_EPI[1:4]), "not checked", "both with and without"),
        (("33: 3 0 0 0 0 0", "33: 1 0 0 0 0 0", "150: 0 0 0 0 1 0") * 2, "passed", "0.88 ms"),
        (("33: 1 0 0 0 0 0", "150: 0 0 0 0 1 0", "33: 1 0 0 0 0 0", "20: 0 0 0 0 0 0", "150: 0 0 0 0 1 0"), "remark",
         "may be meant"),
        (("150: 0 0 0 0 1 0", "33: 1 0 0 0 0 0"), "not checked", "before the first excitation"),
    ],
    ids=["gre", "multi-echo", "se-epi", "fid-and-echo", "inversion", "two echo times", "no excitation"],
)  # fmt: skip
def test_echo_times_of_many_kinds_of_sequence(check: Checking, blocks: tuple[str, ...], status: str, said: str) -> None:
    line = check(sequence(*blocks))["TE on all lines"]
    assert line.status == status, line
    assert said in line.value


def test_evenly_spaced_spin_echoes_pass(check: Checking) -> None:
    """Excitation at 0.2 ms, pulses 5 and 15 ms after it, readouts in the middle between them."""
    train = ("33: 1 0 0 0 0 0", "467: 0 0 0 0 0 0", "33: 2 0 0 0 0 0", "412: 0 0 0 0 0 0", "150: 0 0 0 0 1 0",
             "405: 0 0 0 0 0 0", "33: 2 0 0 0 0 0", "412: 0 0 0 0 0 0", "150: 0 0 0 0 1 0")  # fmt: skip
    line = check(sequence(*train))["TE on all lines"]
    assert "multiples of 10 ms" in line.value
    assert line.status == "passed"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FID.replace("minor 5", "minor 6"), "Pulseq 1.6.0 file"),
        (FID.replace("major 1", "major 2").replace("[RF]", "[PULSES]"), "Pulseq 2.5.0 file"),
        (FID.replace("minor 5", "minor 1"), "Pulseq 1.1.0 file"),
        (FID.replace("[DEFINITIONS]\n", "[DEFINITIONS]\nRequiredExtensions MYNOTES\n"), "the extension MYNOTES"),
        (FID.replace("[SHAPES]", "[GRADIENT_MAPS]\n1 2\n\n[SHAPES]"), "section [GRADIENT_MAPS]"),
        (
            FID.replace("1 33 1 0 0 0 0 0", "1 33 1 0 0 0 0 1")
            + "\n[EXTENSIONS]\n1 1 1 0\n\nextension ROTATIONS 1\n1 1 0 0 0\n",
            "ROTATIONS, which changes what is played",
        ),
        (
            FID.replace("1 33 1 0", "1 33 1 1").replace("[ADC]", "[GRADIENTS]\n1 1000 0 0 1 -1 0\n\n[ADC]"),
            "time shape -1",
        ),
        (b"\x01pulseq\x02" + bytes(40), "binary Pulseq file"),
    ],
)  # fmt: skip
def test_what_the_reader_does_not_know_is_not_evaluated(check: Checking, text: str | bytes, said: str) -> None:
    lines = check(text)
    assert {line.status for line in lines.values()} == {"not checked"}
    assert said in lines["file"].value
    assert "not supported by the installed reader (pypulseq 1." in lines["file"].value
    assert lines["file"].value.endswith("nothing was evaluated")


def test_optional_extensions_and_labels_are_ignored_with_a_remark(check: Checking) -> None:
    """A list of three entries, of which the middle one is left out."""
    text = FID.replace("1 33 1 0 0 0 0 0", "1 33 1 0 0 0 0 3") + (
        "\n[EXTENSIONS]\n1 1 1 0\n2 2 1 1\n3 1 2 2\n4 1 3 0\n\nextension LABELSET 1\n1 5 LIN\n2 7 SLC\n3 1 NEWLABEL\n\n"
        "extension MYNOTES 2\n1 7 hello\n"
    )
    lines = check(text)
    assert [line.name for line in lines.values() if line.status == "failed"] == []
    assert lines["reader's remarks"].status == "remark"
    assert "ignored as optional: extension MYNOTES, label NEWLABEL" in lines["reader's remarks"].value
    assert lines["labels have a start value"].value == "LIN, SLC"


def test_a_later_revision_is_a_remark(check: Checking) -> None:
    lines = check(FID.replace("revision 0", "revision 1"))
    assert {line.status for line in lines.values()} == {"passed", "not checked", "remark"}
    assert "1.5.1 is higher" in lines["reader's remarks"].value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[: text.index("shape_id 3")], "needs shape 3, which is not in [SHAPES]; it looks cut"),
        (lambda text: text[: text.rindex("200") - 1], "shape 3 has 1 of the 2 samples that it declares; it looks cut"),
        (lambda text: text[: text.index("[RF]")], "ends inside [BLOCKS] (line 14): block 1 in line 13 needs the event"),
        (lambda text: text[: text.index("2 200 0") + 9], "ends inside [BLOCKS] (line 14): 4 values of 8; it looks cut"),
        (lambda text: text[: text.index("[BLOCKS]")], "ends inside [DEFINITIONS] (line 10): [BLOCKS] is missing"),
        (lambda text: text.replace("1 64 20000 100", "1 64 20000"), "in [ADC]: 8 values of 9; the file is damaged"),
        (lambda text: text.replace("1 64 20000 100", "1 0 20000 100"), "0 in column 2 is no whole number from 1 on"),
        (lambda text: text.replace("1 416.667 1 2", "1 416.667 9 2"), "needs shape 9, which is not in [SHAPES]"),
        (lambda text: text.replace("2 200 0", "1 200 0"), "the number 1 occurs twice, first in line 13"),
        (lambda text: text.replace("1e-05\nGrad", "none\nGrad"), "BlockDurationRaster is 'none', which is no time"),
        (
            lambda text: text.replace("1 33 1 0 0 0 0 0", "1 33 1 0 0 0 0 1") + "\n[EXTENSIONS]\n1 1 1 2\n2 1 1 1\n\n"
            "extension LABELSET 1\n1 5 LIN\n",
            "runs in a circle",
        ),
    ],
)  # fmt: skip
def test_cut_and_damaged_files_are_named(check: Checking, change: Callable[[str], str], said: str) -> None:
    lines = check(change(FID))
    assert (lines["file"].status, lines["file"].fault) == ("failed", "file")
    assert said in lines["file"].value


@needs_peers
@pytest.mark.parametrize("name", ["write_gre", "write_epi", "simple_mprage130", "simple_mprage140", "write_tse"])
def test_files_cut_anywhere_are_named_as_cut(tmp_path: Path, name: str) -> None:
    content = (PEERS / f"{name}.seq").read_bytes()
    draw = random.Random(name)
    path = tmp_path / "cut.seq"
    start, signature = content.index(b"[VERSION]") + 10, content.find(b"[SIGNATURE]")
    end = signature if signature > 0 else len(content.rstrip()) - 12
    for at in draw.sample(range(start, end), 25):
        path.write_bytes(content[:at])
        if not content[at:end].strip():
            continue  # whole but for its signature
        with pytest.raises(FileError, match=r"it ends inside \[\w+\] \(line \d+\): .*; it looks cut there") as caught:
            read_seq_text(path)
        assert not isinstance(caught.value, UnsupportedSequence)
    for at in [] if signature < 0 else [signature + 12, len(content) - 2]:
        path.write_bytes(content[:at])
        assert read_seq_text(path).signature.state == "cut"  # type: ignore[union-attr]


def test_rules_of_an_interpreter_count_for_its_vendor(check: Checking) -> None:
    labelled = (
        FID.replace("2 200 0 0 0 0 1 0", "2 200 0 0 0 0 1 1\n3 200 0 0 0 0 2 0").replace(
            "[ADC]\n", "[ADC]\n2 32 20000 100 0 0 0 0 0\n"
        )
        + "\n[EXTENSIONS]\n1 1 1 0\n\nextension LABELSET 1\n1 5 LIN\n"
    )
    start, kinds = "labels have a start value", "one kind of readout"
    found = {name: check(labelled, name) for name in ("mri-siemens-prisma", "mri-generic-3t", "mri-ge-premier")}
    assert [lines[start].status for lines in found.values()] == ["failed", "remark", "not checked"]
    assert found["mri-siemens-prisma"][start].fault == "limit"
    assert [lines[kinds].status for lines in found.values()] == ["remark", "remark", "not checked"]


def test_an_oblique_slice_is_a_remark_unless_it_is_asked_for(check: Checking) -> None:
    """25 mT/m on two axes at once: within 30 mT/m each, 35.4 mT/m in an oblique slice."""
    amplitude = 25e-3 * 42.576e6
    trap = f"[TRAP]\n1 {amplitude:.6g} 400 200 400 0\n2 {2 * amplitude:.6g} 800 200 800 0\n\n"
    text = sequence("100: 0 1 1 0 0 0", extra=trap)
    name = "gradient, any orientation"
    assert check(text)[name].status == "remark"
    assert "35.36 mT/m" in check(text)[name].value
    assert check(text, orientation="any")[name].status == "failed"
    assert check(text, orientation="as-written")[name].status == "not checked"
    beyond = check(sequence("180: 0 2 0 0 0 0", extra=trap))
    assert [beyond[one].status for one in ("gradient x", "gradient y", name)] == ["failed", "passed", "failed"]


@needs_cases
@pytest.mark.usefixtures("pulseq_in_the_child")
@pytest.mark.parametrize(
    ("case", "code", "said"),
    [
        ("01_seq_shapes_last/own_fid_shapes_last", 0, "19 passed, 15 not evaluated"),
        ("02_seq_jemris_signature/own_fid_jemris", 0, "as JEMRIS takes it"),
        ("03_seq_spin_echo_epi/own_se_epi", 0, "TE on all lines: several gradient echoes for each excitation"),
        ("04_seq_newer_features/plain151", 0, "1 remarked on"),
        ("04_seq_newer_features/unknown_optional", 0, "ignored as optional: extension MYNOTES"),
        ("04_seq_newer_features/rotation", 5, "nothing was evaluated"),
        ("04_seq_newer_features/half_raster", 5, "nothing was evaluated"),
    ],
)
def test_the_cases(case: str, code: int, said: str) -> None:
    arguments = [str(CASES / f"{case}.seq"), "--profile", "mri-generic-3t"]
    done = CliRunner().invoke(command, arguments)
    assert said in done.output
    assert "whole?" not in done.output
    assert (0 if done.exception is None else getattr(done.exception, "exit_code", 1)) == code


@pytest.mark.usefixtures("pulseq_in_the_child")
def test_what_pypulseq_stops_at_is_no_fault_of_the_file(tmp_path: Path) -> None:
    """Compressed shapes of as many values as samples, before 1.4.0: the installed pypulseq stops at them."""
    path = tmp_path / "some.seq"
    old = HEAD.replace("minor 5", "minor 3")
    path.write_text(
        f"{old}[BLOCKS]\n1 0 0 1 0 0 0 0\n\n[GRADIENTS]\n1 1000 1 0\n\n"
        "[SHAPES]\n\nshape_id 1\nnum_samples 3\n0.5\n0.4\n0\n"
    )
    with pytest.raises(UnsupportedSequence, match=r"stops at something in it \(TypeError.*nothing was evaluated"):
        read_pulseq(path, load_mri("mri-generic-3t"))

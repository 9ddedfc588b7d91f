"""What every device family must keep: each law is a function that takes a case and an empty folder.

CASES = [FamilyCase(MY_FAMILY, design, other, profile)]

@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("case", CASES)
def test_family(case, law, tmp_path):
    law(case, tmp_path)
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from cidesign.errors import CidesignError, FileError, InputError
from cidesign.export.family import AnyFamily, Exported
from cidesign.export.folder import DESIGN_NAME, MANIFEST_NAME
from cidesign.export.manifest import check_files
from cidesign.export.writing import Output
from cidesign.files import read_json, write_json

# More renames than any export makes.
_MOST_RENAMES = 200


@dataclass(frozen=True)
class FamilyCase:
    """A family with a design that no flip, turn or transpose leaves as it is, and another one of the same size.

    Designs are dataclasses.  `other` is best the same one flipped: what a reader that loses the direction would take
    for it.  `settings` are options of the export, at least one.
    """

    family: AnyFamily
    design: Any
    other: Any
    profile: Any
    formats: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def export(self, folder: Path, design: Any = None, force: bool = False) -> Exported:
        """The export of a design, this case's own where None."""
        options = self.family.options(self.formats, self.settings)
        chosen = self.design if design is None else design
        done: Exported = self.family.export(chosen, self.profile, folder, options, force)
        return done


def an_export_is_found_right(case: FamilyCase, folder: Path) -> None:
    """Everything passes, nothing fails, and all that was written is named with its hash."""
    done = case.export(folder / "e")
    for one in done.folders:
        statuses = [finding.status for finding in case.family.verify_export(one)]
        assert set(statuses) - {"remark", "not checked"} == {"passed"}, statuses
        manifest = case.family.manifest(one)
        assert manifest.kind in case.family.kinds
        check_files(one, manifest)
        assert list(case.family.verify_export(one, case.profile)), "its own profile is the same device"
    assert done.text
    assert done.value


def a_design_is_read_as_it_was_written(case: FamilyCase, folder: Path) -> None:
    """`read(write(d)) == d`, and the other design is not taken for it."""
    assert case.design.design_digest != case.other.design_digest
    for design in (case.design, case.other):
        for one in case.export(folder / design.design_digest, design).folders:
            read, profile = case.family.opened(one)
            assert read.design_digest == design.design_digest == case.family.manifest(one).design_digest
            assert profile.digest == case.profile.digest


def device_files_are_compared_with_the_design(case: FamilyCase, folder: Path) -> None:
    """Another design among the same device files is found, with all hashes and digests put right."""
    forged = case.export(folder / "forged").folders
    for one, other in zip(forged, case.export(folder / "other", case.other).folders, strict=True):
        shutil.copy(other / DESIGN_NAME, one / DESIGN_NAME)
        _record_again(case, one, DESIGN_NAME)
        raw = read_json(one / MANIFEST_NAME, "manifest")
        raw["design_digest"] = case.other.design_digest
        write_json(one / MANIFEST_NAME, raw)
        _refused(case, one)


def damage_is_found(case: FamilyCase, folder: Path) -> None:
    """A flipped bit, a cut end, a missing and a foreign file are each a `FileError`."""
    for one in case.export(folder / "e").folders:
        for name in case.family.manifest(one).files:
            whole = (one / name).read_bytes()
            middle = len(whole) // 2
            for content in (whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], whole[:-1], None):
                (one / name).unlink()
                if content is not None:
                    (one / name).write_bytes(content)
                _refused(case, one)
                (one / name).write_bytes(whole)
        (one / "foreign").write_bytes(b"")
        _refused(case, one)
        (one / "foreign").unlink()
        assert list(case.family.verify_export(one)), "sound again"


def damaged_manifests_are_refused(case: FamilyCase, folder: Path) -> None:
    """A field too many or missing, another version or kind, and a changed profile are each a `FileError`."""
    one = case.export(folder / "e").folders[0]
    sound = read_json(one / MANIFEST_NAME, "manifest")
    wrong = [{**sound, "surplus": 1}, {**sound, "schema_version": 2}, {**sound, "kind": "nothing-known"}]
    wrong += [{**sound, "profile_digest": "0" * 64}, {**sound, "design_digest": "0" * 64}]
    wrong += [{key: value for key, value in sound.items() if key != left_out} for left_out in ("kind", "files")]
    for raw in wrong:
        write_json(one / MANIFEST_NAME, raw)
        _refused(case, one)
    (one / MANIFEST_NAME).unlink()
    _refused(case, one)


def a_folder_appears_only_whole(case: FamilyCase, folder: Path) -> None:
    """Wherever writing fails nothing new is there, and what was there before is as it was."""
    target = folder / "place" / "e"
    case.export(target)
    before = _contents(target.parent)
    for last in range(_MOST_RENAMES):
        with _failing_after(last):
            try:
                case.export(target, case.other, force=True)
                break
            except FileError:
                pass
        assert _contents(target.parent) == before, f"after {last} renames"
    else:
        raise AssertionError("it never succeeded")
    assert last > 0, "nothing was renamed"
    assert case.family.manifest(_first_folder(target)).design_digest == case.other.design_digest


def what_is_there_needs_force(case: FamilyCase, folder: Path) -> None:
    """An export is not overwritten without being told, and another profile's design is not exported at all."""
    target = folder / "place" / "e"
    case.export(target)
    before = _contents(target.parent)
    _raises(FileError, "--force", lambda: case.export(target, case.other))
    assert _contents(target.parent) == before
    foreign = replace(case.design, profile_digest="0" * 64)
    _raises(InputError, "", lambda: case.export(target, foreign, force=True))
    assert _contents(target.parent) == before


def foreign_options_are_refused(case: FamilyCase, folder: Path) -> None:
    """A name that the family does not have is refused with those that it has; so is a format."""
    family = case.family
    _raises(InputError, "known are", lambda: family.options((), {"no_such_option": 1}))
    _raises(InputError, "known are", lambda: family.file_options({"no_such_option": 1}))
    options = family.options(("no-such-format",), case.settings)
    _raises(InputError, "no-such-format", lambda: family.export(case.design, case.profile, folder / "e", options))
    for name in case.settings:
        wrong = {**case.settings, name: object()}
        _raises(InputError, name, partial(family.options, (), wrong))
    assert not list(folder.iterdir())


LAWS: tuple[Callable[[FamilyCase, Path], None], ...] = (
    an_export_is_found_right,
    a_design_is_read_as_it_was_written,
    device_files_are_compared_with_the_design,
    damage_is_found,
    damaged_manifests_are_refused,
    a_folder_appears_only_whole,
    what_is_there_needs_force,
    foreign_options_are_refused,
)


def _refused(case: FamilyCase, folder: Path) -> None:
    _raises(FileError, "", lambda: list(case.family.verify_export(folder)))


def _raises(kind: type[CidesignError], said: str, act: Callable[[], object]) -> None:
    """Have `act` fail with one line of a kind."""
    text = None
    try:
        act()
    except kind as error:
        text = str(error)
    assert text is not None, f"no {kind.__name__} was raised"
    assert said in text, text
    assert "\n" not in text, text


def _record_again(case: FamilyCase, folder: Path, name: str) -> None:
    """Put the new hash of a file into the manifest."""
    raw = json.loads((folder / MANIFEST_NAME).read_text())
    entry = case.family.manifest(folder).files[name]
    out = Output(folder, type(entry))
    out.record(name, entry.role)
    raw["files"][name] = {**raw["files"][name], **out.files[name].model_dump(mode="json", include={"sha256", "bytes"})}
    write_json(folder / MANIFEST_NAME, raw)


def _failing_after(renames: int) -> Any:
    """Have every rename after so many fail, as on a disk that is full."""
    real, done = os.replace, [0]

    def replace(source: Any, target: Any) -> None:
        done[0] += 1
        if done[0] == renames + 1:
            raise OSError(28, "No space left on device")
        real(source, target)

    return mock.patch("cidesign.files.os.replace", replace)


def _first_folder(target: Path) -> Path:
    return target if (target / MANIFEST_NAME).is_file() else next(target.glob(f"*/{MANIFEST_NAME}")).parent


def _contents(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }

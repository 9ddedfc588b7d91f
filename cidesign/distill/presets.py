"""The settings of a run: three presets for each modality, and what the user changes of them by name."""

import tomllib
from collections.abc import Mapping
from typing import Any

import torch
from pydantic.fields import FieldInfo

from cidesign.distill.choices.guiding import NO_TERMS, default_terms
from cidesign.distill.computing.threads import require_processors
from cidesign.distill.given import GivenDesign
from cidesign.distill.recipes import published_weights, recipe_values
from cidesign.distill.tasks.base import Task, task_named
from cidesign.errors import InputError
from cidesign.hardware_profiles.schema import HardwareProfile
from cidesign.modality import Modality, Preset, modalities, modality_for
from cidesign.models.decoders import decoder_class
from cidesign.run_settings import TrainingSettings, about_a_teacher, plain, shown_value, unknown, validated
from cidesign.text import joined

# What decides the others of these has an argument of its own, or follows from the profile.
NOT_BY_NAME = ("modality", "preset", "design", "teacher", "only_teacher", "classes")
SMALLEST_SIDE = 8
# Settings that only make sense where a run trains its own teacher.
OF_OWN_TEACHERS = ("ladder", "teacher_epochs")
# Settings that only make sense where there is a teacher, and what they are without one (None: left out).
OF_TEACHERS: Mapping[str, object] = {
    "ladder": None, "teacher_epochs": 0, "start": "fresh", "losses": None, "weighting": None, "weight_decoder": 0,
    "weight_encoder": 0, "weight_output": 0,
}  # fmt: skip


def settings_for(
    profile: HardwareProfile,
    preset: str = "quick",
    given: GivenDesign | None = None,
    teacher: str | None = None,
    only_teacher: bool = False,
    **by_name: Any,
) -> TrainingSettings:
    """All settings of a run: those of the preset, and any setting by its name (`images=2000, channels=32`).

    Names are the fields of the modality's settings, their shorter words (`photoelectrons`, `lines`) and the decoder's
    own settings; None leaves what the recipe, the preset or the device says.  What follows from a design that is
    `given` is taken from it, and refused where it is given otherwise too.  `teacher` names a run whose teacher is
    stored: none is trained; `only_teacher`: nothing else is.  Raises `InputError` or `LimitError`, one line, for what
    there is not, what is out of range, and what cannot be trained for the profile.
    """
    kind = modality_for(profile, by_name.get("sampling"), None if given is None else type(given.design))
    if preset not in kind.presets:
        raise InputError(f"preset {shown_value(preset)}: use {', '.join(kind.presets)}")
    asked = {name: plain(value) for name, value in by_name.items() if value is not None}
    end_to_end = asked.get("strategy") == "e2e"
    if end_to_end:
        _require_no_teacher(asked, teacher, only_teacher)
    asked = {**recipe_values(asked.get("recipe")), **asked}
    known = _known(kind, asked)
    for name in asked:
        if name not in known:
            raise InputError(_foreign(name, kind, profile) or unknown(name, list(known)))
    values, typed = _fields(asked, kind)
    task = _task_of(values, kind)
    for name, value in task.presets.items():
        if name in kind.settings_type.model_fields:
            values.setdefault(name, value)
    own = _decoder_values(values, kind, kind.presets[preset].channels)
    if given is not None:
        values = _of_design(values, typed, given, kind)
    if teacher is not None or only_teacher:
        values = _of_teacher(values, typed, teacher)
    if end_to_end and given is None:
        values = _without_teacher(values, kind.presets[preset])
    values = {**_preset_values(kind.presets[preset]), **values, "preset": preset, "decoder_settings": own}
    _complete(values, given, kind.largest_side, task.name)
    settings = kind.settings(values, profile, typed)
    if settings.threads is not None:
        require_processors(settings.threads)
    task.require(settings, kind)
    optics = kind.optics(settings, profile)
    with torch.device("meta"):  # shapes only: a teacher's patterns could be gigabytes
        for relaxation in settings.ladder if settings.teacher_epochs else ():
            optics.encoder(relaxation)
    return settings


def _of_design(
    values: Mapping[str, object], typed: Mapping[str, str], given: GivenDesign, kind: Modality
) -> dict[str, object]:
    """The values with those that follow from the design; without a decoder that learns, nothing is trained."""
    follow = kind.settings_of(given.design)
    for field, value in follow.items():
        if field in values and values[field] != value:
            raise InputError(
                f"{typed[field]} {shown_value(values[field])}: the design {given.name} has {shown_value(value)}; "
                "leave it out"
            )
    decoder = _decoder_of(values, kind)
    if not decoder_class(decoder).learns:
        for name in ("teacher_epochs", "student_epochs"):
            if values.get(name, 0) != 0:
                raise InputError(
                    f"{typed[name]} {shown_value(values[name])}: the decoder {decoder} learns nothing, and the optics "
                    "are given; leave it out"
                )
            follow[name] = 0
    return {**values, **follow, "design": given.name}


def _of_teacher(values: Mapping[str, object], typed: Mapping[str, str], teacher: str | None) -> dict[str, object]:
    """The values of a run with a stored teacher, or (None) of one that trains a teacher alone."""
    if teacher is None:
        # Whatever the defaults are, there is nobody to guide.
        return {"student_epochs": 0, **NO_TERMS, "only_teacher": True, **values}
    for name in OF_OWN_TEACHERS:
        if values.get(name, 0) != 0:
            raise InputError(
                f"{typed[name]} {shown_value(values[name])}: is for teachers that the run trains, and {teacher} is "
                "stored; leave one of them out"
            )
    return {**values, "teacher": teacher, "teacher_epochs": 0}


def _require_no_teacher(asked: Mapping[str, object], teacher: str | None, only_teacher: bool) -> None:
    """Raise `InputError` for what is about a teacher where the optics are to be trained end to end."""
    if teacher is not None:
        raise InputError(about_a_teacher("teacher", teacher))
    if only_teacher:
        raise InputError(about_a_teacher("only_teacher", only_teacher))
    for name, without in OF_TEACHERS.items():
        if name in asked and asked[name] != without:
            raise InputError(about_a_teacher(name, asked[name]))


def _without_teacher(values: Mapping[str, object], preset: Preset) -> dict[str, object]:
    """The values of a run that is trained end to end: as many epochs as teacher and student have together."""
    together = preset.teacher_epochs + preset.student_epochs
    return {"student_epochs": together, **values, "teacher_epochs": 0, "start": "fresh"}


def values_of_texts(
    profile: HardwareProfile, texts: Mapping[str, str], given: GivenDesign | None = None
) -> dict[str, object]:
    """NAME=VALUE words as values for `settings_for`: text where the setting is one, else numbers, true and false.

    Raises `InputError` for a name that there is not.
    """
    kind = modality_for(profile, texts.get("sampling"), None if given is None else type(given.design))
    known = _known(kind, {**recipe_values(texts.get("recipe")), **texts})
    found: dict[str, object] = {}
    for name, text in texts.items():
        if name not in known:
            raise InputError(_foreign(name, kind, profile) or unknown(name, list(known)))
        found[name] = text if known[name].annotation is str else _number_or_text(text)
    return found


def _number_or_text(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _task_of(values: Mapping[str, object], kind: Modality) -> Task:
    return task_named(str(values.get("task", kind.settings_type.model_fields["task"].default)))


def _decoder_of(values: Mapping[str, object], kind: Modality) -> str:
    """The decoder that values name, else that of their task, else the default."""
    default = kind.settings_type.model_fields["decoder"].default
    return str(values.get("decoder", _task_of(values, kind).presets.get("decoder", default)))


def _known(kind: Modality, values: Mapping[str, object]) -> dict[str, FieldInfo]:
    """All names that a user can give, with the fields that they stand for; the decoder's own come last."""
    own = kind.settings_type.model_fields
    fields = {name: field for name, field in own.items() if name not in NOT_BY_NAME}
    words = {word: own[name] for word, name in kind.words.items()}
    derived = {name: FieldInfo(annotation=float) for name in kind.derived}
    knobs = decoder_class(_decoder_of(values, kind)).settings_type.model_fields
    return {**knobs, **fields, **words, **derived}


def _foreign(name: str, kind: Modality, profile: HardwareProfile) -> str | None:
    """What to say of a setting of other modalities; None for a name that none has."""
    owners = [one for one in modalities() if name in _own_names(one)]
    if not owners:
        return None
    said = f"{name}: is for {joined([one.name for one in owners], 'and')} runs; {profile.id} makes {kind.name} runs"
    here = [word for one in owners if isinstance(profile, one.profile_type) for word in one.samplings]
    if here:  # another modality of the same device
        return f"{said} here. Leave it out, or give sampling {joined(here, 'or')}"
    return f"{said}. Leave it out"


def _own_names(kind: Modality) -> set[str]:
    return {*kind.settings_type.model_fields, *kind.words, *kind.derived} - set(NOT_BY_NAME)


def _fields(given: Mapping[str, object], kind: Modality) -> tuple[dict[str, object], dict[str, str]]:
    """Values by field, and the names that the user typed for fields; a field given under two names is refused."""
    values: dict[str, object] = {}
    typed: dict[str, str] = {}
    for name, value in given.items():
        field = kind.words.get(name, name)
        if field in values:
            raise InputError(f"{typed[field]} and {name} are the same setting; give one of them")
        values[field], typed[field] = value, name
    return values, typed


def _decoder_values(values: dict[str, object], kind: Modality, channels: int) -> dict[str, object]:
    """The decoder's own settings, complete; those among `values` are taken out of there."""
    fields = kind.settings_type.model_fields
    settings_type = decoder_class(_decoder_of(values, kind)).settings_type
    together = values.pop("decoder_settings", {})
    if not isinstance(together, Mapping):
        raise InputError(f"decoder_settings {shown_value(together)}: a mapping of names to values is needed")
    single = {name: values.pop(name) for name in settings_type.model_fields if name in values and name not in fields}
    if twice := sorted(single.keys() & together.keys()):
        raise InputError(f"{twice[0]}: given by name and in decoder_settings; give it once")
    own = {**together, **single}
    if "channels" in settings_type.model_fields:
        own.setdefault("channels", channels)
    return validated(settings_type, own).model_dump()


def _preset_values(preset: Preset) -> dict[str, object]:
    names = ("side", "images", "validation_images", "batch", "teacher_epochs", "student_epochs")
    return {**{name: getattr(preset, name) for name in names}, **preset.others}


def _complete(values: dict[str, object], given: GivenDesign | None, largest: int, task: str) -> None:
    """What depends on other settings and on this machine."""
    side, ladder = values["side"], values.get("ladder")
    # A design that exists has the size that it has.
    if given is None and _untrainable(side, largest):
        raise InputError(
            f"side {shown_value(side)}: between {SMALLEST_SIDE} and {largest} pixels a side can be trained"
        )
    if isinstance(ladder, str):
        values["ladder"] = tuple(word.strip() for word in ladder.split(","))
    values["device"] = device = pick_device(values.get("device", "auto"))
    values.setdefault("precision", "bfloat16" if gains_from_bfloat16(device) else "float32")
    if values.get("losses") == "published":
        has_teacher = values.get("teacher") is not None or values.get("teacher_epochs") != 0
        for name, weight in published_weights(has_teacher, given is not None).items():
            values.setdefault(name, weight)
    else:
        for name, value in default_terms(values, task).items():
            values.setdefault(name, value)


def _untrainable(side: object, largest: int) -> bool:
    return isinstance(side, bool) or not isinstance(side, int) or not SMALLEST_SIDE <= side <= largest


def pick_device(name: object) -> str:
    """`auto` is a GPU when there is one; raises `InputError` for a device that torch cannot use."""
    if not isinstance(name, str):
        raise InputError(f"device {shown_value(name)}: auto, cpu, cuda, cuda:1 ... is needed")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name}: torch cannot use it here ({str(error).splitlines()[0]}); try auto") from error
    return name


def gains_from_bfloat16(device: str) -> bool:
    """Whether the convolutions run faster in bfloat16: GPUs that support it, CPUs with the instructions for it."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    # torch tells what a CPU can do since 2.6 or so; an older one trains in float32.
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))

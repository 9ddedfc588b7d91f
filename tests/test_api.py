"""The verbs in Python: cheap to import, named, and the same objects as on the command line."""

import inspect
import subprocess
import sys

import pytest

import cidesign as ci
from cidesign import api, verbs


def test_import_is_cheap() -> None:
    program = (
        "import sys, cidesign; heavy = {'torch', 'numpy', 'pydantic', 'scipy', 'cv2', 'matplotlib', 'click'}; "
        "found = heavy & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_profiles_load_no_torch() -> None:
    program = "import sys, cidesign as ci; ci.profile('dlp4500'); ci.profiles(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_every_verb_is_a_function_of_the_api() -> None:
    for name in verbs.NAMES:
        assert inspect.isfunction(getattr(api, name)), name
        assert name in dir(ci)
        assert getattr(api, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'distil'"):
        ci.distil  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("name", ["distill", "export", "reconstruct", "report", "sweep"])
def test_a_room_with_the_name_of_a_verb_is_called_as_the_verb(name: str) -> None:
    program = (
        f"import inspect, cidesign as ci, cidesign.{name}, cidesign.api as api; room = ci.{name}\n"
        "from cidesign.errors import InputError\n"
        f"assert inspect.ismodule(room) and inspect.signature(room) == inspect.signature(api.{name}); "
        "ok = False\n"
        "try: room()\n"
        "except (TypeError, InputError) as error: ok = 'missing' in str(error) or 'a profile is needed' in str(error)\n"
        "assert ok"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)

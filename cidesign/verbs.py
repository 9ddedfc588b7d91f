"""The verbs in `import cidesign`, loaded when they are used."""

import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

NAMES = frozenset(
    {
        "bridge",
        "calibrate",
        "check",
        "design",
        "distill",
        "doctor",
        "emulate",
        "evaluate",
        "export",
        "export_decoder",
        "fixed_design",
        "open_calibration",
        "open_capture",
        "open_design",
        "open_reconstruction",
        "open_run",
        "profile",
        "profiles",
        "reconstruct",
        "report",
        "resume",
        "simulate",
        "status",
        "stop",
        "sweep",
        "to_deepinv",
        "upload",
    }
)


def verb(name: str) -> Callable[..., Any]:
    """The function of `cidesign.api`."""
    found: Callable[..., Any] = getattr(importlib.import_module("cidesign.api"), name)
    return found


class _Room(ModuleType):
    """A package whose name is a verb too.

    Python makes every imported package an attribute of its parent, where it takes the place of the function of that
    name; calling the package calls the function.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return verb(self.__name__.rpartition(".")[2])(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(verb(self.__name__.rpartition(".")[2]))


def is_verb_too(package: str) -> None:
    """Let a package whose name is a verb be called as the verb."""
    sys.modules[package].__class__ = _Room

"""Import packages without parts that are slow and not used."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def imported_later(*modules: str) -> Iterator[None]:
    """Keep what is imported during the block from importing these modules, until it calls something of them.

    For modules of which the importing one uses only functions and classes, and those only within functions.
    The garbage collector rests during the block: imports leave little garbage, and it would go through all
    that they make, again and again.
    """
    collects = gc.isenabled()
    gc.disable()
    held = {name: _Later(name) for name in modules if name not in sys.modules}
    sys.modules.update(held)
    try:
        yield
    finally:
        if collects:
            gc.enable()
        for name, module in held.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


class _Later(ModuleType):
    """Stands for a module. A name taken from it is a class, so that it may occur in annotations."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(cls: type, *values: Any, **named: Any) -> Any:
            return getattr(import_module(self.__name__), name)(*values, **named)

        return type(name, (), {"__new__": call})

# SPDX-License-Identifier: Apache-2.0
"""One registry for everything that plugs in: laws, readers, planners, renderers.

A room calls `discover("forescale.laws", kind=Law)`: every module of the room whose name does not begin with `_` is
imported, and each module-level value of that kind is a member. Entry points of the group of the same name come
through the same door. A duplicate id is an error that names both origins; a plug-in that cannot be imported is
recorded (see `failures`), never fatal.

The environment variable `FORESCALE_PLUGINS` restricts entry points: `off`, or a comma-separated list of entry names.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from forescale.core.errors import InputError, message


class HasId(Protocol):
    """Anything that can be registered."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=HasId)

_FAILURES: dict[str, str] = {}


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered thing and where it came from."""

    value: T
    origin: str


def discover(room: str, kind: type[T], *, plugins: bool = True) -> dict[str, Entry[T]]:
    """All members of a room, built-ins first, then the entry points of the group named like the room.

    Args:
        room: dotted package name, e.g. `"forescale.laws"`; also the entry-point group.
        kind: the (final) class whose instances are members.
        plugins: whether to look at entry points; reading them costs more than all else when many packages are
            installed, so a caller who wants one built-in by name looks there first.

    Returns:
        id -> Entry, sorted by id.

    Raises:
        InputError: two members share an id; both origins are named.
    """
    found: dict[str, Entry[T]] = {}
    for value, origin in [*_builtins(room, kind), *(_plugins(room, kind) if plugins else ())]:
        known = found.get(value.id)
        if known is not None and known.value is not value:
            raise InputError(
                message(
                    f"the id {value.id!r} is registered twice in {room}: by {known.origin} and by {origin}",
                    "one owner for each id",
                    "rename one of them, or set FORESCALE_PLUGINS=off",
                )
            )
        found[value.id] = Entry(value, origin)
    return dict(sorted(found.items()))


def seek(room: str, kind: type[T], name: str) -> T | None:
    """One built-in member by id, without importing the whole room: only modules whose text holds the id in quotes.

    Those that write it as `id="..."` come first: others may only speak of it. None where no such module has it;
    `discover` then says whether another way of writing the id, or a plug-in, does.
    """
    package = importlib.import_module(room)
    for wanted in (f'id="{name}"', f'"{name}"'):
        for folder in package.__path__:
            for path in sorted(Path(folder).glob("[!_]*.py")):
                if wanted in path.read_text(encoding="utf-8"):
                    for value in _members(vars(importlib.import_module(f"{room}.{path.stem}")).values(), kind):
                        if value.id == name:
                            return value
    return None


def failures() -> dict[str, str]:
    """Plug-ins that could not be loaded so far: entry point -> reason."""
    return dict(_FAILURES)


def _members(namespace: Iterable[Any], kind: type[T]) -> Iterator[T]:
    for value in namespace:
        if isinstance(value, kind):
            yield value


def _builtins(room: str, kind: type[T]) -> Iterator[tuple[T, str]]:
    package = importlib.import_module(room)
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{room}.{info.name}")
        for value in _members(list(vars(module).values()), kind):
            yield value, module.__name__


def _plugins(group: str, kind: type[T]) -> Iterator[tuple[T, str]]:
    allowed = os.environ.get("FORESCALE_PLUGINS", "").strip()
    if allowed == "off":
        return
    import importlib.metadata

    names = {name.strip() for name in allowed.split(",") if name.strip()}
    for entry in importlib.metadata.entry_points(group=group):
        if names and entry.name not in names:
            continue
        origin = f"entry point {entry.name} = {entry.value}"
        try:
            loaded = entry.load()
        except Exception as error:  # a plug-in may fail in any way; it must not take the program with it
            _FAILURES[origin] = f"{type(error).__name__}: {error}"
            continue
        if isinstance(loaded, kind):
            yield loaded, origin
        elif isinstance(loaded, Iterable) and not isinstance(loaded, (str, bytes)):
            for value in _members(loaded, kind):
                yield value, origin
        else:
            _FAILURES[origin] = f"is a {type(loaded).__name__}, expected {kind.__name__}"


# Lets `fit.plot()` and `plan.plot()` live below `reporting` without importing it.
_LAZY_RENDERERS: dict[str, str] = {
    "fit": "forescale.reporting.charts",
    "plan": "forescale.reporting.charts",
    "comparison": "forescale.reporting.charts",
}


def renderer(name: str) -> Callable[..., Any]:
    """The function that draws `name`: `render(value, **options)` of the module registered for it."""
    module = importlib.import_module(_LAZY_RENDERERS[name])
    function: Callable[..., Any] = module.render
    return function

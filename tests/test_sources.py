"""The sources themselves: what no compiler and no linter looks at."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

import pytest

import evmcore

PACKAGE = Path(__file__).parents[1] / "src" / "evmcore"
IMPORT = re.compile(r"^from (\S+) c?import (?:\(([^)]*)\)|([^(\n]+))", re.MULTILINE)
SOURCE_FILE = re.compile(r"\w+\.(?:pyx|pxd|pyi|pxi)\b")


def read(path: Path) -> str:
    """A compiled module's text with that of the files it includes."""
    text = path.read_text()
    for name in re.findall(r'^include "([^"]+)"', text, re.MULTILINE):
        places = [place for place in (path.parent / name, PACKAGE / name) if place.exists()]
        text += places[0].read_text() if places else ""
    return text


def imported(text: str) -> Iterator[tuple[str, str]]:
    """Module and name of everything that is imported by name, as it is called here."""
    for module, many, few in IMPORT.findall(text):
        for entry in re.sub(r"#.*", "", many or few).split(","):
            words = entry.split()
            if words and words != ["annotations"]:
                yield module, words[-1]


def test_tests_import_what_they_share_from_modules_that_are_no_tests() -> None:
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        assert not re.search(r"^\s*(?:from|import) .*\btest_", path.read_text(), re.MULTILINE), path.name


def test_compiled_modules_import_what_they_use_and_nothing_else() -> None:
    modules = sorted(PACKAGE.rglob("*.pyx"))
    taken = {pair for path in PACKAGE.rglob("*.p[xy][xd]") for pair in imported(path.read_text())}
    unused = []
    for path in modules:
        declarations = path.with_suffix(".pxd")
        own = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        text, declared = read(path), declarations.read_text() if declarations.exists() else ""
        for _, name in imported(text):
            if len(re.findall(rf"\b{name}\b", text)) < 2:
                unused.append(f"{path.name}: {name}")
        # What declarations import, the module has too, and others may import it from there.
        for _, name in imported(declared):
            if len(re.findall(rf"\b{name}\b", declared + text)) < 2 and (own, name) not in taken:
                unused.append(f"{declarations.name}: {name}")
    assert len(modules) > 60
    assert unused == []


@pytest.mark.parametrize("name", evmcore.__all__)
def test_public_names_say_what_they_are(name: str) -> None:
    value = getattr(evmcore, name)
    if isinstance(value, str):
        return
    described = {name: value.__doc__}
    if inspect.isclass(value):
        members = {own: found for own, found in vars(value).items() if not own.startswith("_")}
        described |= {
            f"{name}.{own}": found.__doc__
            for own, found in members.items()
            if isinstance(found, (FunctionType, property, classmethod, staticmethod))
            or inspect.ismethoddescriptor(found)
        }
    for own, text in described.items():
        assert text is not None and len(text) > 10, own
        assert not SOURCE_FILE.search(text), f"{own} sends its reader to a source file"


# What stubtest says of stubs that are right: Cython takes arguments in `__cinit__`, some names are there for type
# checkers alone, and nothing can derive from two compiled classes.
NO_FAULT = re.compile(
    r"is a disjoint base at runtime"
    r"|You may need to write stubs for __new__"
    r"|__init__ is inconsistent, stub does not have \*args"
    r"|\.(Counters|T|AddressLike|Word) is not present at runtime"
    r"|should be positional-only"
)


def test_stubs_say_what_compiled_modules_have() -> None:
    pytest.importorskip("mypy", reason="the package mypy is not installed (pip install 'evmcore[dev]')")
    stubs = sorted(PACKAGE.rglob("*.pyi"))
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in stubs]
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "--concise", "--ignore-missing-stub", *names],
        env={**os.environ, "MYPYPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )
    said = (done.stdout + done.stderr).splitlines()
    assert [line for line in said if not NO_FAULT.search(line)] == []

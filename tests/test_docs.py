"""README and docs say what is so: commands have the flags that are named, examples run, links lead somewhere."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from evmcore.bench.command import parser as bench_parser
from evmcore.cli import build_parser

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"(?:python3? -m evmcore|`)\s*(\w+)\s+([^`\n]*)")


def parsers() -> dict[str, argparse.ArgumentParser]:
    whole = build_parser()
    (commands,) = (action for action in whole._actions if isinstance(action, argparse._SubParsersAction))
    return {**commands.choices, "bench": bench_parser()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_flags_that_pages_name(page: Path) -> None:
    known = parsers()
    text = page.read_text()
    for name, rest in COMMAND.findall(text):
        if name in known:
            for flag in re.findall(r"(?<!\S)\[?(--[a-z][a-z0-9-]*)", rest.partition("#")[0]):
                assert flag in known[name]._option_string_actions, f"{name} {rest}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def test_the_example_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    readme = ROOT / "README.md"
    code = readme.read_text().split("```python\n")[1].split("```")[0]
    exec(compile(code, str(readme), "exec"), {})
    called, deployed = capsys.readouterr().out.splitlines()
    assert called.startswith("CallResult(SUCCESS") and called.endswith(f"{42:064x})")
    assert len(bytes.fromhex(deployed)) == 20


def test_the_example_of_serving_runs() -> None:
    page = ROOT / "docs" / "serving.md"
    code = page.read_text().split("```python\n")[1].split("```")[0]
    exec(compile(code, str(page), "exec"), {})


def test_names_that_pages_put_in_code_quotes_with_a_file_ending_are_there() -> None:
    for page in PAGES:
        for name in re.findall(r"`((?:tests|src|docs)/[\w/]+\.\w+)`", page.read_text()):
            assert (ROOT / name).exists(), f"{page.name}: {name}"

"""README and docs say what is so: commands have the flags that are named, examples run, links lead somewhere."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evmcore.bench import replay
from evmcore.bench.command import parser as bench_parser
from evmcore.cli import build_parser
from evmcore.state import MemoryState
from tests.commands import run_command
from tests.redis_server import RedisServer
from tests.shared_files import shared_path
from tests.small_chain import WRITER, SmallChain, chain_bytes, genesis_file

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


def run_examples(page: Path, **names: Any) -> dict[str, Any]:
    """Runs the Python code of a page, one block after the other; gives the names that are there in the end."""
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(code, str(page), "exec"), names)
    return names


def test_the_examples_of_the_readme_run(capsys: pytest.CaptureFixture[str]) -> None:
    run_examples(ROOT / "README.md")
    called, deployed, executed = capsys.readouterr().out.splitlines()
    assert called.startswith("CallResult(SUCCESS") and called.endswith(f"{42:064x})")
    assert len(bytes.fromhex(deployed)) == 20
    assert executed == "[1, 1, 1] 126"


# The names that a page's examples take for given, declared.
DECLARED = {
    "README.md": "",
    "docs/serving.md": "",
    "docs/parallel.md": "from evmcore import Block, MemoryState\n\nblock: Block\nstate: MemoryState\n",
    "docs/redis.md": "url: str\nchain_id: int\nto: bytes\n",
}


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_the_examples_satisfy_a_strict_type_checker(tmp_path: Path) -> None:
    """What a reader types in passes as it stands."""
    for page, before in DECLARED.items():
        code = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
        (tmp_path / f"example_{Path(page).stem.lower()}.py").write_text(before + "\n".join(code))
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(tmp_path / "cache"),
        *map(str, tmp_path.glob("*.py")),
    ]
    done = subprocess.run(command, env={**os.environ, "MYPYPATH": str(ROOT / "src")}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_of_redis_runs(
    redis_server: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(capsys, "load", "--redis", redis_server.url, "--genesis", genesis_file(tmp_path))[0] == 0
    run_examples(ROOT / "docs" / "redis.md", url=redis_server.url, chain_id=77, to=WRITER)
    assert capsys.readouterr().out.startswith("CallResult(SUCCESS")


def test_the_example_of_serving_runs() -> None:
    assert run_examples(ROOT / "docs" / "serving.md")["gas"] > 21_000


def test_the_example_of_parallel_execution_runs() -> None:
    """With the first block after the merge and the part of the state that it reads."""
    real = replay.load(shared_path("blocks", "15537394.json.xz"))
    names = run_examples(ROOT / "docs" / "parallel.md", block=real.block, state=MemoryState(real.alloc))
    assert names["result"].receipts_root == real.block.header.receipts_root
    assert names["streamed"].receipts_root == real.block.header.receipts_root


@pytest.mark.parametrize("page", ["README.md", "docs/redis.md", "docs/serving.md"])
def test_the_commands_that_bring_a_chain_to_redis_run(
    page: str, tmp_path: Path, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a chain of the tests in place of the files, addresses and numbers that a reader has to fill in."""
    chain = SmallChain()
    path = tmp_path / "chain.rlp"
    path.write_bytes(chain_bytes(chain.grow(chain.genesis, 3)))
    filled_in = {"genesis.json": genesis_file(tmp_path), "chain.rlp": str(path), "URL": redis_server.url}
    filled_in |= {"redis://127.0.0.1:6379/0": redis_server.url}
    filled_in |= dict.fromkeys(["1", "N"], str(chain.config.chain_id))
    lines = re.findall(r"^ *python -m evmcore ((?:load|follow) [^#\n]*)", (ROOT / page).read_text(), re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["load", "follow"]
    for line in lines:
        code, out, err = run_command(capsys, *(filled_in.get(word, word) for word in line.split()))
        assert (code, err) == (0, ""), line
    assert "head: block 3 " in out


def test_names_that_pages_put_in_code_quotes_with_a_file_ending_are_there() -> None:
    for page in PAGES:
        for name in re.findall(r"`((?:tests|src|docs)/[\w/]+\.\w+)`", page.read_text()):
            assert (ROOT / name).exists(), f"{page.name}: {name}"

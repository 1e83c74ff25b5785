"""The drivers in tests/native: C++ programs over the engine's headers, without Python; compiled and run by tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEADERS = ROOT / "src/evmcore/include"
DRIVERS = ROOT / "tests/native"
COMPILER = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
WARNINGS = ("-Wall", "-Wextra", "-Werror")

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler (g++, clang++ or $CXX)")

RACES = ("-O1", "-g", "-fsanitize=thread")
MEMORY = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def compiled(source: str, folder: Path, *flags: str, headers: Path = HEADERS) -> Path:
    """Compiles a driver into a folder; skips where the compiler or the system lacks a sanitizer that is asked for."""
    for flag in flags:
        if flag.startswith("-fsanitize="):
            _needs_sanitizer(folder, flag)
    program = folder / "driver"
    command = [str(COMPILER), "-std=c++17", *WARNINGS, *flags, "-pthread"]
    command += ["-I", str(headers), str(DRIVERS / source), "-o", str(program)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return program


def report(program: Path, *arguments: str) -> str:
    """What a driver prints that finds nothing wrong."""
    result = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def complaint(program: Path, *arguments: str) -> str:
    """What a driver says that finds something wrong."""
    result = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode != 0, f"nothing found: {result.stdout}"
    return result.stderr


def _needs_sanitizer(folder: Path, flag: str) -> None:
    source, program = folder / "probe.cpp", folder / "probe"
    source.write_text("#include <thread>\nint main() { std::thread([] {}).join(); }\n")
    command = [str(COMPILER), "-std=c++17", flag, "-pthread", str(source), "-o", str(program)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip(f"the compiler has no runtime for {flag}")
    if subprocess.run([program], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"programs with {flag} do not start here")

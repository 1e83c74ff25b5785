"""Compiles the benchmark contracts: writes `artifacts.json` beside the sources.

    python -m evmcore.bench.contracts.compile [--check]

The compiler is the command in `EVMCORE_SOLC` (default `solc`); it has to be the version named in `VERSION`
and understand `--standard-json`, as the native compiler and the `solcjs` of the npm package do
(`npm install solc@0.8.30`, then `EVMCORE_SOLC=node_modules/.bin/solcjs`).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ARTIFACTS = HERE / "artifacts.json"
VERSION = "0.8.30"
# No metadata in the bytecode: the same source gives the same bytes wherever it is compiled.
SETTINGS: dict[str, Any] = {
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "shanghai",
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
}
OUTPUTS = ["evm.bytecode.object", "evm.deployedBytecode.object", "evm.methodIdentifiers", "storageLayout"]


class CompilerError(Exception):
    """The compiler is missing, has another version, or rejects a source."""


def compiler_command() -> list[str]:
    return shlex.split(os.environ.get("EVMCORE_SOLC", "solc"))


def run_compiler(arguments: list[str], text: str = "") -> str:
    command = [*compiler_command(), *arguments]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CompilerError(f"{shlex.join(command)}: {getattr(error, 'stderr', '') or error}") from error
    return done.stdout


def compiler_version() -> str:
    """The version string of the compiler, for example `0.8.30+commit.73712a01`."""
    for word in run_compiler(["--version"]).split():
        if word[0].isdigit() and "+commit." in word:
            return ".".join(word.split(".")[:4])
    raise CompilerError("the compiler does not say which version it is")


def compile_contracts() -> dict[str, Any]:
    """Everything that `artifacts.json` holds, compiled anew. Raises CompilerError."""
    version = compiler_version()
    if version.split("+")[0] != VERSION:
        raise CompilerError(f"solc {VERSION} is needed, {version} found")
    sources = {path.name: {"content": path.read_text()} for path in sorted(HERE.glob("*.sol"))}
    request = {
        "language": "Solidity",
        "sources": sources,
        "settings": {**SETTINGS, "outputSelection": {"*": {"*": OUTPUTS}}},
    }
    text = run_compiler(["--standard-json"], json.dumps(request))
    # solcjs may print a line about its callback before the answer.
    answer = json.loads(text[text.index("{") :])
    problems = [item["formattedMessage"] for item in answer.get("errors", [])]
    if problems:
        raise CompilerError("\n".join(problems))
    contracts = {}
    for source in sources:
        name = Path(source).stem
        compiled = answer["contracts"][source][name]
        contracts[name] = {
            "source": source,
            "creation": compiled["evm"]["bytecode"]["object"],
            "runtime": compiled["evm"]["deployedBytecode"]["object"],
            "selectors": compiled["evm"]["methodIdentifiers"],
            "storage": {
                item["label"]: {"slot": int(item["slot"]), "offset": item["offset"]}
                for item in compiled["storageLayout"]["storage"]
            },
        }
    return {"compiler": "solc", "version": version, "settings": SETTINGS, "contracts": contracts}


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with artifacts.json instead of writing it")
    options = parser.parse_args()
    try:
        text = json.dumps(compile_contracts(), indent=1, sort_keys=True) + "\n"
    except CompilerError as error:
        print(f"compile: {error}", file=sys.stderr)
        return 1
    if not options.check:
        ARTIFACTS.write_text(text)
    elif ARTIFACTS.read_text() != text:
        print("compile: artifacts.json is not what the sources give", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

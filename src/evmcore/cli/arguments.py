"""The common part of the commands: the parser, argument types, and reading files named on the command line."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from evmcore.errors import EvmcoreError, InputError
from evmcore.types import to_address, to_uint

T = TypeVar("T")

MOST_SECONDS = 86_400.0


class CommandError(EvmcoreError):
    """The command failed; `code` is the exit code."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


class Parser(argparse.ArgumentParser):
    """An argument parser that reports every error in one line on stderr, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")

    def given(self, options: argparse.Namespace, names: Iterable[str]) -> list[str]:
        """The options among `names` that differ from their defaults."""
        return [name for name in names if getattr(options, name) != self.get_default(name)]

    def flag(self, name: str) -> str:
        """The spelling of the option `name` on the command line."""
        return next(action.option_strings[0] for action in self._actions if action.dest == name)

    def refuse_idle(self, options: argparse.Namespace, needs: Mapping[str, Sequence[str]]) -> None:
        """Raises `CommandError` for an option that would have no effect: `needs` maps an option to the options of which
        one must be given for it to have an effect."""
        for name in self.given(options, needs):
            if not self.given(options, needs[name]):
                others = [self.flag(other) for other in needs[name]]
                *first, last = others
                raise CommandError(f"{self.flag(name)}: only with {', '.join(first)}{' or ' if first else ''}{last}")

    def checked(
        self, handler: Callable[[argparse.Namespace], int], needs: Mapping[str, Sequence[str]]
    ) -> Callable[[argparse.Namespace], int]:
        """A command's handler that first refuses options without effect (`refuse_idle`)."""

        def run(options: argparse.Namespace) -> int:
            self.refuse_idle(options, needs)
            return handler(options)

        return run


def argument(name: str, convert: Callable[[str], T]) -> Callable[[str], T]:
    """An argparse `type` that turns `InputError` into argparse's own error."""

    def parse(text: str) -> T:
        try:
            return convert(text)
        except InputError as error:
            # argparse names the option.
            raise argparse.ArgumentTypeError(str(error).removeprefix(f"argument '{name}': ")) from None
        except (ValueError, OverflowError):
            raise argparse.ArgumentTypeError(f"{text!r:.80} is not a valid {name}") from None

    parse.__name__ = name
    return parse


def integer(text: str, bits: int = 256) -> int:
    """A number from 0: decimal or 0x-hex."""
    try:
        value = int(text, 16) if text[:2].lower() == "0x" else int(text)
    except ValueError:
        raise InputError(f"{text!r:.80} is not a number (decimal or 0x-hex)") from None
    return to_uint(value, "number", bits)


def hex_data(text: str) -> bytes:
    """Bytes from hex, with or without `0x`; white space is ignored."""
    digits = re.sub(r"\s+", "", text)
    digits = digits[2:] if digits[:2] in ("0x", "0X") else digits
    try:
        return bytes.fromhex(digits)
    except ValueError:
        pass
    if len(digits) % 2 and re.fullmatch(r"[0-9a-fA-F]*", digits):
        raise InputError(f"odd number of hex digits ({len(digits)})")
    bad = re.search(r"[^0-9a-fA-F]", digits)
    raise InputError(f"not hex data: {bad.group()!r} at digit {bad.start()}" if bad else "not hex data")


uint256 = argument("number", integer)
uint64 = argument("number", lambda text: integer(text, 64))
address = argument("address", lambda text: to_address(text if text[:2] == "0x" else "0x" + text, "address"))
data = argument("hex data", hex_data)


def pattern(text: str) -> str:
    """A regular expression, checked."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a regular expression: {error}") from None
    return text


def positive(text: str) -> int:
    """A whole number from 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a whole number from 1")
    return value


def counted(text: str) -> int:
    """A whole number from 0."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a whole number from 0")
    return int(text)


def seconds(text: str, most: float = MOST_SECONDS) -> float:
    """A time in seconds, above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= most:
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a time in seconds (above 0, up to {most:,.0f})")
    return value


def threads(text: str) -> int:
    """A number of threads as `execute_block` takes it; 0 for all cores."""
    from evmcore.threads import thread_count

    number = counted(text)
    try:
        thread_count(number)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return number


def read_text(path: str, what: str, code: int = 2) -> str:
    """The text of a file, or of stdin for `-` and `stdin`."""
    try:
        if path in ("-", "stdin"):
            return sys.stdin.read()
        with open(path, encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise CommandError(f"{what} {path}: not text: byte {error.start} is not UTF-8", code) from None
    except (OSError, ValueError) as error:
        raise CommandError(f"{what} {path}: {getattr(error, 'strerror', None) or error}", code) from None


def parse_json(text: str, where: str, code: int = 2) -> Any:
    """The JSON document in `text`; `CommandError` with the position of a syntax error."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{where}: not JSON: {error}", code) from None


def add_trace_arguments(parser: argparse.ArgumentParser) -> None:
    """geth's trace flags, with the short forms that other tools and older versions use."""
    group = parser.add_argument_group("tracing (EIP-3155, one JSON object a line on stderr)")
    group.add_argument("--trace", action="store_true", help="write a line for every instruction")
    group.add_argument("--trace.format", dest="trace_format", choices=["json"], default="json", help=argparse.SUPPRESS)
    for name, alias, text in (
        ("memory", "", "add the memory to each line"),
        ("nomemory", "--nomemory", "leave the memory out (the default)"),
        ("nostack", "--nostack", "leave the stack out"),
        ("returndata", "", "add the return data to each line"),
        ("noreturndata", "--noreturndata", "leave the return data out (the default)"),
        ("nostorage", "--nostorage", "accepted for compatibility: storage is not in EIP-3155 lines"),
    ):
        names = [f"--trace.{name}"] + ([alias] if alias else [])
        group.add_argument(*names, dest=f"trace_{name}", action="store_true", help=text)

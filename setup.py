"""Declares and builds the compiled modules: every `.pyx` under `src/evmcore`. Metadata is in `pyproject.toml`.

Environment: `EVMCORE_WERROR=1` turns compiler warnings into errors (continuous integration);
`EVMCORE_DISPATCH=switch` builds without tail-call dispatch, for compilers that do not turn tail calls into jumps.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError

ROOT = Path(__file__).parent
SOURCE = ROOT / "src"

COMPILE_ARGS = ["-std=c++17", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unknown-warning-option"]
# Noise of generated code, excepted by name.
COMPILE_ARGS += [
    "-Wno-unused-function",
    "-Wno-unused-parameter",
    "-Wno-unused-variable",
    "-Wno-missing-field-initializers",
    "-Wno-cast-function-type",
]
# Python's own flags ask for debug information, which would be four fifths of a wheel and part of the time it takes.
COMPILE_ARGS.append("-g0")
LINK_ARGS = ["-pthread"]
MACROS: list[tuple[str, str | None]] = [("NDEBUG", None)]
if os.environ.get("EVMCORE_WERROR"):
    COMPILE_ARGS.append("-Werror")
if os.environ.get("EVMCORE_DISPATCH") == "switch":
    MACROS.append(("EVMCORE_SWITCH_DISPATCH", "1"))


def extension(path: Path) -> Extension:
    name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    return Extension(
        name,
        [str(path.relative_to(ROOT))],
        include_dirs=["src/evmcore", "src/evmcore/include"],
        define_macros=MACROS,
        extra_compile_args=COMPILE_ARGS,
        extra_link_args=LINK_ARGS,
        language="c++",
    )


class BuildWithHelp(build_ext):
    """Compiles on all cores, and says plainly what is missing when no C++ compiler can be run."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self) -> None:
        # The largest first: no processor then waits in the end for one that began with it last.
        self.extensions.sort(key=lambda made: -sum(os.path.getsize(source) for source in made.sources))
        try:
            super().build_extensions()
        except (CCompilerError, ExecError, PlatformError) as error:
            raise SystemExit(
                f"evmcore: building the compiled modules failed: {error}\n"
                "evmcore needs a C++17 compiler and the Python headers, for example "
                "`apt-get install g++ python3-dev` on Debian or `xcode-select --install` on macOS."
            ) from error


def generate_handlers() -> None:
    """Runs `evmcore.ops.generate` without importing evmcore, which is not built yet."""
    ops = SOURCE / "evmcore" / "ops"
    spec = importlib.util.spec_from_file_location(
        "evmcore_ops", ops / "__init__.py", submodule_search_locations=[str(ops)]
    )
    assert spec and spec.loader
    sys.modules["evmcore_ops"] = importlib.util.module_from_spec(spec)
    importlib.import_module("evmcore_ops.generate").write_sources(SOURCE / "evmcore")


generate_handlers()

setup(
    ext_modules=cythonize(
        [extension(path) for path in sorted((SOURCE / "evmcore").rglob("*.pyx"))],
        include_path=["src"],
        nthreads=os.cpu_count() or 1,
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "freethreading_compatible": True,
        },
    ),
    cmdclass={"build_ext": BuildWithHelp},
)

"""Message calls: frames, dispatch, opcode bodies."""

def dispatch_build() -> str:
    """The build of the dispatch loop that runs by default: "tail-call" or "switch"."""

def use_dispatch_build(build: str) -> None:
    """Selects the build for all later runs in this process. Raises `InputError` for a build that is not available."""

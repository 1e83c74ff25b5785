"""Message calls: frames, dispatch, opcode bodies."""

def dispatch_build() -> str:
    """Which of the two builds of the dispatch loop runs unless asked otherwise: "tail-call" or "switch"."""

def use_dispatch_build(build: str) -> None:
    """Chooses it for all that begins from now on in this process. Raises `InputError` for one that is not there."""

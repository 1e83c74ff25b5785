"""Message calls: frames, dispatch, opcode bodies."""

def dispatch_build() -> str:
    """Which of the two builds of the dispatch loop runs unless asked otherwise: "tail-call" or "switch"."""

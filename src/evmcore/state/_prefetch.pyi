class CallBook:
    """Which accounts and slots calls read, by code and function. Thread-safe."""

    def figures(self) -> dict[str, int]: ...

class CallBook:
    """The accounts and slots that calls read, by code and function. Thread-safe."""

    def figures(self) -> dict[str, int]: ...

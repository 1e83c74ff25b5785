class TimeLimit:
    """A deadline that several runs can share, with a switch that ends them earlier."""

    def __init__(self, seconds: float | None = None) -> None: ...
    @staticmethod
    def of(timeout: float | TimeLimit | None) -> TimeLimit:
        """The limit for a `timeout`: a `TimeLimit` itself, a number of seconds from now, or no limit."""

    def within(self, seconds: float | None) -> TimeLimit:
        """A limit for a part of the time; stopping this limit stops it too."""

    def stop(self) -> None:
        """Ends all runs under this limit. Any thread may call it."""

    @property
    def seconds(self) -> float | None: ...
    @property
    def is_stopped(self) -> bool: ...
    @property
    def is_over(self) -> bool: ...

class TimeLimit:
    """A moment at which runs end, shared by several of them, and a switch that ends them before."""

    def __init__(self, seconds: float | None = None) -> None: ...
    @staticmethod
    def of(timeout: float | TimeLimit | None) -> TimeLimit:
        """The limit that a `timeout` stands for: itself, seconds from now on, or none."""

    def within(self, seconds: float | None) -> TimeLimit:
        """A limit for a part of the time, which this one stops too."""

    def stop(self) -> None:
        """Ends what runs under this limit; for any thread."""

    @property
    def seconds(self) -> float | None: ...
    @property
    def is_stopped(self) -> bool: ...
    @property
    def is_over(self) -> bool: ...

class Tracer:
    """Observes one run at a time, and can be used for several runs in turn. An exception in a tracer stops the run and
    is raised from the traced call."""

    size_limit: int | None
    """The approximate size in bytes of the text that a run may produce; a larger trace raises `TraceTooLarge`."""

    @property
    def size(self) -> int: ...

class Tracer:
    """Observes one run at a time; may be used again for the next one. An exception in a tracer stops the run and is
    raised from the call that was traced."""

    size_limit: int | None
    """About how many bytes of text a run may be traced into; `TraceTooLarge` is raised beyond."""

    @property
    def size(self) -> int: ...

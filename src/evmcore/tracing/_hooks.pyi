class Tracer:
    """Observes one run at a time; may be used again for the next one. An exception in a tracer stops the run and is
    raised from the call that was traced."""

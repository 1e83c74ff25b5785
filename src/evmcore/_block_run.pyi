class Executor:
    """Executes a block's transactions one after the other; the base of other ways to do it."""

"""Where state lives: the native memory backend, and the base class for backends written in Python."""

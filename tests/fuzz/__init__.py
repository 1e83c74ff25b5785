"""Differential fuzzing of the engine against the executable specification: `python -m tests.fuzz --help`."""

CAUSES: tuple[str, ...]
"""Why a run ahead of time did not stand, by the numbers of a timeline's details; the first one says that it did."""

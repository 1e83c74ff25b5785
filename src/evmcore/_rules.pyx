"""Exports `Revision` to Python; the declaration is in `_rules.pxd`."""

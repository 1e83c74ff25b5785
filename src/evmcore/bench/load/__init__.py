"""Load tests of a JSON-RPC server: an open-loop generator whose figures have flood's names and meaning.

`world` makes the contracts and people that are called, `mixes` the requests with what each has to answer, `sending`
sends them at set times, `figures` counts what came back, `command` is the part of `python -m evmcore bench` that a
user sees, and `trivial` the server against which the generator's own limit is measured.
"""

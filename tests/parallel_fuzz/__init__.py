"""Random hostile blocks, executed sequentially and in parallel: the outcomes must be equal.

`python -m tests.parallel_fuzz --blocks N --seed S --threads 2,3,8` for long runs.
"""

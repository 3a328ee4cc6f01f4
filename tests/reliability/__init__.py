"""Machines that look for faults: each makes up sweeps and accidents, and checks what is promised.

`PYTHONPATH=tests python -m reliability NAME --seconds 60 --seed 7`; the seed is new in each run,
and printed.
"""

"""Throughput, latency and memory beside bare baselines and peers; `make bench` runs all of it.

Not collected by pytest: times do not belong into tests. `tests/unit/test_benchmarks_smoke.py` runs each part
at toy size, so that the harness itself stays whole.
"""

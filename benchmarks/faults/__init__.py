"""Parts of benchmarks/bench_faults.py: the cases of each bench."""

"""Parts of benchmarks/fuzz.py: readers, sound files, and damage."""

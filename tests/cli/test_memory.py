"""Training asks the system for memory once, not at every step."""

import os
import subprocess
import sys

import pytest

# 20 arrays of 16 MB, one after the other: 80,000 small pages, were each array's asked of the system anew.
PROGRAM = """
import resource
from cidesign.cli.memory import keep_freed_memory
keep_freed_memory()
import torch
torch.ones(2**22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(2**22)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="only GNU's C library has the switch")
def test_freed_arrays_are_used_again() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    # Where no large pages are left, one array costs 4,096.
    assert int(done.stdout) < 20_000

"""How the C library hands out memory: a training step frees and asks for the same large arrays again and again."""

import ctypes
import os

# Of <malloc.h>; what is freed at the end of the heap is given back above the first, arrays above the second have pages
# of their own, which are given back at once.  The second may be no larger than this.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES, LARGEST_IN_HEAP_BYTES = 2**31 - 1, 2**25


def keep_freed_memory() -> None:
    """Let freed arrays stay with this process, and large ones lie in large pages, where the system can do either.

    Each page that is asked of the system anew costs a processor about as much as the sums of its values.  Large pages
    are those of torch, which looks once, before its first array.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # Other C libraries than GNU's have no such switch, and Windows has no such library.
    if os.name == "posix" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_IN_HEAP_BYTES)

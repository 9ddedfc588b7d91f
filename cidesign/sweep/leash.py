"""A worker that ends with its driver, however that ends: a killed driver leaves nothing running."""

import contextlib
import os
import signal
import threading
import time
from typing import IO

# From the end of the driver: what a worker has for its step and its checkpoint.
GRACE_S = 60.0


def end_with(stream: IO[str], grace_s: float = GRACE_S) -> None:
    """End this process when a pipe is closed whose other end its driver alone holds.

    It is asked as by `kill`, so that a checkpoint is written; its process group is killed when that takes longer than
    the grace.
    """
    descriptor = os.dup(stream.fileno())
    os.set_inheritable(descriptor, False)

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(descriptor, 4096):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_s)
        _kill_group()

    threading.Thread(target=watch, name="leash", daemon=True).start()


def _kill_group() -> None:
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

"""A real SLURM of one node on loopback: `python loopback.py FOLDER` serves one until its standard input ends.

It needs root and Debian's `slurm-wlm` and `munge`, and neither systemd nor accounting nor what is in /etc.  All of it
lies in FOLDER, on ports that are free, so that several can run side by side.  Standard input ends with whoever started
it, however that ends; then every process of this SLURM is ended, jobs included.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo", "setpriv")
UP_WITHIN_S = 30.0
DOWN_WITHIN_S = 15.0
# A requeued job waits for as long as its credential is valid: two minutes, unless told otherwise.
CONFIG = """
ClusterName={cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=2
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=5
MinJobAge=300
PlugStackConfig={folder}/plugstack.conf
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def _memory_mb() -> int:
    """Less than the node finds by itself: one with less than it is said to have is put out of work."""
    return int(0.9 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20)


def missing() -> str | None:
    """Why no SLURM can be started here; None where one can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (`make tools` installs slurm-wlm and munge)"
    return None if os.geteuid() == 0 else "only root starts a SLURM"


def serve(folder: Path) -> None:
    """Start the daemons, say `up` on standard output, and end them all when standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C reaches this process too; its starter decides when it ends
    try:
        _configure(folder)
        environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        munge = [f"--{name}={folder}/munge/{name}" for name in ("pid-file", "seed-file", "log-file", "key-file")]
        # munged refuses folders that others could write into, and its socket has to be reached by all.
        as_munge = ["--reuid", "munge", "--regid", "munge", "--clear-groups"]
        _start(folder, environment, *as_munge, "munged", "--foreground", f"--socket={folder}/munge.socket", *munge)
        _wait(lambda: (folder / "munge.socket").exists())
        _start(folder, environment, "slurmctld", "-D", "-i", "-f", environment["SLURM_CONF"])
        _start(folder, environment, "slurmd", "-D", "-f", environment["SLURM_CONF"])
        _wait(lambda: _node_is_idle(environment))
        sys.stdout.write("up\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        _end(folder)


def _configure(folder: Path) -> None:
    shutil.chown(folder, "munge", "munge")
    folder.chmod(0o711)
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir()
    key = folder / "munge" / "key-file"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    for path in (folder / "munge", key):
        shutil.chown(path, "munge", "munge")
    (folder / "plugstack.conf").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        port, node_port = (server.getsockname()[1] for server in (one, other))
    text = CONFIG.format(
        folder=folder, host=socket.gethostname().partition(".")[0], cluster=f"loopback{os.getpid()}",
        cpus=os.cpu_count(), memory_mb=_memory_mb(), port=port, node_port=node_port,
    )  # fmt: skip
    (folder / "slurm.conf").write_text(text)


def _start(folder: Path, environment: dict[str, str], *command: str) -> None:
    """A daemon in the foreground, killed with this process should that be killed."""
    with (folder / "daemons.log").open("ab") as log:
        subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def _wait(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + UP_WITHIN_S
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.1)


def _node_is_idle(environment: dict[str, str]) -> bool:
    asked = subprocess.run(
        ["sinfo", "--noheader", "--format", "%t"], env=environment, capture_output=True, text=True, timeout=UP_WITHIN_S
    )
    return asked.stdout.strip() == "idle"


def _end(folder: Path) -> None:
    """End each process that was started with this configuration: daemons, steps, and what jobs started."""
    until = time.monotonic() + DOWN_WITHIN_S
    while time.monotonic() < until and (left := _processes(folder)):
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.05)


def _processes(folder: Path) -> list[int]:
    mark = f"SLURM_CONF={folder}/slurm.conf".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().split(b"\0") and int(path.parent.name) not in (os.getpid(), os.getppid()):
                found.append(int(path.parent.name))
    return found


if __name__ == "__main__":
    serve(Path(sys.argv[1]))

"""Start-up time of `cidesign --help` and `cidesign profiles list` against an empty click program.

Each command runs in a fresh process, the three in turn, and the median of the repeats is printed.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 25
EMPTY = (
    "import click\n"
    "@click.group()\n"
    "def main(): pass\n"
    "@main.command('list')\n"
    "def listing(): click.echo('nothing')\n"
    "main()\n"
)
START = "from cidesign.cli import main; main()"


def main() -> None:
    """Measure and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY)
        ours = Path(folder) / "ours.py"
        ours.write_text(START)
        commands = {
            "empty click --help": [sys.executable, str(empty), "--help"],
            "cidesign --help": [sys.executable, str(ours), "--help"],
            "cidesign profiles list": [sys.executable, str(ours), "profiles", "list"],
        }
        times_ms: dict[str, list[float]] = {name: [] for name in commands}
        for repeat in range(REPEATS + 1):
            for name, command in commands.items():
                started = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                if repeat:  # the first round fills the caches
                    times_ms[name].append(1000 * (time.perf_counter() - started))
    base_ms = statistics.median(times_ms["empty click --help"])
    print(f"{'program':24s} {'median ms':>10s} {'ratio':>6s}   ({REPEATS} runs each, target ratio <= 2)")
    for name, values in times_ms.items():
        print(f"{name:24s} {statistics.median(values):10.1f} {statistics.median(values) / base_ms:6.2f}")


if __name__ == "__main__":
    main()

"""
A sweep and its table
=====================

Many runs of one specification: how quality depends on the number of patterns, with paired seeds, beside end-to-end
training. Kill it at any time and run it again: what is finished is not trained twice.
"""

import tempfile
from pathlib import Path

import cidesign as ci
from cidesign.sweep.table_text import text_of

folder = Path(tempfile.mkdtemp())
sweep = ci.sweep(
    {
        "base": {
            "profile": "dlp4500", "side": 16, "images": 500, "validation_images": 50, "channels": 4,
            "student_epochs": 1, "threads": 1,
        },
        "grid": {"patterns": [16, 64], "seed": [1, 2]},
        "teacher": {"teacher_epochs": 1},
        "compare": {"e2e": True},
    },
    out=folder / "sweep",
)  # fmt: skip
print("\n".join(sweep.plan().lines()))

# %%
sweep.run(workers=2)
table = sweep.table(by=["patterns"], baseline="E2E")
print(text_of(table))

# %%
# Two epochs of 500 images move no pattern, so student and end-to-end training are the same here; what they differ by after
# real trainings is in the results.

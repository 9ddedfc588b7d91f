"""Programs that show how trainings go: each is told what `metrics.jsonl` holds, and decides nothing."""

"""What a training runs on: the machine, its threads, and processes that share a run."""

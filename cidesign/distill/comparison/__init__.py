"""A finished run beside what it must beat, and what that says."""

"""What a run decides for itself: whether it has a teacher, and which one."""

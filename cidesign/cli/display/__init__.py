"""What long commands show while they work: bars in a terminal, lines elsewhere."""

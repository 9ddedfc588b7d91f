"""Other people's files: the one bounded process in which their parsers run."""

"""Files of the DLPC350 (DLP4500)."""

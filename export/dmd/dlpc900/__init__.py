"""Files of the DLPC900 (DLP6500, DLP9000 and others)."""

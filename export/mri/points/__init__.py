"""Points (ky, kz) of 3-D scans: sequences, raw-data templates and tables."""

"""Sequences and raw-data templates of MRI scans."""

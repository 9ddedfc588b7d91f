"""Boards with a DLPC410 (DLP7000 with ALP, D4100)."""

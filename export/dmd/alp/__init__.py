"""Files of ALP boards (DLP7000)."""

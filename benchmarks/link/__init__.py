"""The serial link in figures: what of the line rate is payload, and what faults do to an upload."""

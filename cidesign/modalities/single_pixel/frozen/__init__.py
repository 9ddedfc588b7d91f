"""Decoders of single-pixel runs with their operator frozen in: written from a run, used without torch."""

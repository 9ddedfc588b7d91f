"""Suites of tests for plug-ins, to be run on your own; nothing of the product imports them."""

"""Devices and the links to them."""

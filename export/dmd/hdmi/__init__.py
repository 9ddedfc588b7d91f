"""Frames that are streamed over HDMI."""

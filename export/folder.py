"""The names of what every export folder holds, whatever device it is for."""

MANIFEST_NAME = "manifest.json"
DESIGN_NAME = "design.npz"
PREVIEW_NAME = "preview.png"

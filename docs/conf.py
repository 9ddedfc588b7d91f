"""How Sphinx builds the site: `make docs`, warnings being errors."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
# Below this folder: what is written from the program itself, so that no page can be older than it.
import reference_pages

import cidesign

project, author, copyright = "cidesign", "the cidesign developers", "the cidesign developers, BSD-3-Clause"
version = release = cidesign.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build", "_templates", "gallery/*.py", "gallery/README.rst", "gallery_pages/*.ipynb"]
myst_enable_extensions = ["colon_fence", "deflist", "attrs_block"]
myst_heading_anchors = 4
# Docstrings write code in single backticks, and norms with bars.
default_role = "code"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
html_theme, html_title = "furo", f"cidesign {version}"
html_static_path: list[str] = []
templates_path = ["_templates"]
nitpicky = False
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "gallery_pages",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    # What a program prints is its output, not what its last expression happens to be.
    "capture_repr": (),
    "min_reported_time": 1,
    "remove_config_comments": True,
}

reference_pages.write(Path(__file__).parent / "reference" / "made")

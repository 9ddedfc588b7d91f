"""Design the measurement of a computational camera for a real device, and reconstruct its captures."""

from pathlib import Path

# In a checkout the folders export, calibration and hardware_profiles lie beside this one, and Python run
# inside the checkout finds this folder before the installed package.  Letting the parent supply them makes
# `git clone; pip install .; python -m cidesign` work.  An installed package has its own `export` folder.
if not (Path(__file__).parent / "export").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

__version__ = "0.1.0"

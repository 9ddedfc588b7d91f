"""Design the measurement of a computational camera for a real device, and reconstruct its captures.

    import cidesign as ci
    run = ci.distill("dlp4500", side=32, out="run")

The verbs of the command line are functions here (`cidesign.api`); each loads what it needs when it is used.
"""

from pathlib import Path
from typing import TYPE_CHECKING

# In a checkout the folders export, calibration and hardware_profiles lie beside this one, and Python run
# inside the checkout finds this folder before the installed package.  Letting the parent supply them makes
# `git clone; pip install .; python -m cidesign` work.  An installed package has its own `export` folder.
if not (Path(__file__).parent / "export").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cidesign.api import bridge as bridge
    from cidesign.api import calibrate as calibrate
    from cidesign.api import check as check
    from cidesign.api import design as design
    from cidesign.api import distill as distill
    from cidesign.api import doctor as doctor
    from cidesign.api import emulate as emulate
    from cidesign.api import evaluate as evaluate
    from cidesign.api import export as export
    from cidesign.api import export_decoder as export_decoder
    from cidesign.api import fixed_design as fixed_design
    from cidesign.api import open_calibration as open_calibration
    from cidesign.api import open_capture as open_capture
    from cidesign.api import open_design as open_design
    from cidesign.api import open_reconstruction as open_reconstruction
    from cidesign.api import open_run as open_run
    from cidesign.api import profile as profile
    from cidesign.api import profiles as profiles
    from cidesign.api import reconstruct as reconstruct
    from cidesign.api import report as report
    from cidesign.api import resume as resume
    from cidesign.api import simulate as simulate
    from cidesign.api import status as status
    from cidesign.api import stop as stop
    from cidesign.api import to_deepinv as to_deepinv
    from cidesign.api import upload as upload


def __getattr__(name: str) -> object:
    from cidesign.verbs import NAMES, verb

    if name in NAMES:
        return verb(name)
    raise AttributeError(f"module 'cidesign' has no attribute {name!r}")


def __dir__() -> list[str]:
    from cidesign.verbs import NAMES

    return sorted({*globals(), *NAMES})

"""The one place where pypulseq is imported, and where its warnings are collected."""

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from typing import Any

from cidesign.errors import InputError
from cidesign.export.mri.blocks import GAMMA_HZ_PER_T
from cidesign.hardware_profiles.mri.schema import MriProfile


def pypulseq() -> Any:
    """The module `pypulseq`; raises `InputError` that names the extra when it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own imports, of no meaning for a file
            module = importlib.import_module("pypulseq")
    except ImportError as error:
        raise InputError(
            f"Pulseq files need the package pypulseq ({error}); install it with `pip install 'cidesign[mri]'`"
        ) from error
    return module


def library_version() -> str:
    """The version of pypulseq that is installed."""
    return str(pypulseq().__version__)


def scanner_options(profile: MriProfile) -> Any:
    """The profile as pypulseq's `Opts`; every value is given, so that none of its defaults is used."""
    rasters, times = profile.rasters, profile.dead_times
    return pypulseq().Opts(
        max_grad=profile.design.max_gradient_mt_per_m.value,
        grad_unit="mT/m",
        max_slew=profile.design.max_slew_t_per_m_per_s.value,
        slew_unit="T/m/s",
        rf_dead_time=times.rf_dead_us.value * 1e-6,
        rf_ringdown_time=times.rf_ringdown_us.value * 1e-6,
        adc_dead_time=times.adc_dead_us.value * 1e-6,
        rf_raster_time=rasters.rf_us.value * 1e-6,
        grad_raster_time=rasters.gradient_us.value * 1e-6,
        adc_raster_time=rasters.adc_ns.value * 1e-9,
        block_duration_raster=rasters.block_us.value * 1e-6,
        adc_samples_limit=0 if profile.max_adc_samples is None else profile.max_adc_samples.value,
        adc_samples_divisor=1 if profile.adc_samples_divisor is None else profile.adc_samples_divisor.value,
        gamma=GAMMA_HZ_PER_T,
        B0=profile.field_t.value,
    )


@contextlib.contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """The texts of the warnings raised inside, each once; none reaches the user unread."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield found
    found.extend(dict.fromkeys(str(warning.message) for warning in caught))

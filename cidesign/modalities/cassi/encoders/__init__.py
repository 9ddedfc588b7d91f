"""SD-CASSI as linear physics: as designed, and as a calibration measured it."""

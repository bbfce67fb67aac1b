"""Published measurements, residuals, intervals and calibration fits."""

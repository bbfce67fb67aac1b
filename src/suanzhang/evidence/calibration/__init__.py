"""From timings of kernels to the coefficients of operator formulas: readers, fits, residual reports."""

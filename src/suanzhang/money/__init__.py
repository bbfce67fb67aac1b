"""Cost, depreciation, currency, procurement and risk."""

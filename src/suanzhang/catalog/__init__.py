"""Look-up of chips, models, stacks, markets and sites, each value with its source."""

CATALOG_DATE = "2026-11-22"
"""The day of the newest change of the catalog; every result prints it."""

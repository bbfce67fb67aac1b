"""Look-up of chips, models, stacks, markets and sites, each value with its source."""

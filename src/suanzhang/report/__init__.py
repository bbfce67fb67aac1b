"""Results as tables, figures and text; recomputes nothing."""

"""suanzhang 算账: how many chips a large model needs, which ones, in which layout, when, and at what cost."""

__version__ = "0.1.0"

"""Reads a real device and the clock."""

"""Quota, fairness and approval rules."""

"""Procurement over months: what to buy, lease, reserve, rent and when, or to wait."""

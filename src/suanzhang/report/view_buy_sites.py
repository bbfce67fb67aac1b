"""The sites of a purchase plan: what stands on each, what it draws and what it could hold."""

from __future__ import annotations

from suanzhang.report.blocks import Column, Table, ranged
from suanzhang.spec.buy import BuyResult
from suanzhang.units import MEGA


def has_sites(result: BuyResult) -> bool:
    """Whether a plan knows its sites one by one."""
    return any(state.places for state in result.months)


def sites_table(result: BuyResult) -> Table:
    """One row for each month and site on which something stands or limits hold."""
    columns = (
        Column("month"),
        Column("site"),
        Column("chips of one's own"),
        Column("mean draw", "MW"),
        Column("peak draw", "MW"),
        Column("power there", "MW"),
        Column("racks in use", "racks"),
        Column("racks there", "racks"),
    )
    rows = tuple(
        (
            state.month,
            place.site,
            ", ".join(f"{chips:,.0f} {chip}" for chip, chips in place.owned) or "none",
            ranged(place.draw_w, place.draw_w_interval, 1.0 / MEGA),
            ranged(place.peak_w, place.peak_w_interval, 1.0 / MEGA),
            None if place.power_limit_w is None else place.power_limit_w / MEGA,
            place.racks,
            place.rack_limit,
        )
        for state in result.months
        for place in state.places
    )
    return Table("Sites", columns, rows, "power and racks there: with what has been built", limit=200)

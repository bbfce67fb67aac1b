"""The part of the report of ``plan`` that tells of one service."""

from __future__ import annotations

from suanzhang.report.blocks import Block, Column, Fact, Facts, Scalar, Section, Table, money_fact, ranged
from suanzhang.report.common import layout_words
from suanzhang.report.view_serve import latency_rows_of, refusals_table, sizing_table
from suanzhang.spec.plan import TOKENS, FleetShare, ServicePlan
from suanzhang.spec.serve import Percentiles
from suanzhang.units import format_count


def service_section(part: ServicePlan) -> Section:
    """How a service runs: fleet, layout, chips, cost, latencies."""
    facts = (
        Fact("model", part.model),
        Fact("fleet", " + ".join(f"{fleet_words(item)} ({100 * item.share:.0f} %)" for item in part.fleet)),
        Fact("carried in full from", part.full_from or "never within the plan"),
        *(() if part.tokens_only else _sized_facts(part)),
        money_fact(
            "cost per 1000 responses", part.cost_per_response.scaled(1000.0), part.cost_per_response_interval.scaled(1000.0)
        ),
        money_fact("cost", part.cost, part.cost_interval, "its share of the plan's cost"),
    )
    latency = () if part.tokens_only else (latency_rows_of(f"{part.name}: latency", part.sized),)
    return Section(f"Service {part.name}", (Facts(f"Service {part.name}", facts), *latency, *_simulated(part)))


def fleet_words(share: FleetShare) -> str:
    """Chips of a kind, or that tokens are bought."""
    return TOKENS if share.chip == TOKENS else f"{format_count(share.chips)} x {share.chip}"


def _sized_facts(part: ServicePlan) -> tuple[Fact, ...]:
    """How the main kind of chip runs it."""
    sized = part.sized
    return (
        Fact(
            "layout of a replica",
            f"{layout_words(sized.layout)}, {sized.stack}, {sized.weight_dtype} weights, {sized.kv_dtype} cache",
            note=f"on {sized.chip}",
        ),
        Fact(
            "replicas at peak",
            sized.replicas,
            "replicas",
            sized.replicas_interval,
            f"{sized.spare_replicas} of them spare; all of it on {sized.chip}, in its first month",
        ),
        Fact(
            "chips at the mean load",
            sized.chips_mean,
            "chips",
            sized.chips_mean_interval,
            "within the latency targets, without spares",
        ),
        Fact("chips at the mean load, no latency limit", sized.chips_mean_no_slo, "chips", sized.chips_mean_no_slo_interval),
        Fact("idle share of the capacity", part.idle_fraction, "fraction", part.idle_fraction_interval),
        Fact("energy per response", part.energy_j_per_response, "J", part.energy_j_per_response_interval),
    )


def _simulated(part: ServicePlan) -> tuple[Table, ...]:
    """Simulated percentiles beside those of the formulas, one replica at peak on each kind of chip."""
    if not part.simulated:
        return ()
    sized = {option.chip: option for option in part.options}
    rows: list[tuple[Scalar, ...]] = []
    for found in part.simulated:
        formulas = sized[found.chip].peak
        for name, ours, theirs in (
            ("first token", found.ttft_s, formulas.ttft_s),
            ("per token", found.tpot_s, formulas.tpot_s),
            ("end to end", found.e2e_s, formulas.e2e_s),
        ):
            rows.append((found.chip, name, *(cell for which in ("mean", "p50", "p99") for cell in _both(ours, theirs, which))))
    names = [f"{which}, {how}" for which in ("mean", "p50", "p99") for how in ("simulated", "formula")]
    columns = (Column("chip"), Column("latency"), *(Column(name, "s", optional="p50" in name) for name in names))
    count = min(found.requests_simulated for found in part.simulated)
    queue = "; the queue of one grows without end" if any(found.overloaded for found in part.simulated) else ""
    return (Table(f"{part.name}: simulated", columns, tuple(rows), f"one replica at peak, {count:,} requests{queue}"),)


def _both(ours: Percentiles, theirs: Percentiles, which: str) -> tuple[float | None, float | None]:
    """A latency by simulation and by formula, each with its interval."""
    first, second = (ranged(getattr(one, which), getattr(one, f"{which}_interval")) for one in (ours, theirs))
    return first, second


def service_details(part: ServicePlan) -> Section:
    """Its sizing on every kind of chip, and those that cannot."""
    blocks: tuple[Block, ...] = (
        sizing_table(f"{part.name} on each kind of chip", part.options),
        refusals_table(f"{part.name}: chips that cannot", part.refused),
    )
    return Section(f"Chips for {part.name}", blocks, folded=True)

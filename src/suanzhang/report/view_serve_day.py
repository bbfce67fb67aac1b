"""The report of ``simulate``: a day of a fleet."""

from __future__ import annotations

from suanzhang.report.blocks import Chart, Column, Fact, Facts, Point, Report, Section, Table, ranged
from suanzhang.report.common import between, layout_words, warnings_section
from suanzhang.report.view_serve import latency_row, moving
from suanzhang.spec.serve_day import DayResult
from suanzhang.units import format_count


def day(result: DayResult) -> Report:
    """What became of the requests, latencies, batch and queue by the hour."""
    if result.overloaded:
        verdict = (
            f"Overloaded: {_count(result)} answer{_s(result)} {result.capacity_requests_per_s:,.4g}"
            f"{between(result.capacity_requests_per_s_interval, ',.3g')} requests/s of {result.model}, "
            f"and the queue grows without end."
        )
    else:
        verdict = (
            f"{_count(result)} ({_places(result)}) of {result.chip} answer{_s(result)} the {_when(result)} of "
            f"{result.model}: first token within {_late(result)} s for 99 %."
        )
    sections = (
        Section("Requests", (_requests(result), _latency(result), *((_chance(result),) if result.chance else ()))),
        Section("Over the day", (_level(result, "running"), _level(result, "waiting"))),
        Section("Fleet", (_fleet(result), *((_pools(result), *_events(result)) if result.pools else ()))),
        warnings_section(result.warnings, weak=result.weak_inputs),
    )
    return Report(f"A day of {result.model} on {result.chip}", verdict, sections, main="Latency over requests")


def _count(result: DayResult) -> str:
    return f"{format_count(result.replicas)} replica{'' if result.replicas == 1 else 's'}"


def _s(result: DayResult) -> str:
    return "s" if result.replicas == 1 else ""


def _places(result: DayResult) -> str:
    return ", ".join(dict.fromkeys(layout_words(pool.layout) for pool in result.pools)) or layout_words(result.layout)


def _when(result: DayResult) -> str:
    return "requests" if result.pools else "day"


def _late(result: DayResult) -> str:
    span = result.ttft_s.p99_interval
    return f"{result.ttft_s.p99:.3g}" + (f" ({span.p05:.2g} to {span.p95:.2g})" if span else "")


def _requests(result: DayResult) -> Facts:
    return Facts(
        "What became of them",
        (
            Fact("offered", result.requests, "requests"),
            Fact("answered", result.finished, "requests"),
            Fact("given up after waiting", result.timed_out, "requests"),
            Fact("too long for any replica", result.rejected, "requests"),
            Fact("not answered when stopped", result.unfinished, "requests"),
            Fact("sent elsewhere by failures", result.moved, "requests"),
            Fact(
                "warm-up left out of the latencies", result.warmup_s, "s", note=f"{result.requests_counted:,} requests counted"
            ),
            Fact("within the targets", "yes" if result.meets_targets else "no"),
            Fact("time to follow them", result.wall_s, "s"),
        ),
    )


def _latency(result: DayResult) -> Table:
    rows = [("first token", result.ttft_s), ("per further token", result.tpot_s), ("end to end", result.e2e_s)]
    if result.urgent_ttft_s is not None:
        rows.insert(1, ("first token of urgent ones", result.urgent_ttft_s))
    columns = (Column("latency"), *(Column(name, "s") for name in ("mean", "p50", "p90", "p99")))
    return Table("Latency over requests", columns, tuple(latency_row(name, v) for name, v in rows))


def _chance(result: DayResult) -> Table:
    rows = tuple((one.name, f"{one.value:,.4g} ({one.value_interval.p05:,.4g} to {one.value_interval.p95:,.4g})", one.unit)
                 for one in result.chance)  # fmt: skip
    count, over = result.chance[0].days, result.chance[0].over
    words = {
        "days": f"{count} days with seeds of their own",
        "cells": f"{count} cells of the fleet, each with requests of its own",
        "batches": f"{count} batches of the requests, one after another",
    }
    note = f"means over {words[over]}; in brackets their 95 % confidence interval"
    return Table("What chance leaves open", (Column("figure"), Column("mean"), Column("unit")), rows, note)


def _level(result: DayResult, what: str) -> Chart:
    points = tuple(Point(hour.name, "", getattr(hour, what), getattr(hour, f"{what}_interval")) for hour in result.hours)
    return Chart(f"Sequences {what} in a replica", "line", "hour", what, "sequences", points)


def _pools(result: DayResult) -> Table:
    columns = (
        Column("pool"), Column("role"), Column("replicas", "replicas"), Column("requests", "requests"),
        Column("could", "requests/s"), Column("answered", "requests/s"), Column("busy", "fraction"),
        Column("batch", "sequences"), Column("cached", "fraction"),
    )  # fmt: skip
    rows = tuple(
        (
            f"{pool.chip}, {layout_words(pool.layout)}", pool.role + (", overloaded" if pool.overloaded else ""), pool.replicas,
            pool.requests, ranged(pool.capacity_requests_per_s, pool.capacity_requests_per_s_interval),
            ranged(pool.found_requests_per_s, pool.found_requests_per_s_interval), ranged(pool.busy, pool.busy_interval),
            ranged(pool.batch, pool.batch_interval), pool.found_before,
        )
        for pool in result.pools
    )  # fmt: skip
    note = (
        "could: what the pool would answer by formulas when never idle; cached: share of the prompt tokens found in its caches"
    )
    return Table("Pools", columns, rows, note)


def _events(result: DayResult) -> tuple[Table, ...]:
    """What went wrong in each pool and what its following cost; nothing where nothing did."""
    pools = result.pools
    if not any(pool.timed_out or pool.failures or pool.on_fraction < 1.0 for pool in pools):
        return ()
    columns = (
        Column("pool"), Column("role"), Column("given up", "requests"), Column("failures", "failures"),
        Column("moved", "requests"), Column("replica-hours paid for", "fraction"),
    )  # fmt: skip
    rows = tuple(
        (
            f"{pool.chip}, {layout_words(pool.layout)}", pool.role, pool.timed_out, pool.failures, pool.moved,
            ranged(pool.on_fraction, pool.on_fraction_interval),
        )
        for pool in pools
    )  # fmt: skip
    note = "moved: sent to another replica of the pool by a failure, to be computed again there"
    return (Table("What happened in the pools", columns, rows, note),)


def _fleet(result: DayResult) -> Facts:
    return Facts(
        "Fleet",
        (
            Fact("replicas", result.replicas, "replicas", moving(result.replicas_interval)),
            Fact(
                "followed",
                result.replicas_followed,
                "replicas",
                note=f"{result.cells} {'pool' if result.pools else 'cell'}{'' if result.cells == 1 else 's'}, {result.router}",
            ),
            Fact("engine", result.engine),
            Fact("weights / cache", f"{result.weight_dtype} / {result.kv_dtype}"),
            Fact("answered", result.capacity_requests_per_s, "requests/s", result.capacity_requests_per_s_interval),
            Fact("output of those followed", result.output_tokens_per_s, "tokens/s", result.output_tokens_per_s_interval),
            Fact("failures", result.failures, "failures"),
            Fact("preemptions", result.preemptions, "sequences"),
            Fact("replica-hours paid for", result.on_fraction, "fraction", moving(result.on_fraction_interval)),
        ),
    )

"""The report of ``serve``."""

from __future__ import annotations

from suanzhang.report.blocks import Block, Chart, Column, Fact, Facts, Notes, Point, Report, Section, Table, money_fact, ranged
from suanzhang.report.common import layout_words, sources_section, terms_chart, terms_table, warnings_section
from suanzhang.spec.memory import MEMORY_UNIT, in_gib
from suanzhang.spec.result import Interval
from suanzhang.spec.serve import Percentiles, Refusal, ServeEstimate, ServeResult, SizedService
from suanzhang.units import MEGA, MILLI, format_count


def serve(result: ServeResult) -> Report:
    """Chips, engine settings, latencies, throughput, cost and energy of one service."""
    many = "replica" if result.replicas == 1 else "replicas"
    verdict = (
        f"{format_count(result.chips)} x {result.chip} in {format_count(result.replicas)} {many} "
        f"({layout_words(result.layout)}) serve {result.model}: first token after "
        f"{_span(result.ttft_s.p50, result.ttft_s.p50_interval, '.2f')} s in the median, then "
        f"{_span(result.tpot_s.p50 / MILLI, result.tpot_s.p50_interval, '.0f', 1.0 / MILLI)} ms per token; "
        f"{_span(result.output_tokens_per_s_per_chip, result.output_tokens_per_s_per_chip_interval, ',.0f')} tokens/s per chip."
    )
    sections = (
        Section("Deployment", (_deployment(result),)),
        Section("Latency and throughput", (latency_table(result), _throughput(result))),
        Section("Money and energy", (_money(result),)),
        Section(
            "One replica",
            (
                replica_facts(result.replica),
                terms_chart("Parts of a decode iteration", result.replica.terms, 1.0 / MILLI, "ms"),
            ),
        ),
        Section("Memory of one chip", _memory(result.replica)),
        Section("How many chips", (counts_table(result.sized),) if result.sized else ()),
        warnings_section((*result.warnings, *result.replica.warnings), weak=result.weak_inputs),
        Section(
            "Terms",
            (
                terms_table("Terms of a decode iteration", result.replica.terms),
                terms_table("Terms of a prefill", result.replica.prefill_terms),
            ),
            folded=True,
        ),
        sources_section(result.sources),
    )
    return Report(f"Serving {result.model} on {result.chip}", verdict, sections, main="Latency over requests")


def _replicas(result: ServeResult) -> str:
    return "replica" if result.replicas == 1 and result.replicas_interval in (None, Interval(1.0, 1.0, 1.0)) else "replicas"


def _span(value: float, interval: Interval | None, form: str, scale: float = 1.0) -> str:
    """A figure of a sentence with the ends of its interval."""
    if interval is None:
        return format(value, form)
    return f"{value:{form}} ({scale * interval.p05:{form}} to {scale * interval.p95:{form}})"


def _deployment(result: ServeResult) -> Facts:
    return Facts(
        "Deployment",
        (
            Fact("chips", result.chips, "chips", moving(result.chips_interval)),
            Fact("replicas", result.replicas, _replicas(result), moving(result.replicas_interval)),
            Fact("layout of a replica", layout_words(result.layout)),
            Fact("engine", result.engine),
            Fact("weights / cache", f"{result.weight_dtype} / {result.kv_dtype}"),
            Fact(
                "simulated requests",
                result.requests_simulated,
                "requests",
                note="" if result.requests_simulated else "steady state by formulas, no events simulated",
            ),
        ),
    )


_LATENCY = (Column("latency"), *(Column(name, "s") for name in ("mean", "p50", "p90", "p99")))
_OVER = "mean and percentiles over requests"


def latency_table(result: ServeResult) -> Table:
    """Time to first token, per token and end to end: mean and percentiles over requests, each with our interval."""
    rows = tuple(
        latency_row(name, value)
        for name, value in (
            ("first token (ttft)", result.ttft_s),
            ("per further token (tpot)", result.tpot_s),
            ("end to end (e2e)", result.e2e_s),
        )
    )
    return Table("Latency over requests", _LATENCY, rows, _OVER)


def latency_row(name: str, value: Percentiles) -> tuple[str | float | None, ...]:
    """A latency with our interval at its mean and at each percentile."""
    return (
        name,
        ranged(value.mean, value.mean_interval),
        ranged(value.p50, value.p50_interval),
        ranged(value.p90, value.p90_interval),
        ranged(value.p99, value.p99_interval),
    )


def _throughput(result: ServeResult) -> Facts:
    return Facts(
        "Throughput",
        (
            Fact("output", result.output_tokens_per_s, "tokens/s", result.output_tokens_per_s_interval),
            Fact(
                "output per chip",
                result.output_tokens_per_s_per_chip,
                "tokens/s/chip",
                result.output_tokens_per_s_per_chip_interval,
            ),
        ),
    )


def _money(result: ServeResult) -> Facts:
    cost = result.cost_per_response
    thousand = cost.scaled(1000.0) if cost else None
    interval = result.cost_per_response_interval
    return Facts(
        "Money and energy",
        (
            money_fact("cost per 1000 responses", thousand, interval.scaled(1000.0) if interval else None),
            Fact("energy per response", result.energy_j_per_response, "J", result.energy_j_per_response_interval),
        ),
    )


def moving(interval: Interval | None) -> Interval | None:
    """An interval that says something: a whole count may be the same at both ends."""
    return interval if interval is not None and interval.p05 < interval.p95 else None


def replica_facts(replica: ServeEstimate) -> Facts:
    """What one replica does, with our intervals where it is part of an answer."""
    return Facts(
        "One replica",
        (
            Fact("chips", replica.chips, "chips"),
            Fact("running sequences, mean", replica.running_batch, "sequences", replica.running_batch_interval),
            Fact("running sequences, most", replica.batch_limit, "sequences", note=f"limited by {replica.batch_limited_by}"),
            Fact("decode iteration", replica.decode_iteration_s, "s", replica.decode_iteration_s_interval),
            Fact("requests", replica.requests_per_s, "requests/s", replica.requests_per_s_interval),
            Fact("capacity", replica.capacity_requests_per_s, "requests/s", replica.capacity_requests_per_s_interval),
            Fact(
                "share of capacity in use", replica.utilisation, "fraction", replica.utilisation_interval,
                "saturated" if replica.saturated else "",
            ),
            Fact("bound by", replica.bound_by),
            Fact("draw of a chip", replica.power_w_per_chip, "W", replica.power_w_per_chip_interval),
            Fact("cache capacity", replica.memory.kv_tokens, "tokens", replica.memory.kv_tokens_interval),
        ),
    )  # fmt: skip


def _memory(replica: ServeEstimate) -> tuple[Block, ...]:
    """Where the memory goes, and what its intervals rest on."""
    if not replica.memory.basis:
        return (memory_chart(replica),)
    return memory_chart(replica), Notes("What the intervals rest on", (replica.memory.basis,))


def memory_chart(replica: ServeEstimate) -> Chart:
    """Where the memory of the fullest chip goes."""
    memory = replica.memory
    parts = (
        ("weights", memory.weights_bytes, None),
        ("cache", memory.kv_bytes, memory.kv_bytes_interval),
        ("activations", memory.activation_bytes, memory.activation_bytes_interval),
        ("reserve", memory.reserve_bytes, memory.reserve_bytes_interval),
    )
    return Chart(
        "Memory by part",
        "bars",
        "part",
        "memory",
        MEMORY_UNIT,
        tuple(
            Point(name, "", in_gib(max(0.0, amount)), None if span is None else span.scaled(in_gib(1.0)))
            for name, amount, span in parts
        ),
    )


def counts_table(sized: SizedService) -> Table:
    """Every count of chips that was made on the way, with its condition."""
    columns = (
        Column("condition"),
        Column("chips", "chips"),
        Column("replicas", "replicas"),
        Column("load", "requests/s"),
        Column("use", "%"),
    )
    rows = tuple(
        (
            c.condition, ranged(c.chips, c.chips_interval), ranged(c.replicas, c.replicas_interval), c.requests_per_s,
            ranged(c.utilisation, c.utilisation_interval, 100.0),
        )
        for c in sized.counts
    )  # fmt: skip
    return Table("Chips by condition", columns, rows)


def sizing_table(title: str, options: tuple[SizedService, ...]) -> Table:
    """What a service needs on each kind of chip."""
    columns = (
        Column("chip"),
        Column("chips at peak", "chips"),
        Column("chips at the mean load", "chips", optional=True),
        Column("mean load, no latency limit", "chips", optional=True),
        Column("replicas", "replicas", optional=True),
        Column("layout"),
        Column("weights"),
        Column("mean draw", "MW", optional=True),
        Column("energy per response", "J"),
        Column("use", "%", optional=True),
    )
    rows = tuple(
        (
            item.chip,
            ranged(item.chips, item.chips_interval),
            ranged(item.chips_mean, item.chips_mean_interval),
            ranged(item.chips_mean_no_slo, item.chips_mean_no_slo_interval),
            ranged(item.replicas, item.replicas_interval),
            layout_words(item.layout),
            item.weight_dtype,
            ranged(item.power_w, item.power_w_interval, 1.0 / MEGA),
            ranged(item.energy_j_per_response, item.energy_j_per_response_interval),
            ranged(item.utilisation_mean, item.utilisation_mean_interval, 100.0),
        )
        for item in options
    )
    return Table(title, columns, rows, "peak: within the latency targets, spares included")


def refusals_table(title: str, refused: tuple[Refusal, ...]) -> Table:
    """Kinds of chip that cannot carry a service, and why."""
    rows = tuple((item.chip, item.reason, ", ".join(item.binding)) for item in refused)
    return Table(title, (Column("chip"), Column("reason"), Column("what binds")), rows)


def latency_rows_of(title: str, sized: SizedService) -> Table:
    """Latencies of a sized service at peak and at the mean load, mean and percentiles over requests."""
    rows = []
    for when, estimate in (("at peak", sized.peak), ("at the mean load", sized.mean)):
        values = (("first token", estimate.ttft_s), ("per token", estimate.tpot_s), ("end to end", estimate.e2e_s))
        rows += [latency_row(f"{name} {when}", value) for name, value in values]
    return Table(title, _LATENCY, tuple(rows), _OVER)

"""The report of ``serve``."""

from __future__ import annotations

from suanzhang.report.blocks import Chart, Column, Fact, Facts, Point, Report, Section, Table, money_fact
from suanzhang.report.common import layout_words, sources_section, terms_chart, terms_table, warnings_section
from suanzhang.spec.memory import MEMORY_UNIT, in_gib
from suanzhang.spec.result import Interval
from suanzhang.spec.serve import Percentiles, Refusal, ServeEstimate, ServeResult, SizedService
from suanzhang.units import MEGA, MILLI, format_count


def serve(result: ServeResult) -> Report:
    """Chips, engine settings, latencies, throughput, cost and energy of one service."""
    verdict = (
        f"{format_count(result.chips)} x {result.chip} in {format_count(result.replicas)} replicas "
        f"({layout_words(result.layout)}) serve {result.model}: first token after {result.ttft_s.p50:.2f} s in the median, "
        f"then {result.tpot_s.p50 / MILLI:.0f} ms per token; {result.output_tokens_per_s_per_chip:,.0f} tokens/s per chip."
    )
    sections = (
        Section("Deployment", (_deployment(result),)),
        Section("Latency and throughput", (latency_table(result), _throughput(result))),
        Section("Money and energy", (_money(result),)),
        Section(
            "One replica",
            (
                replica_facts(result.replica, result),
                terms_chart("Parts of a decode iteration", result.replica.terms, 1.0 / MILLI, "ms"),
            ),
        ),
        Section("Memory of one chip", (memory_chart(result.replica),)),
        Section("How many chips", (counts_table(result.sized),) if result.sized else ()),
        warnings_section((*result.warnings, *result.replica.warnings)),
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


def _deployment(result: ServeResult) -> Facts:
    return Facts(
        "Deployment",
        (
            Fact("chips", result.chips, "chips"),
            Fact("replicas", result.replicas, "replicas"),
            Fact("layout of a replica", layout_words(result.layout)),
            Fact("engine", result.engine),
            Fact("weights / cache", f"{result.weight_dtype} / {result.kv_dtype}"),
            Fact(
                "simulated requests",
                result.requests_simulated,
                "requests",
                note="0: analytic steady state, no events simulated",
            ),
        ),
    )


def latency_table(result: ServeResult) -> Table:
    """Time to first token, per token and end to end: percentiles over requests, and our interval of the mean."""
    rows = tuple(
        _latency_row(name, value, interval)
        for name, value, interval in (
            ("first token (ttft)", result.ttft_s, result.ttft_s_interval),
            ("per further token (tpot)", result.tpot_s, result.tpot_s_interval),
            ("end to end (e2e)", result.e2e_s, result.e2e_s_interval),
        )
    )
    columns = (
        Column("latency"),
        *(Column(name, "s") for name in ("mean", "p50", "p90", "p99", "our p05", "our p50", "our p95")),
    )
    return Table(
        "Latency over requests",
        columns,
        rows,
        "p50 to p99: over requests; our p05 to p95: uncertainty of our prediction of the mean",
    )


def _latency_row(name: str, value: Percentiles, interval: Interval | None) -> tuple[str | float | None, ...]:
    bounds = (interval.p05, interval.p50, interval.p95) if interval else (None, None, None)
    return name, value.mean, value.p50, value.p90, value.p99, *bounds


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


def replica_facts(replica: ServeEstimate, result: ServeResult | None = None) -> Facts:
    """What one replica does; with the result that it belongs to, our intervals too."""
    return Facts(
        "One replica",
        (
            Fact("chips", replica.chips, "chips"),
            Fact("running sequences, mean", replica.running_batch, "sequences"),
            Fact("running sequences, most", replica.batch_limit, "sequences", note=f"limited by {replica.batch_limited_by}"),
            Fact("decode iteration", replica.decode_iteration_s, "s", result.decode_iteration_s_interval if result else None),
            Fact("requests", replica.requests_per_s, "requests/s"),
            Fact(
                "capacity",
                replica.capacity_requests_per_s,
                "requests/s",
                result.capacity_requests_per_s_interval if result else None,
            ),
            Fact("share of capacity in use", replica.utilisation, "fraction", note="saturated" if replica.saturated else ""),
            Fact("bound by", replica.bound_by),
            Fact("draw of a chip", replica.power_w_per_chip, "W", result.power_w_per_chip_interval if result else None),
            Fact("cache capacity", replica.memory.kv_tokens, "tokens"),
        ),
    )


def memory_chart(replica: ServeEstimate) -> Chart:
    """Where the memory of the fullest chip goes."""
    memory = replica.memory
    parts = (
        ("weights", memory.weights_bytes),
        ("cache", memory.kv_bytes),
        ("activations", memory.activation_bytes),
        ("reserve", memory.reserve_bytes),
    )
    return Chart(
        "Memory by part",
        "bars",
        "part",
        "memory",
        MEMORY_UNIT,
        tuple(Point(name, "", in_gib(max(0.0, amount))) for name, amount in parts),
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
    rows = tuple((c.condition, c.chips, c.replicas, c.requests_per_s, 100.0 * c.utilisation) for c in sized.counts)
    return Table("Chips by condition", columns, rows)


def sizing_table(title: str, options: tuple[SizedService, ...]) -> Table:
    """What a service needs on each kind of chip."""
    columns = (
        Column("chip"),
        Column("chips at peak", "chips"),
        Column("chips at the mean load", "chips", optional=True),
        Column("mean load, no latency limit", "chips", optional=True),
        Column("replicas", "replicas"),
        Column("layout"),
        Column("weights"),
        Column("mean draw", "MW"),
        Column("energy per response", "J"),
        Column("use", "%"),
    )
    rows = tuple(
        (
            item.chip,
            item.chips,
            item.chips_mean,
            item.chips_mean_no_slo,
            item.replicas,
            layout_words(item.layout),
            item.weight_dtype,
            item.power_w / MEGA,
            item.energy_j_per_response,
            100.0 * item.utilisation_mean,
        )
        for item in options
    )
    return Table(title, columns, rows, "peak: within the latency targets, spares included")


def refusals_table(title: str, refused: tuple[Refusal, ...]) -> Table:
    """Kinds of chip that cannot carry a service, and why."""
    rows = tuple((item.chip, item.reason, ", ".join(item.binding)) for item in refused)
    return Table(title, (Column("chip"), Column("reason"), Column("what binds")), rows)


def latency_rows_of(title: str, sized: SizedService, ours: tuple[Interval | None, ...] = (None, None, None)) -> Table:
    """Latencies of a sized service at peak and at the mean load, percentiles over requests.

    Args:
        title: of the table.
        sized: the service.
        ours: our intervals of the mean latencies at peak: first token, per token, end to end.
    """
    names = ("mean", "p50", "p90", "p99", "our p05", "our p50", "our p95")
    columns = (Column("latency"), *(Column(name, "s") for name in names))
    rows = []
    for when, estimate, bounds in (("at peak", sized.peak, ours), ("at the mean load", sized.mean, (None, None, None))):
        values = (("first token", estimate.ttft_s), ("per token", estimate.tpot_s), ("end to end", estimate.e2e_s))
        rows += [_latency_row(f"{name} {when}", value, own) for (name, value), own in zip(values, bounds, strict=True)]
    return Table(title, columns, tuple(rows), "our p05 to p95: uncertainty of our prediction of the mean" if any(ours) else "")

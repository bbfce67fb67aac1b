"""Every figure that a training verb predicts has its interval; what is no prediction stands here with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from intervals import unspanned

import suanzhang
from suanzhang.spec.result import Interval
from suanzhang.spec.train_variants import VariantsResult
from suanzhang.units import DAY_S

TRAIN = {
    "TrainResult.chips": "a choice among what was given",
    "TrainResult.steps": "tokens over the batch, both given",
    "TrainResult.layouts_evaluated": "a count of work done",
    "TrainResult.search_s": "a clock reading",
    "TrainResult.pruned": "counts of work done",
    "TrainResult.seq_len": "given",
    "TrainResult.global_batch": "given",
    "TrainResult.memory_bytes.usable": "a figure of the chip",
    "TrainOption.chips": "a choice among what was given",
    "TrainOption.global_batch": "given, or a choice",
    "TrainResult.deadline_met_fraction": "what the interval itself says",
    "TrainResult.fits_fraction": "what the interval itself says",
    "TrainResult.riskier_fits_fraction": "what the interval itself says",
    "TrainResult.idle_chips": "a choice among what was given",
    "Flag": "weights of figures, exact by the formulas",
}

GOODPUT = {
    "RunResult.chips": "given",
    "RunResult.nodes": "follows from the chips",
    "RunResult.spares": "a choice",
    "RunResult.failures_per_chip_day": "published or given; its spread is in all that follows from it",
    "RunResult.interval_s": "a choice",
    "RunResult.replications": "given",
    "WarmUp.global_batch": "given",
    "WarmUp.tokens": "given",
    "Setting.value": "the setting that is looked at",
    "Flag": "weights of figures, exact by the formulas",
}

VARIANTS = {
    "VariantsResult.chips": "given",
    "TrainOption.chips": "given",
    "TrainOption.global_batch": "given, or a choice",
    "VariantRow.peak_ratio": "figures of the catalog",
    "VariantRow.hbm_ratio": "figures of the catalog",
    "VariantRow.hbm_bandwidth_ratio": "figures of the catalog",
    "VariantRow.link_ratio": "figures of the catalog",
    "VariantRow.nic_ratio": "figures of the catalog",
    "Flag": "weights of figures, exact by the formulas",
}

MIXED = {
    "MixedResult.between_bytes_per_s": "given",
    "MixedResult.between_s": "given",
    "MixedResult.layouts_evaluated": "a count of work done",
    "MixedResult.search_s": "a clock reading",
    "MixedResult.pruned": "counts of work done",
    "MixedResult.global_batch": "given, or a choice",
    "MixedOption.chips": "a choice among what was given",
    "MixedOption.fits_fraction": "what the interval itself says",
    "PoolShare.chips": "a choice among what was given",
    "PoolShare.layers": "a choice",
    "PoolShare.batch": "a choice",
    "Flag": "weights of figures, exact by the formulas",
}

SCALING = {
    "ScalingRow.chips": "what the budget pays",
    "ScalingRow.days": "given, or what the budget pays",
    "ScalingRow.cost": "chips and days times a price, all given",
    "ScalingRow.price_per_chip_h": "given or quoted",
    "ScalingRow.layers": "the shape that is planned",
    "ScalingRow.hidden": "the shape that is planned",
    "ScalingResult.budget": "given",
    "Flag": "weights of figures, exact by the formulas",
}
COMPUTE = {"ScalingRow.flop": "given", "ScalingRow.goodput_fraction": "compute is given, no run"}

IMPORT = {
    "ExamineResult.params": "a count of the shape",
    "ExamineResult.chips": "given",
    "ExamineResult.seq_len": "given",
    "ExamineResult.global_batch": "given",
    "ExamineResult.steps": "given",
    "Flag": "weights of figures, exact by the formulas",
}
SCRIPT = """\
#!/bin/bash
torchrun --nproc_per_node 8 --nnodes 16 pretrain_gpt.py --tensor-model-parallel-size 8 --pipeline-model-parallel-size {pp} \\
  --num-layers 96 --hidden-size 12288 --num-attention-heads 96 --seq-length 2048 --micro-batch-size 1 --global-batch-size 64 \\
  --recompute-granularity full --recompute-method uniform --recompute-num-layers 1 --train-iters 100000 --bf16
"""


def test_train() -> None:
    one = suanzhang.train("llama3-8b", "1T", "h100-sxm-80:64", price_per_chip_h=2.0)
    two = suanzhang.train(
        "mixtral-8x7b", "200B", "a100-sxm-80:64,h100-sxm-80:64", objective="cost", price_per_chip_h=(1.0, 2.5)
    )
    laid = suanzhang.train("llama3-8b", "1T", "a800-sxm-80:64", layout="tp=4,pp=2", global_batch=512, seq_len=4096)
    sized = suanzhang.train(
        "llama3-8b", "1T", "h100-sxm-80", max_chips=256, gang="NODE", objective="chips", deadline_s=20 * DAY_S
    )
    assert unspanned([one, two, laid, sized], TRAIN) == []


def test_launch_shows_the_figures_of_its_plan() -> None:
    launched = suanzhang.launch_train("llama3-8b", "1T", "h100-sxm-80:64", "megatron", price_per_chip_h=2.0)
    without = {name: why for name, why in TRAIN.items() if name != "TrainResult.deadline_met_fraction"}
    assert unspanned([launched], without) == []


def test_days_energy_and_cost_move_together() -> None:
    result = suanzhang.train("llama3-8b", "1T", "h100-sxm-80:64", price_per_chip_h=2.0)
    assert result.cost is not None and result.cost_interval is not None
    factor = result.cost.amount / result.days
    for ours, theirs in (
        (result.cost_interval.p05, result.days_interval.p05),
        (result.cost_interval.p95, result.days_interval.p95),
    ):
        assert ours == pytest.approx(theirs * factor, rel=1e-9), "a price that was given adds no error"
    width = lambda span: span.p95 / span.p05  # noqa: E731
    assert width(result.days_interval) >= width(result.step_s_interval) * 0.999, "failures add to what the step is off by"
    assert width(result.energy_j_interval) > width(result.days_interval), "the draw adds to what the days are off by"


def test_terms_are_no_better_known_than_their_sum() -> None:
    result = suanzhang.train("llama3-8b", "1T", "h100-sxm-80:64")
    whole = result.step_s_interval.p95 / result.step_s_interval.p05
    for term in result.terms:
        if term.value:
            assert isinstance(term.value_interval, Interval)
            assert term.value_interval.p95 / term.value_interval.p05 >= whole * (1.0 - 1e-9), term.name


def test_goodput() -> None:
    plain = suanzhang.goodput("llama3-8b", "1T", "h100-sxm-80:256", replications=40)
    full = suanzhang.goodput(
        "llama3-8b", "1T", "a100-sxm-80:256", checkpoint="sync", batch_warm_up="0.25:2%,0.5:18%", evaluation_s=600.0,
        evaluation_every_s=86400.0, slow_nodes_fraction=0.01, failures="meta-rsc-1", replications=40,
    )  # fmt: skip
    assert unspanned([plain, full], GOODPUT) == []
    assert any(flag.figure.startswith("time to be back") for flag in full.weak_inputs) == any(
        term.name == "restarts" and term.value > 0.05 * sum(part.value for part in full.terms) for term in full.terms
    )


@pytest.fixture(scope="module")
def variants() -> VariantsResult:
    return suanzhang.variants("llama3-70b", "1T", 256, price_per_chip_h=2.0)


def test_variants(variants: VariantsResult) -> None:
    whole = {"time_ratio": 0.0, "same_layout_ratio": 0.0, "even_price_ratio": 0.0, "even_price_per_chip_h": None}
    rows = tuple(replace(row, **whole) if row.chip == row.base else row for row in variants.rows)  # a chip over itself is 1
    assert unspanned([replace(variants, rows=rows)], VARIANTS) == []


def test_a_ratio_is_narrow_only_where_the_silicon_is_the_same(variants: VariantsResult) -> None:
    rows = {row.chip: row for row in variants.rows}

    def width(span: Interval | None) -> float:
        assert span is not None
        return span.p95 / span.p05

    cut, old = rows["a800-sxm-80"], rows["v100-sxm2-32"]
    assert width(cut.same_layout_ratio_interval) < 1.05, "only what the link carries may differ"
    assert cut.option is not None and width(cut.time_ratio_interval) < 0.8 * width(cut.option.days_interval)
    assert width(old.time_ratio_interval) > width(cut.time_ratio_interval)
    assert old.option is not None and width(old.time_ratio_interval) < width(old.option.days_interval), "the job is the same"
    for row in (cut, old):
        price, money = row.even_price_ratio_interval, row.even_price_per_chip_h_interval
        assert price is not None and money is not None
        assert money.p05 == pytest.approx(2.0 * price.p05) and price.p95 == pytest.approx(
            row.even_price_ratio * row.time_ratio / row.time_ratio_interval.p05, rel=1e-3
        )


def test_mixed() -> None:
    unlike = suanzhang.train_mixed("llama3-8b", "1T", "h100-sxm-80:32+a100-sxm-80:32")
    same = suanzhang.train_mixed("llama3-8b", "1T", "a100-sxm-80:32@one+a800-sxm-80:32@one")
    assert unspanned([unlike, same], MIXED) == []
    for result in (unlike, same):
        gain, apart = result.gain_fraction_interval, result.apart_tokens_per_s_interval
        assert gain is not None and apart is not None and result.best.tokens_per_s_interval is not None
        share = (1.0 + gain.p95) / (1.0 + gain.p05)
        assert share < apart.p95 / apart.p05, "what is wrong for all pools alike cancels in a gain"


def test_scaling() -> None:
    bought = suanzhang.scaling("h100-sxm-80,a100-sxm-80", budget="5M", deadline="60d")
    assert unspanned([bought], SCALING) == []
    given = suanzhang.scaling(flop=1e24)
    assert unspanned([given, bought], {**SCALING, **COMPUTE}) == []
    fixed = suanzhang.scaling(flop=1e24, tokens_per_param=20.0).best
    assert fixed.tokens_per_param == pytest.approx(20.0) and fixed.tokens_per_param_interval is None


def test_published_laws_of_size_and_loss_lie_in_the_intervals() -> None:
    result = suanzhang.scaling(flop=5.76e23)
    best, by_name = result.best, {one.law: one for one in result.sizes}
    span = best.params_interval
    assert all(span.p05 < size < span.p95 for size in (40e9, 63e9, 67e9)), "what the paper itself advises three ways"
    assert best.loss_interval.p05 < by_name["Chinchilla 2022"].loss < best.loss_interval.p95
    wider = suanzhang.scaling("h100-sxm-80", budget="5M", deadline="60d").best
    assert wider.loss_interval.p95 - wider.loss_interval.p05 > 0.0
    assert wider.params_interval.p95 / wider.params_interval.p05 > wider.flop_interval.p95 / wider.flop_interval.p05


def test_import_of_a_job(tmp_path: Path) -> None:
    results = []
    for pp in (8, 1):
        path = tmp_path / f"job{pp}.sh"
        path.write_text(SCRIPT.format(pp=pp), encoding="utf-8")
        results.append(suanzhang.examine(path, "a100-sxm-80"))
    runs, too_large = results
    assert runs.fits and not too_large.fits
    assert unspanned(results, IMPORT) == []
    gains = [(one.gain, one.gain_interval) for one in runs.findings if one.gain]
    assert gains and all(span is not None and span.p95 - span.p05 > 0.01 for _, span in gains), "no gain is known to a percent"


def test_the_chips_that_a_deadline_needs_are_as_unsure_as_the_days() -> None:
    asked = {"max_chips": 512, "gang": "NODE", "objective": "chips"}
    found = suanzhang.train("llama3-8b", "1T", "h100-sxm-80", deadline_s=20 * DAY_S, **asked)
    span = found.chips_needed_interval
    assert span is not None and found.chips_needed == found.chips and found.chips % 8 == 0
    assert span.p05 <= found.chips < span.p95, "half of the cases need more"
    assert found.deadline_met_fraction is not None and found.deadline_met_fraction < 0.7, "the fewest chips leave no room"
    roomy = suanzhang.train("llama3-8b", "1T", f"h100-sxm-80:{int(span.p95)}", deadline_s=20 * DAY_S)
    assert roomy.deadline_met_fraction is not None and roomy.deadline_met_fraction > 0.95
    tight = suanzhang.train("llama3-8b", "1T", "h100-sxm-80:64", deadline_s=20 * DAY_S)
    assert tight.chips_needed_interval is not None and tight.chips_needed_interval.p95 > 64, "beyond what was given"
    assert suanzhang.train("llama3-8b", "1T", "h100-sxm-80:64").deadline_met_fraction is None


def test_a_layout_that_fills_the_memory_is_less_sure_to_fit() -> None:
    full = suanzhang.train("llama3-8b", "1T", "h100-sxm-80:64")
    lean = suanzhang.train("llama3-8b", "1T", "h100-sxm-80:64", layout="tp=8,pp=1,recompute=full")
    assert full.memory_bytes["total"] > 1.5 * float(str(lean.memory_bytes["total"]))
    assert 0.5 < full.fits_fraction < lean.fits_fraction <= 1.0


@pytest.mark.parametrize("replications", [20, 400])
def test_a_simulated_run_is_as_open_as_its_step(replications: int) -> None:
    planned = suanzhang.train("llama3-8b", "1T", "h100-sxm-80:64")
    run = suanzhang.goodput("llama3-8b", "1T", "h100-sxm-80:64", replications=replications)
    for end in ("p05", "p50", "p95"):
        step = getattr(planned.step_s_interval, end) / planned.step_s
        assert getattr(run.days_interval, end) / run.days == pytest.approx(step, rel=0.03), "few runs must not narrow it"

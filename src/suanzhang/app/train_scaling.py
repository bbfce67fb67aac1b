"""The verb ``scaling``: what a budget of money, chips and days can train, and to which loss."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import date

from suanzhang.app.header import header
from suanzhang.app.train_input import busy_batch, default_precision, memory_there, parse_chips
from suanzhang.app.train_model import estimate_packed, pack
from suanzhang.app.train_option import option_of, search, stack_for
from suanzhang.app.train_scaling_spread import LAWS, LawSpread, spanned_row, spanned_size
from suanzhang.app.train_spread import errors_of
from suanzhang.app.train_weak import Behind, weak_scaling
from suanzhang.catalog import CATALOG_DATE
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.errors import Infeasible, InputError
from suanzhang.perf.scaling import (
    FLOP_PER_PARAM_TOKEN,
    LossLaw,
    best_params,
    kaplan_loss,
    kaplan_params,
    loss,
)
from suanzhang.source import Quoted
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.memory import memory_words
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.result import Interval, Money
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train_scaling import ScalingResult, ScalingRow, SizedModel
from suanzhang.units import DAY_S, HOUR_S, format_count, parse_quantity

EPOCHS = 4.0
"""Passes over the same text that teach almost as much as fresh text ([muennighoff2023] section 6)."""
ASSUMED_DAYS = 90.0
USUAL = ("a100-sxm-80", "h100-sxm-80", "h200-sxm-141", "b200-sxm-180")
"""Kinds of chips that large models are mostly trained on, looked at when none is named."""
_LEAST_FLOP, _MOST_FLOP = 1e17, 1e29
"""Compute that the laws are asked for: a factor of ten and of a hundred beyond where they are said to hold."""
_ROUNDS = 12
_VOCAB, _HEAD_DIM, _KV_HEADS = 128_256, 128, 8
_NEAR = 0.02


def shape_for(params: float) -> ModelSpec:
    """A dense decoder of about so many parameters, in the proportions of Llama 3: width over depth about 100, feed-forward 3.5
    times as wide, eight key/value heads, a vocabulary of 128 thousand where the model is large enough.

    Raises:
        InputError: fewer than 10 million or more than 100 trillion parameters.
    """
    if not 1e7 <= params <= 1e14:
        raise InputError(f"scaling: {params:.2g} parameters are outside of what is modelled", fix="change the budget")
    vocab = _VOCAB if params > 3e9 else 32_000
    best: tuple[float, ModelSpec] | None = None
    for step in (128, 512, 1024):
        for number in range(1, 129):
            hidden = step * number
            if step < hidden / 32 or hidden < 256:
                continue
            shape = _shape(params, hidden, vocab)
            off = abs(math.log(shape.params / params)) + 0.3 * abs(math.log(shape.layers / (hidden / 105.0)))
            if best is None or off < best[0] - 1e-12:
                best = (off, shape)
    if best is None:
        raise InputError(f"scaling: no shape has {params:.2g} parameters", fix="change the budget")
    return best[1]


def _shape(params: float, hidden: int, vocab: int) -> ModelSpec:
    heads = max(1, hidden // _HEAD_DIM)
    kv_heads = math.gcd(heads, _KV_HEADS)
    ffn = int(3.5 * hidden)
    each = 2.0 * hidden * hidden + 2.0 * hidden * kv_heads * _HEAD_DIM + 3.0 * hidden * ffn
    step = 8 if hidden >= 4096 else 4
    return shape_of(max(step, step * round((params - 2.0 * vocab * hidden) / each / step)), hidden, vocab)


def shape_of(layers: int, hidden: int, vocab: int) -> ModelSpec:
    """The dense decoder of so many layers of a width, in the proportions of :func:`shape_for`."""
    heads = max(1, hidden // _HEAD_DIM)
    kv_heads = math.gcd(heads, _KV_HEADS)
    ffn = int(3.5 * hidden)
    return ModelSpec("sized", "sized model", layers, hidden, heads, kv_heads, _HEAD_DIM, ffn, True, vocab, max_seq=8192)


def until(deadline: str, start: str) -> float:
    """Seconds until a date (``2027-06-30``, ``2027-06``) or of a duration (``90d``).

    Raises:
        InputError: no date and no duration, or a date that is not after the start.
    """
    if not re.fullmatch(r"\d{4}-\d{2}(-\d{2})?", deadline.strip()):
        return parse_quantity(deadline, "time", "deadline")
    begin, end = (_day(text, name) for text, name in ((start or CATALOG_DATE, "start"), (deadline.strip(), "deadline")))
    if end <= begin:
        raise InputError(f"deadline: {deadline} is not after the start {begin.isoformat()}", fix="give a later date")
    return (end - begin).days * DAY_S


def _day(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text if len(text) == 10 else f"{text}-01")
    except ValueError:
        raise InputError(f"{name}: {text!r} is no date", fix="write for example 2027-06-30") from None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What bounds the training on one kind of chip.

    Args:
        chip: the chip.
        chips: how many.
        seconds: calendar time.
        price: of one chip and hour; None without.
    """

    chip: ChipSpec
    chips: int
    seconds: float
    price: Money | None


def scaling(
    chips: str = "",
    *,
    flop: float | str = 0.0,
    budget: float | str = 0.0,
    currency: str = "USD",
    price_per_chip_h: float | None = None,
    deadline: str = "",
    unique_tokens: float | str = 0.0,
    tokens_per_param: float = 0.0,
    seq_len: int = 4096,
    precision: str = "",
    stack: str = "",
    start: str = "",
    seed: int = 0,
) -> ScalingResult:
    """The model of the lowest loss that a budget trains.

    Args:
        chips: kinds of chips, ``"CHIP"`` or ``"CHIP:N"``, separated by commas; none when compute is given, and the usual ones
            that are let when only money is.
        flop: training compute instead of chips.
        budget: money for chip-hours.
        currency: of budget and price.
        price_per_chip_h: price of one chip for one hour; the latest rent of the catalog in that currency when left out.
        deadline: a date, or a duration; 90 days when left out.
        unique_tokens: tokens of text that there are; no limit when left out. Up to four passes are made over them.
        tokens_per_param: tokens per parameter instead of those of the lowest loss, for a model that is cheaper to serve.
        seq_len: tokens of a sequence.
        precision: dtype of the products; 16 bit when left out.
        stack: generation of software; that of the start year when left out.
        start: date of the start, ISO.
        seed: printed in the header; nothing here is random.

    Raises:
        InputError: something given cannot be used.
        Infeasible: the budget pays for no chip until the deadline, or nothing fits.
    """
    money = parse_quantity(budget, "count", "budget")
    data = parse_quantity(unique_tokens, "count", "unique tokens")
    if min(money, data, tokens_per_param) < 0.0:
        raise InputError("scaling: a budget below zero", fix="give positive values")
    choice = _Choice(data * EPOCHS, tokens_per_param)
    compute = parse_quantity(flop, "flop", "flop")
    notes: list[str] = []
    behind: list[Behind] = []
    if compute > 0.0:
        if chips or money:
            raise InputError("scaling: compute together with chips or a budget", fix="give one of them")
        if not _LEAST_FLOP <= compute <= _MOST_FLOP:
            raise InputError(
                f"flop: {flop!r} is no training compute", fix=f"give {_LEAST_FLOP:.0e} to {_MOST_FLOP:.0e} FLOP, such as 1e24"
            )
        rows = [_of_compute(compute, choice)]
    else:
        if seq_len < 1:
            raise InputError(f"seq_len: {seq_len} is not positive", fix="write for example 4096")
        rows = _rows(
            chips, money, currency, price_per_chip_h, deadline, seq_len, precision, stack, start, choice, notes, behind
        )
    rows.sort(key=lambda row: (row.loss, row.chip))
    best = rows[0]
    notes.append("loss of a dense model on web text, one law's data and tokenizer: compare losses of one law only")
    if best.params > 16e9 or best.tokens > 5e11:
        notes.append("the laws were fitted on models up to 16 B parameters and 500 B tokens: this is extrapolation")
    spread = next((one.spread for one in behind if one.chip.id == best.chip), LawSpread.of(None))
    return ScalingResult(
        header(seed), Money(money, currency, start) if money else None, best, tuple(rows), _sizes(best.flop, spread),
        tuple(dict.fromkeys(notes)), ("chinchilla", "hoffmann2022", "besiroglu2024", "kaplan2020", "llama3"),
        weak_scaling(behind),
    )  # fmt: skip


def _rows(
    chips: str, money: float, currency: str, price: float | None, deadline: str, seq_len: int, precision: str, stack: str,
    start: str, choice: _Choice, notes: list[str], behind: list[Behind],
) -> list[ScalingRow]:  # fmt: skip
    """One row for each kind of chip that the budget can use."""
    if not chips and not money:
        raise InputError(
            "scaling: neither chips, money nor compute given",
            fix="write for example --budget 20M, --chips h100-sxm-80:1024, or --flop 1e24",
        )
    if not chips:
        chips = ",".join(_let(currency) if price is None else USUAL)
        if not chips:
            raise InputError(f"scaling: the catalog has no rent in {currency}", fix="name the chips and give their price")
        notes.append(f"chips not given: looked at {chips.replace(',', ', ')}")
    seconds = until(deadline, start) if deadline else 0.0
    rows, failures = [], []
    for part in chips.split(","):
        name, count = parse_chips(part)[0] if ":" in part else (part.strip(), 0)
        spec = chip_of(name)
        try:
            rent = _price(spec, price, currency, bool(money), notes)
            asked = _asked(spec, count, money, seconds, None if rent is None else rent[0], notes)
            row, run = _of_chips(asked, choice, seq_len, precision, stack, start, notes)
            rows.append(row)
            behind.append(run._replace(rent=None if rent is None else rent[1]))
        except Infeasible as failure:
            failures.append(failure)
    if not rows:
        raise failures[0]
    notes += [f"{failure.message}: {'; '.join(failure.binding)}" for failure in failures]
    return rows


def _let(currency: str) -> list[str]:
    """Usual kinds of chips for which the catalog has a rent in a currency."""
    return [name for name in USUAL if any(p.kind == "rent" and p.price.unit.startswith(currency) for p in chip_of(name).prices)]


def _price(
    spec: ChipSpec, given: float | None, currency: str, needed: bool, notes: list[str]
) -> tuple[Money, Quoted | None] | None:
    """The price that was given, or the latest rent of the catalog in that currency with its origin."""
    if given is not None:
        return Money(given, currency, ""), None
    rents = [p.price for p in spec.prices if p.kind == "rent" and p.price.unit.startswith(currency)]
    if not rents:
        if needed:
            raise InputError(f"{spec.name}: the catalog has no rent in {currency}", fix="give a price per chip and hour")
        return None
    latest = max(rents, key=lambda quoted: quoted.date or "")
    notes.append(f"{spec.name}: rent of {latest.value:g} {currency} per chip and hour assumed, as quoted {latest.date}")
    return Money(latest.value, currency, latest.date or ""), latest


def _asked(spec: ChipSpec, count: int, money: float, seconds: float, price: Money | None, notes: list[str]) -> _Asked:
    """Chips and time that budget, deadline and count leave."""
    if not money:
        if not count or not seconds:
            raise InputError(
                "scaling: neither a budget nor both chips and a deadline", fix="add --budget 20M, or CHIP:N and --deadline"
            )
        return _Asked(spec, count, seconds, price)
    if price is None or price.amount <= 0.0:
        raise InputError(f"{spec.name}: no price", fix="give a price per chip and hour above zero")
    if count and not seconds:
        return _Asked(spec, count, money / (price.amount * count) * HOUR_S, price)
    if not seconds:
        seconds = ASSUMED_DAYS * DAY_S
        notes.append(f"deadline assumed: {ASSUMED_DAYS:.0f} days")
    node = max(1, spec.node.chips)
    paid = int(money / (price.amount * seconds / HOUR_S)) // node * node
    if paid < node:
        raise Infeasible(
            f"{format_count(money)} {price.currency} pay for no node of {spec.name} for {seconds / DAY_S:.0f} days",
            binding=[f"budget: {node * price.amount * seconds / HOUR_S:,.0f} {price.currency} for one node"],
            fix="raise the budget, or set an earlier deadline",
        )
    return _Asked(spec, min(paid, count) if count else _round_chips(paid, node), seconds, price)


def _round_chips(chips: int, node: int) -> int:
    """At most so many chips with few odd factors, as layouts need them; at most 3 % are left out."""
    unit = node * (1 << max(0, int(math.log2(chips / node)) - 5))
    return int(chips // unit * unit)


def batch_for(shape: ModelSpec, seq_len: int, chip: ChipSpec, chips: int) -> int:
    """Sequences of a step near those that are assumed on so many chips, divided by the odd factors of their number."""
    odd = chips
    while odd % 2 == 0:
        odd //= 2
    usual = busy_batch(shape, seq_len, [(chip, chips)])
    unit = odd * 32
    return max(1, round(usual / unit)) * unit if odd > 1 and unit <= 2 * usual else usual


@dataclass(frozen=True, slots=True)
class _Choice:
    """How tokens and parameters share a compute budget.

    Args:
        most_tokens: most tokens that can be trained on; 0 without a limit.
        tokens_per_param: fixed ratio; 0 for that of the lowest loss.
    """

    most_tokens: float
    tokens_per_param: float

    def params(self, flop: float, law: LossLaw) -> float:
        """Parameters for a compute budget [1]."""
        found = best_params(flop, law)
        if self.tokens_per_param:
            found = math.sqrt(flop / (FLOP_PER_PARAM_TOKEN * self.tokens_per_param))
        if self.most_tokens:
            found = max(found, flop / (FLOP_PER_PARAM_TOKEN * self.most_tokens))
        return float(found)


def _of_chips(
    asked: _Asked, choice: _Choice, seq_len: int, precision: str, stack: str, start: str, notes: list[str]
) -> tuple[ScalingRow, Behind]:
    """Size the model until its own speed and the law agree."""
    law = next(iter(LAWS.values()))
    kind = precision or default_precision(asked.chip)
    job = TrainJob("sized", shape_for(1e9), 1e12, seq_len, 1, kind, start=start)
    software = stack_for(job, stack, asked.chip)
    if not stack and f"software assumed: {software.title}" not in notes:
        notes.append(f"software assumed: {software.title}")
    flop = 0.4 * asked.chips * asked.chip.peak(kind) * asked.seconds
    row, run = _try(asked, job, software, choice.params(flop, law), choice)
    flop = row.flop
    for _ in range(_ROUNDS - 1):
        row, run = _try(asked, job, software, choice.params(flop, law), choice)
        if abs(row.flop / flop - 1.0) < _NEAR:
            return row, run
        flop = math.sqrt(row.flop * flop)
    notes.append(f"{asked.chip.name}: size and speed settled to {abs(row.flop / flop - 1.0):.1%} only")
    return row, run


def _try(asked: _Asked, job: TrainJob, software: TrainStack, params: float, choice: _Choice) -> tuple[ScalingRow, Behind]:
    """The training of a model of so many parameters in all of the time."""
    shape = shape_for(params)
    own = replace(job, model=shape, global_batch=batch_for(shape, job.seq_len, asked.chip, asked.chips))
    packed = pack(own, asked.chip, software)
    searched = search(packed, own, asked.chip, software, asked.chips)
    if not searched.layouts and math.isinf(searched.leanest_bytes):
        raise Infeasible(
            f"no layout deals {format_count(own.global_batch)} sequences to {format_count(asked.chips)} {asked.chip.name}",
            binding=[f"chips: {format_count(asked.chips)} in {asked.seconds / DAY_S:.3g} d, more than one training can use"],
            fix="allow more days, or give less money",
        )
    if not searched.layouts:
        raise Infeasible(
            f"a model of {params / 1e9:.3g} B parameters does not fit {format_count(asked.chips)} {asked.chip.name}",
            binding=[f"memory: at least {memory_words(searched.leanest_bytes)} per chip, {memory_there(asked.chip)}"],
            fix="use more chips for a shorter time",
        )
    estimate = estimate_packed(packed, searched.layouts[0], asked.chip)
    option = option_of(own, asked.chip, software, estimate)
    errors = errors_of(own, asked.chip, software, estimate.layout, estimate)
    spread = LawSpread.of(errors.factors, errors.draws())
    rate = own.seq_len * own.global_batch / estimate.step_s
    flop = FLOP_PER_PARAM_TOKEN * shape.params * rate * asked.seconds * option.goodput_fraction
    hours = asked.seconds / HOUR_S * asked.chips
    row = replace(
        _of_compute(flop, choice, spread),
        chip=asked.chip.id,
        chips=asked.chips,
        days=asked.seconds / DAY_S,
        cost=None if asked.price is None else asked.price.scaled(hours),
        price_per_chip_h=asked.price,
        layout=estimate.layout,
        layers=shape.layers,
        hidden=shape.hidden,
        mfu=estimate.mfu,
        goodput_fraction=option.goodput_fraction,
        mfu_interval=option.mfu_interval,
        goodput_fraction_interval=option.goodput_fraction_interval,
    )
    return row, Behind(own, asked.chip, software, option, spread)


def _of_compute(flop: float, choice: _Choice, spread: LawSpread | None = None) -> ScalingRow:
    """Size, tokens and loss of a compute budget; with its interval when the step time has one."""
    law = next(iter(LAWS.values()))
    params = choice.params(flop, law)
    tokens = flop / (FLOP_PER_PARAM_TOKEN * params)
    middle = loss(params, tokens, law)
    row = ScalingRow(
        chip="", chips=0, days=0.0, cost=None, price_per_chip_h=None, layout=None, layers=0, hidden=0, mfu=0.0,
        goodput_fraction=1.0, flop=flop, flop_interval=Interval(flop, flop, flop), params=params,
        params_interval=Interval(params, params, params), tokens=tokens, tokens_interval=Interval(tokens, tokens, tokens),
        loss=middle, loss_interval=Interval(middle, middle, middle),
    )  # fmt: skip
    fixed = not math.isclose(params, best_params(flop, law), rel_tol=1e-9)
    return spanned_row(row, spread or LawSpread.of(None), chosen=fixed)


def _sizes(flop: float, spread: LawSpread) -> tuple[SizedModel, ...]:
    """What each law chooses for a compute budget, and what other sizes cost by the first law."""
    rows = []
    for name, law in LAWS.items():
        params = best_params(flop, law)
        tokens = flop / (FLOP_PER_PARAM_TOKEN * params)
        rows.append(SizedModel(name, params, tokens, loss(params, tokens, law)))
    params = kaplan_params(flop)
    rows.append(SizedModel("Kaplan 2020", params, flop / (FLOP_PER_PARAM_TOKEN * params), kaplan_loss(flop)))
    first = next(iter(LAWS.values()))
    for factor in (0.25, 0.5, 2.0, 4.0):
        params = factor * best_params(flop, first)
        tokens = flop / (FLOP_PER_PARAM_TOKEN * params)
        rows.append(SizedModel(f"{factor:g} of the best size", params, tokens, loss(params, tokens, first)))
    return tuple(spanned_size(row, flop, spread) for row in rows)

"""What a chip costs beside its price, by line, and what an hour, a FLOP, a token and a response cost then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from suanzhang.errors import InputError, OutOfDomain
from suanzhang.money.annuity import annuity_factor
from suanzhang.money.depreciation import resale_path
from suanzhang.money.figures import figure
from suanzhang.money.network import topology_factor
from suanzhang.money.power import chip_draw, energy_cost_per_hour
from suanzhang.money.procurement.calendar import HOURS_PER_MONTH
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.market import Offer, Site
from suanzhang.spec.tariff import HourTariff
from suanzhang.units import KILO

MONTHS_PER_YEAR = 12.0


def chip_part(price: float, host: float, includes_host: bool) -> float:
    """Price of the chip alone in the price of an offer.

    Model:
        The server is taken off where the price holds it, but never more than half of the price.

    Args:
        price: of the offer [money].
        host: of the server, per chip [money].
        includes_host: whether the price holds the server.

    Returns:
        Money.

    Equation:
        p_chip = max(p - h, p / 2).

    Validity:
        Chips for which the server is worth less than they are.

    Sources:
        [derived].

    Example:
        >>> chip_part(30000.0, 6000.0, True), chip_part(30000.0, 6000.0, False), chip_part(8000.0, 6000.0, True)
        (24000.0, 30000.0, 4000.0)
    """
    return max(price - host, 0.5 * price) if includes_host else price


def without_server(offer: Offer, price: float, per_usd: float) -> float:
    """Price of the chip alone in a price of an offer, with the usual cost of a server.

    Equation:
        :func:`chip_part` of the price and the figure ``host_per_chip`` in the currency of the price.

    Sources:
        [derived].
    """
    return chip_part(price, figure("host_per_chip").value * per_usd, offer.includes_host)


def chip_costs(
    chip: ChipSpec,
    chip_price: float,
    site: Site,
    months: int,
    currency: str,
    per_usd: float,
    chips: float = 0.0,
) -> ChipCosts:
    """Everything that one chip of one's own costs beside its price, and what it draws.

    Model:
        Host per chip; network by the speed of its port and the topology; storage per chip; room by kilowatt of
        nameplate; spares and support as shares of chip and host a year; staff per chip; energy by idle and busy
        draw. Left out: taxes on what is bought, land, the building of a site.

    Args:
        chip: the chip and its node.
        chip_price: price of the chip alone [currency].
        site: tariff, PUE and room, priced in ``currency``.
        months: length of the resale path.
        currency: of every amount.
        per_usd: units of the currency for one US dollar.
        chips: how many one network joins, by which its tiers are chosen where that is asked for.

    Returns:
        The costs, each with its origin in ``sources``.

    Raises:
        InputError: the site is priced in another currency.

    Equation:
        network = c_port b_nic / b_port f(topology); room = rent P_nameplate; spares = s (p + h) / 12, support likewise.

    Validity:
        Figures of 2023 to 2025; each has a range in the table of figures.

    Sources:
        [epoch-cost-method], [acme-2023]; the rest assumed.

    Example:
        See ``tests/unit/money/test_costs.py`` for a chip worked by hand.
    """
    for quoted in (site.tariff_per_kwh, site.room_per_kw_month):
        if quoted is not None and not quoted.unit.startswith(currency):
            raise InputError(f"site {site.id} is priced in {quoted.unit}, not in {currency}", fix="convert it at a dated rate")
    draw = chip_draw(chip)
    host = figure("host_per_chip").value * per_usd
    port = chip.node.nic_bytes_per_s / figure("network_port_bytes_per_s").value if chip.node.nic_bytes_per_s > 0.0 else 1.0
    staff = figure("staff_per_chip_month_cny" if currency == "CNY" else "staff_per_chip_month_usd")
    staff_rate = 1.0 if currency in ("CNY", "USD") else per_usd
    room = site.room_per_kw_month
    worth = chip_price + host
    sources = {
        name: figure(key).quoted
        for name, key in (
            ("host", "host_per_chip"), ("network", "network_per_port"), ("storage", "storage_per_chip"),
            ("spares", "spares_per_year"), ("support", "support_per_year"), ("idle_w", "idle_draw"),
            ("busy_w", "busy_draw"), ("peak_w", "peak_draw"), ("infra_life_months", "infra_life_months"),
        )
    }  # fmt: skip
    sources |= {"staff": staff.quoted, "energy_per_kwh": site.tariff_per_kwh, "pue": site.pue}
    if room is not None:
        sources["room"] = room
    return ChipCosts(
        chip=chip.id,
        host=host,
        network=figure("network_per_port").value * per_usd * port * topology_factor(chips),
        storage=figure("storage_per_chip").value * per_usd,
        room=0.0 if room is None else room.value * draw.nameplate_w / KILO,
        spares=figure("spares_per_year").value * worth / MONTHS_PER_YEAR,
        support=figure("support_per_year").value * worth / MONTHS_PER_YEAR,
        staff=staff.value * staff_rate,
        idle_w=draw.idle_w,
        busy_w=draw.busy_w,
        peak_w=draw.peak_w,
        energy_per_kwh=site.tariff_per_kwh.value,
        pue=site.pue.value,
        resale=resale_path(chip.id, months),
        infra_life_months=figure("infra_life_months").value,
        racks=draw.nameplate_w / figure("rack_power_w").value,
        sources=sources,
        tariff=HourTariff(site.tariff_by_hour) if site.tariff_by_hour else None,
    )


@dataclass(frozen=True, slots=True)
class OwnershipTerms:
    """For how long a chip is owned, how much it is used, and at what interest.

    Args:
        life_months: months until it is sold.
        utilisation: share of the time that it works.
        interest_per_year: price of capital.
        resale_share: what it fetches at the end, in shares of its price.
        tax_shield: share of a deductible cost that taxes give back; 0 without. What is bought is deducted as it wears.
    """

    life_months: float
    utilisation: float
    interest_per_year: float
    resale_share: float
    tax_shield: float = 0.0


def chip_hour_lines(
    price: float, costs: ChipCosts, terms: OwnershipTerms, edits: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Cost of one hour in which a chip of one's own works, by line.

    Model:
        Capital as an annuity less the present value of resale; the interest in it is a line of its own. Running lines
        accrue whether it works or not; energy follows its use.

    Args:
        price: of the chip alone [money].
        costs: what it costs beside [money].
        terms: life, use, interest and resale.
        edits: lines that the user sets [money per hour of the calendar], by name.

    Returns:
        Money per busy hour by line; the total is their sum.

    Raises:
        OutOfDomain: life or utilisation is not in its range.
        InputError: an edited line has no such name.

    Equation:
        c = (1 - tau) (p a(r, n) + running) / (730.5 u), a the annuity of :func:`annuity_factor`.

    Validity:
        Constant use and tariff over the life.

    Sources:
        [derived] by the annuity, from the figures of ``costs.sources``.

    Example:
        See ``tests/unit/money/test_costs.py``: eight chips and 22k of installation, 75 % of 10.2 kW, 1.17 USD an hour.
    """
    if not 0.0 < terms.utilisation <= 1.0 or terms.life_months <= 0.0:
        raise OutOfDomain("life and utilisation must be positive, utilisation at most 1", fix="check them")
    rate = terms.interest_per_year / MONTHS_PER_YEAR
    level = annuity_factor(rate, terms.life_months)
    left = price * terms.resale_share * (1.0 + rate) ** -terms.life_months
    keep = (1.0 - terms.tax_shield) / HOURS_PER_MONTH
    straight = 1.0 / terms.life_months
    capital = {"chips": price - left, "hosts": costs.host, "network": costs.network, "storage": costs.storage}
    hour = {name: amount * straight * keep for name, amount in capital.items()}
    hour["finance"] = sum(capital.values()) * (level - straight) * keep
    for name in ("room", "spares", "support", "staff"):
        hour[name] = getattr(costs, name) * keep
    watts = costs.idle_w + (costs.busy_w - costs.idle_w) * terms.utilisation
    hour["power"] = energy_cost_per_hour(watts, costs.pue, costs.energy_per_kwh) * (1.0 - terms.tax_shield)
    for name, amount in (edits or {}).items():
        if name not in hour:
            raise InputError(f"no cost line is called {name!r}", fix=f"use one of {', '.join(hour)}")
        hour[name] = amount
    return {name: amount / terms.utilisation for name, amount in hour.items()}


def per_flop(per_chip_h: float, peak_flop_per_s: float, mfu: float) -> float:
    """Cost of one useful FLOP.

    Model:
        Useful work is the share ``mfu`` of the dense peak.

    Args:
        per_chip_h: cost of a busy chip-hour [money].
        peak_flop_per_s: dense peak [FLOP/s].
        mfu: model FLOP utilisation [1].

    Returns:
        Money per FLOP.

    Raises:
        OutOfDomain: peak or mfu is not positive.

    Equation:
        c = c_h / (3600 peak mfu).

    Validity:
        The dtype of the peak is the one in use.

    Sources:
        [palm2022] section 4.1, model FLOP utilisation.

    Example:
        >>> round(per_flop(2.0, 312e12, 0.5) * 1e21, 2)
        3561.25
    """
    if peak_flop_per_s <= 0.0 or mfu <= 0.0:
        raise OutOfDomain("peak and mfu must be positive", fix="check them")
    return per_chip_h / (3600.0 * peak_flop_per_s * mfu)


def per_million_tokens(per_chip_h: float, tokens_per_s_per_chip: float) -> float:
    """Cost of a million tokens.

    Model:
        The chip-hour is paid whether or not tokens come; the rate is the mean over it.

    Args:
        per_chip_h: cost of a chip-hour [money].
        tokens_per_s_per_chip: mean rate [1/s].

    Returns:
        Money per million tokens.

    Raises:
        OutOfDomain: the rate is not positive.

    Equation:
        c = 1e6 c_h / (3600 r).

    Validity:
        Steady load.

    Sources:
        [derived] from the definition.

    Example:
        >>> round(per_million_tokens(3.6, 1000.0), 6)
        1.0
    """
    if tokens_per_s_per_chip <= 0.0:
        raise OutOfDomain("the token rate must be positive", fix="check it")
    return 1e6 * per_chip_h / (3600.0 * tokens_per_s_per_chip)


def edited(costs: ChipCosts, **values: float) -> ChipCosts:
    """The costs with figures that the user sets; their origin becomes the user's.

    Raises:
        InputError: there is no such figure, or it is negative.
    """
    sources = dict(costs.sources)
    for name, value in values.items():
        if not hasattr(costs, name) or name in ("chip", "resale", "sources"):
            raise InputError(f"no cost figure is called {name!r}", fix="use host, network, storage, room, staff, ...")
        if value < 0.0:
            raise InputError(f"{name}: must not be negative, got {value:g}")
        sources[name] = Quoted(value, "user", "user", "assumed", "", "set by the user")
    return replace(costs, sources=sources, **values)  # type: ignore[arg-type]

"""Draw of a fleet against nameplate, energy, its price and its carbon."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.errors import OutOfDomain
from suanzhang.money.figures import figure
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.result import Interval
from suanzhang.units import HOUR_S, J_PER_KWH, MONTH_S


@dataclass(frozen=True, slots=True)
class ChipDraw:
    """Draw of one chip with its share of the server [W], before cooling."""

    nameplate_w: float
    idle_w: float
    busy_w: float
    peak_w: float
    fleet_w: Interval


def chip_draw(chip: ChipSpec) -> ChipDraw:
    """Draw of one chip with its share of its server: idle, at work, at peak, and as the mean of a fleet.

    Model:
        Shares of the nameplate power of the server, as measured on servers with eight A100 and carried over to other
        chips. Nameplate is never used as the draw.

    Args:
        chip: the chip; its node gives the nameplate of the server, else its own nameplate is scaled up.

    Returns:
        Draws [W]; the fleet mean as an interval.

    Raises:
        OutOfDomain: neither the node nor the chip has a nameplate power.

    Equation:
        p = share * P_server / chips.

    Validity:
        Measured for A100 servers of 6.55 kW; other chips by assumption.

    Sources:
        [acme-2023] power of servers; [epoch-cost-method] server over chip power.

    Example:
        A server of 6,500 W with eight chips: 812.5 W nameplate, about 398 W as the mean of a fleet.
    """
    nameplate = chip.node.power_w / chip.node.chips if chip.node.power_w > 0.0 and chip.node.chips > 0 else 0.0
    if nameplate <= 0.0:
        nameplate = chip.tdp_w * figure("server_over_chip_power").value
    if not nameplate > 0.0:
        raise OutOfDomain(f"{chip.name} has no nameplate power in the catalog", fix="give the power of its node")
    fleet = figure("fleet_draw")
    return ChipDraw(
        nameplate,
        nameplate * figure("idle_draw").value,
        nameplate * figure("busy_draw").value,
        nameplate * figure("peak_draw").value,
        Interval(nameplate * fleet.low, nameplate * fleet.value, nameplate * fleet.high),
    )


def energy_of_bill_j(amount: float, tariff_per_kwh: float) -> float:
    """Energy that a bill pays for.

    Model:
        One tariff for all hours; no fixed charges.

    Args:
        amount: the bill, in the currency of the tariff.
        tariff_per_kwh: price of energy [money/kWh], positive.

    Returns:
        Energy at the meter [J].

    Raises:
        OutOfDomain: the tariff is not positive.

    Equation:
        E = amount / tariff.

    Validity:
        Any positive tariff.

    Sources:
        [derived] from the definition of a tariff.

    Example:
        >>> round(energy_of_bill_j(2e6, 0.09) / 3.6e12, 1)
        22.2
    """
    if not tariff_per_kwh > 0.0:
        raise OutOfDomain(f"tariff must be positive, got {tariff_per_kwh:g}", fix="write for example 0.08")
    return amount / tariff_per_kwh * J_PER_KWH


def chips_of_energy(energy_j: float, seconds: float, chip_w: float, pue: float) -> float:
    """Chips that draw an amount of energy over a time.

    Model:
        All chips draw the same power all the time; cooling and losses by PUE.

    Args:
        energy_j: energy at the meter [J].
        seconds: length of the time [s].
        chip_w: draw of one chip with its share of the server [W].
        pue: total energy over energy of the machines [1].

    Returns:
        Chips [1].

    Raises:
        OutOfDomain: a factor is not positive.

    Equation:
        n = E / (t p PUE).

    Validity:
        Steady draw.

    Sources:
        [derived] from the definition of PUE.

    Example:
        >>> round(chips_of_energy(3.6e9, 3600.0, 1000.0, 1.0))
        1000
    """
    if min(seconds, chip_w, pue) <= 0.0:
        raise OutOfDomain("time, draw and PUE must be positive", fix="check them")
    return energy_j / (seconds * chip_w * pue)


@dataclass(frozen=True, slots=True)
class BillReading:
    """What a monthly energy bill says about a fleet: energy, and chips at nameplate and at measured-like draw."""

    energy_j: float
    chips_nameplate: float
    chips_measured: Interval
    carbon_kg: float


def read_bill(
    amount: float, tariff_per_kwh: float, pue: float, chip: ChipSpec, carbon_kg_per_kwh: float, seconds: float = MONTH_S
) -> BillReading:
    """Energy of a bill and the fleet that would have drawn it.

    Model:
        The bill buys energy at one tariff; the fleet draws it evenly, at nameplate or as measured fleets do.

    Args:
        amount: the bill, in the currency of the tariff.
        tariff_per_kwh: price of energy [money/kWh].
        pue: total energy over energy of the machines [1].
        chip: the chip that the fleet is made of.
        carbon_kg_per_kwh: carbon of the grid [kg/kWh].
        seconds: time that the bill covers [s].

    Returns:
        Energy [J], chips by both draws, carbon [kg].

    Equation:
        E = amount / tariff; n = E / (t p PUE).

    Validity:
        As :func:`chip_draw`.

    Sources:
        [acme-2023].

    Example:
        2 million dollars at 0.09 a kWh are 22 GWh: about 30,000 chips of 0.81 kW at PUE 1.25.
    """
    energy = energy_of_bill_j(amount, tariff_per_kwh)
    draw = chip_draw(chip)
    few, many = (chips_of_energy(energy, seconds, watts, pue) for watts in (draw.fleet_w.p95, draw.fleet_w.p05))
    middle = chips_of_energy(energy, seconds, draw.fleet_w.p50, pue)
    return BillReading(
        energy,
        chips_of_energy(energy, seconds, draw.nameplate_w, pue),
        Interval(few, middle, many),
        energy / J_PER_KWH * carbon_kg_per_kwh,
    )


def energy_cost_per_hour(watts: float, pue: float, tariff_per_kwh: float) -> float:
    """Price of one hour of a draw.

    Model:
        Cooling and losses by PUE, one tariff.

    Args:
        watts: draw of the machines [W].
        pue: total energy over energy of the machines [1].
        tariff_per_kwh: price of energy [money/kWh].

    Returns:
        Money per hour.

    Equation:
        c = p PUE tariff.

    Validity:
        Steady draw.

    Sources:
        [derived] from the definition of a tariff.

    Example:
        >>> energy_cost_per_hour(1000.0, 1.25, 0.08)
        0.1
    """
    return watts * HOUR_S / J_PER_KWH * pue * tariff_per_kwh

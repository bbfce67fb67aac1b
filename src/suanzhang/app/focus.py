"""Charge-back: the cash of a plan divided over its jobs, and as rows in the columns of FOCUS 1.2 for cost tools.

What a kind of chip costs in a month is divided by the chips that each job uses of it in that month; orders by the
chip-months of the whole plan. Each part is rounded to the cent so that the parts sum to the row.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping

from suanzhang.app.plan_shares import chip_months, cost_by_demand
from suanzhang.money.procurement.calendar import HOURS_PER_MONTH, month_name
from suanzhang.money.procurement.solve import NOT_CASH
from suanzhang.spec.buy import BuyResult, ScheduleRow
from suanzhang.spec.buy_worth import ChargeBack
from suanzhang.spec.result import Money

FOCUS_COLUMNS = (
    "AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency",
    "BillingPeriodEnd", "BillingPeriodStart", "CapacityReservationId", "CapacityReservationStatus", "ChargeCategory",
    "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountCategory",
    "CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountQuantity", "CommitmentDiscountStatus",
    "CommitmentDiscountType", "CommitmentDiscountUnit", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
    "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory",
    "PricingCurrency", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "RegionId", "RegionName",
    "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId",
    "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType", "Tags",
)  # fmt: skip
"""Columns of FOCUS 1.2, in the order of the alphabet; what a plan does not know stays empty (null)."""

_BOUGHT = ("buy", "lease", "reserve")
_CATEGORY = {"rent": "Standard", "spot": "Dynamic", "api": "Standard", "reserve": "Committed", "lease": "Committed"}
UNASSIGNED = "unassigned"


def charge_back(result: BuyResult) -> tuple[ChargeBack, ...]:
    """Every job with its part of the cash and of the whole cost; the parts sum to those of the plan."""
    names = _demands(result)
    whole = cost_by_demand(result, dict.fromkeys(names, 1.0))
    cash = dict.fromkeys(names, 0)
    for _, name, cents in _parts(result):
        cash[name] = cash.get(name, 0) + cents
    used = {name: sum(kinds.values()) for name, kinds in chip_months(result).items()}

    def money(amount: float) -> Money:
        return Money(round(amount, 2), result.cost.currency, result.cost.date)

    found = []
    for name, cents in cash.items():
        months = used.get(name, 0.0)
        each = money(whole.get(name, 0.0) / months / HOURS_PER_MONTH) if months > 0.0 else None
        found.append(ChargeBack(name, money(cents / 100.0), money(whole.get(name, 0.0)), months, each))
    return tuple(found)


def _demands(result: BuyResult) -> tuple[str, ...]:
    names = [run.demand for run in result.runs] + [share.demand for share in result.shares]
    return tuple(dict.fromkeys(names))


def _weights(result: BuyResult) -> tuple[dict[tuple[str, str], dict[str, float]], dict[str, dict[str, float]]]:
    """Chips by job: for a month and kind of chip, and for a kind over the whole plan."""
    start = result.months[0].month if result.months else ""
    by_month: dict[tuple[str, str], dict[str, float]] = {}
    for share in result.shares:
        if share.chips > 0.0:
            entry = by_month.setdefault((share.month, share.chip), {})
            entry[share.demand] = entry.get(share.demand, 0.0) + share.chips
    index = {state.month: number for number, state in enumerate(result.months)}
    for run in result.runs:
        for number in range(index.get(run.start, 0), index.get(run.end, len(index) - 1) + 1):
            entry = by_month.setdefault((month_name(start, number), run.chip), {})
            entry[run.demand] = entry.get(run.demand, 0.0) + run.chips
    whole: dict[str, dict[str, float]] = {}
    for (_, chip), entry in by_month.items():
        for name, chips in entry.items():
            kind = whole.setdefault(chip, {})
            kind[name] = kind.get(name, 0.0) + chips
    return by_month, whole


def _parts(result: BuyResult) -> list[tuple[ScheduleRow, str, int]]:
    """Every row's cash in cents, divided over jobs."""
    by_month, whole = _weights(result)
    names = _demands(result)
    found = []
    for row in result.schedule:
        cents = sum(round(100.0 * amount) for name, amount in row.lines if name not in NOT_CASH)
        if not cents:
            continue
        if row.action == "api" and len(names) == 1:
            weights: Mapping[str, float] = {names[0]: 1.0}
        elif row.action in _BOUGHT or row.action in ("resell", "retire"):
            weights = whole.get(row.chip, {})
        else:
            weights = by_month.get((row.month, row.chip)) or {}
        found += [(row, name, part) for name, part in divided(cents, weights or {UNASSIGNED: 1.0}).items()]
    return found


def divided(cents: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Cents divided by weights, whole and summing to the whole: what rounding leaves goes to the largest remainders."""
    total = sum(weights.values())
    exact = {name: cents * weight / total for name, weight in weights.items()}
    parts = {name: int(value // 1) for name, value in exact.items()}
    left = cents - sum(parts.values())
    for name in sorted(exact, key=lambda key: parts[key] - exact[key])[:left]:
        parts[name] += 1
    return {name: part for name, part in parts.items() if part}


def focus_csv(result: BuyResult, account: str = "plan", region: str = "") -> str:
    """The cash of a plan as CSV in the columns of FOCUS 1.2; ``BilledCost`` sums to the cash of the plan to the cent.

    Interest, the price of waiting and what is left at the end are no bills and are left out. A commitment is charged
    when it is placed: its effective cost is its billed cost. ``SubAccountName`` is the job that is charged.

    Args:
        result: the plan.
        account: name of the billing account.
        region: region of the chips; empty when not known.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, FOCUS_COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for row, name, cents in _parts(result):
        writer.writerow(_focus_row(result, row, name, cents, account, region))
    return stream.getvalue()


def _focus_row(
    result: BuyResult, row: ScheduleRow, name: str, cents: int, account: str, region: str
) -> dict[str, str | float | None]:
    whole = sum(round(100.0 * amount) for line, amount in row.lines if line not in NOT_CASH)
    begin, end = f"{row.month}-01T00:00:00Z", f"{month_name(row.month, 1)}-01T00:00:00Z"
    billed, share = f"{cents / 100.0:.2f}", cents / whole if whole else 0.0
    bought = row.action in _BOUGHT
    chips = row.chips * share
    hours = chips * HOURS_PER_MONTH
    quantity, unit = (chips, "chips") if bought or row.action in ("resell", "retire") else (hours, "chip-hours")
    if row.action == "api":
        quantity, unit = 1.0, "month of tokens"
    price = f"{abs(cents / 100.0 / quantity):.6f}" if quantity else ""
    return {
        "BilledCost": billed,
        "BillingAccountId": account,
        "BillingAccountName": account,
        "BillingAccountType": "plan",
        "BillingCurrency": result.cost.currency,
        "BillingPeriodStart": begin,
        "BillingPeriodEnd": end,
        "ChargeCategory": "Credit" if cents < 0 else "Purchase" if bought else "Usage",
        "ChargeDescription": f"{row.action} {row.offer} {row.chip}".strip(),
        "ChargeFrequency": "One-Time" if bought or cents < 0 else "Usage-Based",
        "ChargePeriodStart": begin,
        "ChargePeriodEnd": end,
        "ConsumedQuantity": "" if bought or cents < 0 else f"{quantity:.3f}",
        "ConsumedUnit": "" if bought or cents < 0 else unit,
        "ContractedCost": billed,
        "ContractedUnitPrice": price,
        "EffectiveCost": billed,
        "InvoiceIssuerName": row.offer,
        "ListCost": billed,
        "ListUnitPrice": price,
        "PricingCategory": _CATEGORY.get(row.action, "Standard"),
        "PricingCurrency": result.cost.currency,
        "PricingQuantity": f"{quantity:.3f}",
        "PricingUnit": unit,
        "ProviderName": row.offer,
        "PublisherName": row.offer,
        "RegionId": region,
        "RegionName": region,
        "ResourceId": f"{row.offer}/{row.month}/{row.chip}",
        "ResourceName": row.chip or row.offer,
        "ResourceType": "accelerator" if row.chip else "tokens",
        "ServiceCategory": "AI and Machine Learning" if row.action == "api" else "Compute",
        "ServiceName": row.action,
        "SkuId": row.offer,
        "SkuPriceDetails": json.dumps({"GpuCount": round(chips)}) if row.chip else "",
        "SkuPriceId": f"{row.offer}/{row.month}",
        "SubAccountId": name,
        "SubAccountName": name,
        "SubAccountType": "job",
        "Tags": json.dumps({"job": name, "action": row.action}, ensure_ascii=False),
    }

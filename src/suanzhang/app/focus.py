"""Charge-back: the cash of a plan divided over its jobs, and as rows in the columns of FOCUS 1.2 for cost tools.

What a kind of chip costs in a month is divided by the chips that each job uses of it in that month; orders by the
chip-months of the whole plan, as in :func:`suanzhang.app.plan_shares.row_shares`. Each part is rounded to the cent so
that the parts sum to the row.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping

from suanzhang.app.plan_shares import chip_months, cost_by_demand, row_shares
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
    "PricingCurrency", "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice",
    "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "RegionId", "RegionName",
    "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId",
    "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType", "Tags",
)  # fmt: skip
"""Columns of FOCUS 1.2, in the order of the alphabet; what a plan does not know stays empty (null)."""
NEVER_NULL = (
    "BilledCost", "BillingAccountId", "BillingAccountType", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost", "EffectiveCost",
    "InvoiceIssuerName", "ListCost", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName", "ServiceSubcategory",
)  # fmt: skip
"""Columns that FOCUS 1.2 lets no row leave empty."""

_BOUGHT = ("buy", "lease", "reserve", "build", "move")
_LASTING = ("buy", "lease", "reserve")
_CATEGORY = {"rent": "Standard", "spot": "Dynamic", "api": "Standard", "reserve": "Committed", "lease": "Committed"}
UNASSIGNED = "unassigned"


def charge_back(
    result: BuyResult, mtokens: Mapping[str, float] | None = None, teams: Mapping[str, str] | None = None
) -> tuple[ChargeBack, ...]:
    """Every job with its part of the cash and of the whole cost; the parts sum to those of the plan to the cent.

    Args:
        result: the plan.
        mtokens: million tokens that each job would buy a month, by which bought tokens are divided; alike when None.
        teams: who is charged, by job.
    """
    names = _demands(result) if mtokens is None else tuple(mtokens)
    whole = in_cents(cost_by_demand(result, mtokens or dict.fromkeys(names, 1.0)), round(100.0 * result.cost.amount))
    cash = dict.fromkeys(names, 0)
    for _, name, cents in _parts(result, mtokens):
        cash[name] = cash.get(name, 0) + cents
    used = {name: sum(kinds.values()) for name, kinds in chip_months(result).items()}

    def money(amount: float) -> Money:
        return Money(round(amount, 2), result.cost.currency, result.cost.date)

    found = []
    for name, cents in cash.items():
        months = used.get(name, 0.0)
        cost = whole.get(name, 0) / 100.0
        each = Money(cost / months / HOURS_PER_MONTH, result.cost.currency, result.cost.date) if months > 0.0 else None
        team = (teams or {}).get(name, "")
        found.append(ChargeBack(name, money(cents / 100.0), money(cost), months, each, team=team))
    return tuple(found)


def in_cents(amounts: Mapping[str, float], total: int) -> dict[str, int]:
    """Amounts as whole cents that sum to ``total``: what rounding leaves goes where it is nearest to a whole cent more."""
    exact = {name: 100.0 * amount for name, amount in amounts.items()}
    parts = {name: math.floor(value) for name, value in exact.items()}
    left = total - sum(parts.values())
    order = sorted(exact, key=lambda key: parts[key] - exact[key])
    for index in range(abs(left)):
        parts[order[index % len(order)]] += 1 if left > 0 else -1
    return parts


def _demands(result: BuyResult) -> tuple[str, ...]:
    names = [run.demand for run in result.runs] + [share.demand for share in result.shares]
    return tuple(dict.fromkeys(names))


def _parts(result: BuyResult, mtokens: Mapping[str, float] | None = None) -> list[tuple[ScheduleRow, str, int]]:
    """Every row's cash in cents, divided over jobs as its cost is."""
    shares = row_shares(result, mtokens or dict.fromkeys(_demands(result), 1.0))
    found = []
    for row, weights in zip(result.schedule, shares, strict=True):
        cents = sum(round(100.0 * amount) for name, amount in row.lines if name not in NOT_CASH)
        if cents:
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


def focus_csv(result: BuyResult, account: str = "plan", region: str = "", mtokens: Mapping[str, float] | None = None) -> str:
    """The cash of a plan as CSV in the columns of FOCUS 1.2; ``BilledCost`` sums to the cash of the plan to the cent.

    Interest, the price of waiting and what is left at the end are no bills and are left out. A commitment is charged
    when it is placed: its effective cost is its billed cost. ``SubAccountName`` is the job that is charged.

    Args:
        result: the plan.
        account: name of the billing account.
        region: region of the chips; empty when not known.
        mtokens: million tokens that each job would buy a month, by which bought tokens are divided; alike when None.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, FOCUS_COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for row, name, cents in _parts(result, mtokens):
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
    if row.action == "api" or not quantity:
        quantity, unit = share, "months of tokens" if row.action == "api" else "works"
    credit = cents < 0
    price = "" if credit else f"{cents / 100.0 / quantity:.12g}"
    amount = "" if credit else f"{quantity:.12g}"
    team = next((one.team for one in result.charge_back if one.demand == name), "")
    tokens = row.action == "api"
    return {
        "BilledCost": billed,
        "BillingAccountId": account,
        "BillingAccountName": account,
        "BillingAccountType": "plan",
        "BillingCurrency": result.cost.currency,
        "BillingPeriodStart": begin,
        "BillingPeriodEnd": end,
        "ChargeCategory": "Credit" if credit else "Purchase" if bought else "Usage",
        "ChargeDescription": f"{row.action} {row.offer} {row.chip}".strip(),
        "ChargeFrequency": "One-Time" if bought or credit else "Usage-Based",
        "ChargePeriodStart": begin,
        "ChargePeriodEnd": end,
        "ConsumedQuantity": "" if bought else amount,
        "ConsumedUnit": "" if bought or credit else unit,
        "ContractedCost": billed,
        "ContractedUnitPrice": price,
        "EffectiveCost": billed,
        "InvoiceIssuerName": row.offer,
        "ListCost": billed,
        "ListUnitPrice": price,
        "PricingCategory": _CATEGORY.get(row.action, "Standard"),
        "PricingCurrency": result.cost.currency,
        "PricingCurrencyContractedUnitPrice": price,
        "PricingCurrencyEffectiveCost": billed,
        "PricingCurrencyListUnitPrice": price,
        "PricingQuantity": amount,
        "PricingUnit": "" if credit else unit,
        "ProviderName": row.offer,
        "PublisherName": row.offer,
        "RegionId": region,
        "RegionName": region,
        "ResourceId": f"{row.offer}/{row.month}/{row.chip}",
        "ResourceName": row.chip or row.offer,
        "ResourceType": "accelerator" if row.chip else "tokens" if tokens else "works",
        "ServiceCategory": "AI and Machine Learning" if tokens else "Compute",
        "ServiceName": row.action,
        "ServiceSubcategory": "Generative AI" if tokens else "Other (Compute)",
        "SkuId": row.offer,
        "SkuPriceDetails": json.dumps({"GpuCount": 1}) if row.chip else "",
        "SkuPriceId": f"{row.offer}/{row.month}",
        "SubAccountId": name,
        "SubAccountName": name,
        "SubAccountType": "job",
        "Tags": json.dumps({"job": name, "action": row.action} | ({"team": team} if team else {}), ensure_ascii=False),
    }

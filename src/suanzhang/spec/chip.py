"""A kind of accelerator chip and the node it sits in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from suanzhang.errors import OutOfDomain
from suanzhang.source import Grade, Quoted
from suanzhang.spec.precision import lacking, precision_of

Dtype = Literal["fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4", "int4"]

DTYPE_BYTES: Mapping[str, float] = {
    "fp64": 8.0,
    "fp32": 4.0,
    "tf32": 4.0,
    "bf16": 2.0,
    "fp16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "fp4": 0.5,
    "int4": 0.5,
}
"""Bytes of one value; block scales of 4-bit and 8-bit formats are added where they are stored."""


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """The server that holds the chips.

    Args:
        chips: chips in one node.
        power_w: largest electrical power of the node with its chips [W]; 0 when unknown.
        nic_bytes_per_s: network bandwidth per chip, one direction [B/s]; 0 when unknown.
        nic_efficiency: share of it that large messages reach; 0 for that of rail-optimised InfiniBand.
    """

    chips: int
    power_w: float
    nic_bytes_per_s: float
    nic_efficiency: float = 0.0


@dataclass(frozen=True, slots=True)
class DatedPrice:
    """One dated price of a chip: to buy (per chip) or to rent (per chip and hour).

    Args:
        kind: "buy" or "rent".
        price: the amount with its currency as unit, source, grade and date.
        low: lowest of the quoted range, same unit; equal to the value when there is no range.
        high: highest of the quoted range.
        offers: how many offers the value summarises.
        terms: commitment or seller in words.
    """

    kind: Literal["buy", "rent"]
    price: Quoted
    low: float
    high: float
    offers: int = 1
    terms: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryQuote:
    """How long buyers waited for a chip at one date.

    Args:
        weeks: middle of the quoted range [weeks] with its source, grade and date.
        low: shortest wait quoted [weeks].
        high: longest wait quoted [weeks].
    """

    weeks: Quoted
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ExportEvent:
    """A dated change of what may be sold to whom: from ``date`` on the chip is in ``state``.

    "barred" includes a licence duty under which no licence is granted; "licence" means that some are. The class of a chip
    under a rule is computed from its figures (grade "derived") and is no legal advice.
    """

    date: str
    state: Literal["free", "licence", "barred"]
    region: str
    source: str
    note: str = ""
    grade: Grade = "derived"


@dataclass(frozen=True, slots=True)
class ChipSpec:
    """One kind of chip. All figures SI; every filled figure has its :class:`Quoted` under the same name.

    Args:
        id: catalog id.
        name: name in words.
        vendor: maker.
        country: country of the maker, ISO code.
        launch: ISO date of launch, empty when unknown.
        peak_flop_per_s: dense peak by dtype; a dtype that the chip lacks is absent.
        hbm_bytes: memory.
        hbm_bytes_per_s: memory bandwidth.
        link_bytes_per_s: scale-up link of one chip, one direction; 0 when it has none (PCIe stands in).
        link_name: name of that link.
        scale_up_domain: chips that share the scale-up link.
        tdp_w: nameplate power of the chip.
        node: the node it is usually sold in.
        quotes: origin of each figure, by field name (``peak_flop_per_s.bf16`` for peaks).
        prices: dated prices and rents.
        exports: changes of its export state.
        confidence: "high", "medium", "low" or "none" over all its figures.
        notes: disputes and warnings in words.
        role: "datacenter", "consumer" and so on.
        form: board or package.
        memory_type: such as ``HBM2e``.
        topology: shape of the scale-up link.
        deliveries: dated waits for delivery.
        sources: keys of the tables that the record was drawn from.
    """

    id: str
    name: str
    vendor: str
    country: str
    launch: str
    peak_flop_per_s: Mapping[str, float]
    hbm_bytes: float
    hbm_bytes_per_s: float
    link_bytes_per_s: float
    link_name: str
    scale_up_domain: int
    tdp_w: float
    node: NodeSpec
    quotes: Mapping[str, Quoted] = field(default_factory=dict)
    prices: tuple[DatedPrice, ...] = ()
    exports: tuple[ExportEvent, ...] = ()
    confidence: str = "medium"
    notes: str = ""
    role: str = "datacenter"
    form: str = ""
    memory_type: str = ""
    topology: str = ""
    deliveries: tuple[DeliveryQuote, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Figures that nobody has published and without which nothing can be planned on the chip."""
        has_16_bit = bool({"bf16", "fp16"} & set(self.peak_flop_per_s))
        found = {"a 16-bit peak": has_16_bit, "memory": self.hbm_bytes > 0.0, "memory bandwidth": self.hbm_bytes_per_s > 0.0}
        return tuple(name for name, known in found.items() if not known)

    def export_state(self, region: str, date: str) -> str:
        """Export state for buyers of a region at an ISO date: "free", "licence" or "barred" (latest event before it)."""
        past = [event for event in self.exports if event.region == region and event.date <= date]
        return max(past, key=lambda event: event.date).state if past else "free"

    def peak(self, dtype: str) -> float:
        """Dense peak [FLOP/s] of a dtype, or of the arithmetic of a named format such as ``mxfp8``.

        Raises:
            OutOfDomain: the chip has no such arithmetic; names the ones it has.
        """
        reason = lacking(dtype, self.name, self.vendor, self.peak_flop_per_s)
        if reason:
            raise OutOfDomain(reason, fix=f"use one of {', '.join(self.peak_flop_per_s)}")
        return self.peak_flop_per_s[precision_of(dtype).arithmetic]

    def has(self, dtype: str) -> bool:
        """Whether the chip has the arithmetic of a dtype or named format."""
        return not lacking(dtype, self.name, self.vendor, self.peak_flop_per_s)

"""From a chip of the catalog to the arguments of the operator formulas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from suanzhang.perf.args import AttentionArgs, GemmArgs, LinkArgs, MemoryArgs, MoeArgs, OperatorArgs, no_residual
from suanzhang.source import Grade
from suanzhang.spec.chip import DTYPE_BYTES, ChipSpec

Origin = Literal["measured", "relative", "physics"]


@dataclass(frozen=True, slots=True)
class Physics:
    """Arguments of the formulas with their origin.

    Args:
        args: what the formulas take.
        origin: "measured" (timings of this chip), "relative" (efficiencies of a relative), "physics" (typical shares only).
        profile: id of the profile, empty when none.
        grade: how far to trust it.
        note: the choice in words.
    """

    args: OperatorArgs
    origin: Origin
    profile: str
    grade: Grade
    note: str


def physics(chip: ChipSpec, dtype: str, profile: str = "") -> Physics:
    """Arguments of the operator formulas for a chip and dtype, and where they come from."""
    peak = chip.peak(dtype)
    elem = DTYPE_BYTES[dtype]
    half = chip.peak_flop_per_s.get("bf16", chip.peak_flop_per_s.get("fp16", peak))
    sms = 132.0
    table = no_residual()
    gemm = GemmArgs(peak, chip.hbm_bytes_per_s, sms, elem, elem, 2.0, 0.75, 0.8, 128.0, 3e-6, 0.5, 0.03 * peak, 2.5, table)
    attention = AttentionArgs(
        half,
        chip.hbm_bytes_per_s,
        sms,
        2.0,
        0.6,
        0.45,
        0.8,
        128.0,
        0.5,
        0.8,
        2.0,
        6e-6,
        7e-6,
        0.5,
        1e-6,
        0.3,
        table,
        table,
        table,
        table,
    )
    moe = MoeArgs(gemm, 0.55, 0.7, 64.0, 2e-5, 0.0, table, table)
    memory = MemoryArgs(chip.hbm_bytes_per_s, 0.8, 3e-6)
    link = chip.link_bytes_per_s or 32e9
    nic = chip.node.nic_bytes_per_s or 25e9
    links = LinkArgs(
        float(max(chip.scale_up_domain, 1)), link, 0.8, 2e5, 1e-5, 1.5e-6, 1.0 if chip.link_bytes_per_s else 0.0, 1.0,
        4e-6, 5e-7, 0.6 * link, nic, 0.85, 1.5e-5, 3e-6, 0.6, table, table, table, table,
    )  # fmt: skip
    args = OperatorArgs(gemm, attention, attention, moe, memory, links)
    return Physics(args, "physics", "", "assumed", f"typical shares on the peaks of {chip.name}")


def operator_args(chip: ChipSpec, dtype: str, profile: str = "") -> OperatorArgs:
    """Arguments of the operator formulas for a chip and dtype; see :func:`physics` for their origin."""
    return physics(chip, dtype, profile).args


def profile_grade(chip: ChipSpec, dtype: str, profile: str = "") -> Grade:
    """How far the arguments of a chip and dtype can be trusted."""
    return physics(chip, dtype, profile).grade

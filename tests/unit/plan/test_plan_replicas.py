"""No kind of chip in a plan that never holds a replica of its service."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from suanzhang.app.plan import plan
from suanzhang.app.plan_replicas import replica_chips, with_whole_replicas
from suanzhang.app.question import read_question
from suanzhang.errors import Infeasible
from suanzhang.spec.buy import Demand, Need, ServiceShare

SIZES = {"big": (240, 15), "small": (2368, 37), "mid": (80, 10)}


@dataclass(frozen=True)
class Case:
    """The parts of a sized question that matter here."""

    services: tuple[SimpleNamespace, ...]
    demands: tuple[Demand, ...]


@dataclass(frozen=True)
class Found:
    """The parts of a plan that matter here."""

    shares: tuple[ServiceShare, ...]
    stopped: bool = False
    options: tuple[str, ...] = field(default=())


def case() -> Case:
    options = [SimpleNamespace(chip=chip, chips=chips, replicas=count) for chip, (chips, count) in SIZES.items()]
    needs = tuple(Need(chip, float(chips)) for chip, (chips, _) in SIZES.items())
    return Case((SimpleNamespace(ask=SimpleNamespace(name="chat"), options=options),), (Demand("chat", "serve", needs),))


def found(**chips: float) -> Found:
    return Found(tuple(ServiceShare("chat", "2023-05", chip, count, 0.5) for chip, count in chips.items()))


def solved(less: Case) -> Found:
    kinds = tuple(need.chip for need in less.demands[0].options)
    return replace(found(big=240.0), options=kinds)


def test_a_kind_below_one_replica_is_planned_without() -> None:
    sized, answer = with_whole_replicas(case(), found(big=240.0, small=16.0, mid=8.0), solved)  # type: ignore[arg-type]
    assert answer.options == ("big", "mid")  # type: ignore[attr-defined]
    assert [need.chip for need in sized.demands[0].options] == ["big", "mid"]
    assert replica_chips(sized)["chat", "small"] == 64.0


@pytest.mark.parametrize("chips", [{"big": 248.0}, {"big": 16.0, "small": 64.0}, {"big": 8.0}])
def test_whole_replicas_stay(chips: dict[str, float]) -> None:
    before = found(**chips)
    assert with_whole_replicas(case(), before, solved)[1] is before  # type: ignore[arg-type]


def test_a_plan_that_cannot_do_without_stays() -> None:
    def fails(less: Case) -> Found:
        raise Infeasible("no stock", binding=["stock"], fix="wait")

    before = found(big=240.0, small=16.0)
    assert with_whole_replicas(case(), before, fails)[1] is before  # type: ignore[arg-type]
    assert with_whole_replicas(case(), before, solved, lambda: True)[1] is before  # type: ignore[arg-type]


def test_no_plan_of_the_start_up_rents_chips_that_hold_no_replica() -> None:
    answer = plan(read_question("examples/gpu-rush-2023/startup.yaml"))
    assert answer.buy is not None
    sizes = {option.chip: option.chips / option.replicas for service in answer.serve for option in service.options}
    used = {share.chip for share in answer.buy.shares if share.chips > 0.0}
    for chip in used:
        assert max(share.chips for share in answer.buy.shares if share.chip == chip) >= sizes[chip]

"""The price of the fabric by its topology and the ports behind each chip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import suanzhang
from suanzhang.catalog.chips import chip
from suanzhang.catalog.sites import site
from suanzhang.errors import OutOfDomain
from suanzhang.money.costs import chip_costs
from suanzhang.money.figures import instead
from suanzhang.money.network import ports_per_endpoint, tiers_for, topology_factor


def network(chips=0.0, **figures):
    with instead(figures):
        return chip_costs(chip("h100-sxm-80"), 30000.0, site("us-virginia"), 12, "USD", 1.0, chips).network


def test_as_sourced_the_topology_changes_nothing():
    assert topology_factor(8.0) == topology_factor(1e6) == 1.0
    assert network(64.0) == network(1e5) == 9000.0


def test_fewer_tiers_and_thinner_leaves_cost_less_by_their_ports():
    full = network()
    assert network(network_tiers=2) == pytest.approx(full * (0.35 + 0.65 * 3.0 / 5.0))
    assert network(network_tiers=1) == pytest.approx(full * (0.35 + 0.65 / 5.0))
    assert network(network_oversubscription=2) == pytest.approx(full * (0.35 + 0.65 * 3.0 / 5.0))
    assert network(network_tiers=2, network_adapter_share=1) == pytest.approx(full)


def test_the_number_of_chips_decides_the_tiers_where_it_may():
    small, middle, large = (network(chips, network_tiers=0) for chips in (64.0, 2048.0, 2049.0))
    assert small < middle < large == network()
    assert network(100.0, network_tiers=0, network_radix=128) == small


@given(st.floats(1.0, 1e6), st.sampled_from([32.0, 64.0, 128.0]), st.floats(1.0, 4.0))
def test_tiers_hold_what_they_join(endpoints, radix, over):
    tiers = tiers_for(endpoints, radix, over)
    assert tiers_for(2.0 * endpoints, radix, over) >= tiers
    assert ports_per_endpoint(tiers, over) <= ports_per_endpoint(tiers, 1.0)


def test_what_is_no_network_is_refused():
    for bad in ((0.5, 1.0), (2.0, 0.5)):
        with pytest.raises(OutOfDomain):
            ports_per_endpoint(*bad)
    with pytest.raises(OutOfDomain):
        tiers_for(10.0, 1.0, 1.0)


def test_a_question_gives_its_topology():
    question = """\
title: Own
currency: USD
start: 2023-05
months: 24
market: {id: us-2023-04, exclude: [a100-spot, a100-cloud, a100-cloud-1y, a100-cloud-3y]}
chips: [a100-sxm-80]
serve:
  - {name: chat, model: llama-2-13b, visits_per_day: 2e6, tokens: {input: 300, output: 200}, start: 2023-09}
"""
    plain, small = suanzhang.plan(question), suanzhang.plan(question + "costs: {network_tiers: 0}\n")
    lines = [found.buy.lines["network"].amount for found in (plain, small)]
    assert lines[1] == pytest.approx(lines[0] * (0.35 + 0.65 / 5.0), rel=1e-6)

"""The reasons of rows that are not modelled, counted: with the figures that say why."""

from suanzhang.app.validate_predict import shared_reasons

FALCON = "infeasible: Falcon 40B in bf16 does not fit 1 x A100 SXM4 80GB (tp=1 pp=1 dp=1)"
PAIR = "infeasible: Falcon 40B in bf16 does not fit 2 x A100 SXM4 40GB (tp=2 pp=1 dp=1)"
VARIANTS = "chip 'Ascend 910B' not modelled: the four variants differ by up to 43 % in peak"


def test_a_single_reason_keeps_its_figures():
    assert shared_reasons([FALCON, VARIANTS]) == {FALCON: 1, VARIANTS: 1}
    assert shared_reasons([VARIANTS, FALCON, FALCON]) == {FALCON: 2, VARIANTS: 1}


def test_reasons_that_differ_in_figures_alone_are_one():
    assert shared_reasons([FALCON, PAIR, FALCON]) == {f"{FALCON}, and alike": 3}


def test_names_with_numbers_in_them_stay_apart():
    names = ["model 'X-7B' not in the catalog", "model 'X-9B' not in the catalog"]
    assert shared_reasons(names) == dict.fromkeys(names, 1)

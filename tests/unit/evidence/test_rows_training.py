from dataclasses import replace
from functools import partial

import pytest

from suanzhang.app.physics import operator_args
from suanzhang.app.physics_data import constant
from suanzhang.app.rows_measured import train_memory, train_step_s
from suanzhang.app.rows_training import Skip, TrainCase, chip_in_node, train_case
from suanzhang.app.validate_fit import shipped_judges
from suanzhang.app.validate_predict import outcome
from suanzhang.evidence.rows import parse_rows, shipped_rows

BY_ID = {row.id: row for row in shipped_rows("training")}
BASE = BY_ID["mpt-70b-s2048-512xh100_80gb-amp_bf16-mb8-ac1"]


def changed(row, **fields):
    return train_case(replace(row, **fields))


def test_a_full_row_becomes_the_question_that_was_run():
    case = train_case(BASE)
    assert isinstance(case, TrainCase)
    assert (case.job.model.layers, case.job.model.hidden, case.job.seq_len, case.job.global_batch) == (80, 8192, 2048, 4096)
    assert (case.layout.dp, case.layout.zero_stage, case.layout.micro_batch, case.layout.recompute) == (512, 3, 8, "full")
    assert (case.chip.id, case.job.precision, case.stack.id) == ("h100-sxm-80", "bf16", "llm-foundry-2023")
    assert case.measured["step_s"] == pytest.approx(16.2701)
    assert case.flags == ()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"chip": "Warp core 9"}, "chip 'Warp core 9' not in the catalog"),
        (
            {"chip": "Ascend 910B"},
            "chip 'Ascend 910B' not modelled: the four variants differ by up to 43 % in peak; name one of ascend-910b1 to "
            "ascend-910b4",
        ),
        ({"chips": None}, "number of chips not stated"),
        ({"seq_len": None}, "sequence length not stated"),
        ({"chips": 500, "layout": {"tp": 8, "pp": 3}}, "layout does not divide the chips"),
        ({"global_batch": 16}, "fewer sequences than data ranks"),
        ({"model": {"name": "nobody knows it"}}, "model shape not stated"),
        ({"precision": "posit"}, "precision not understood"),
        ({"problem": "chips is not a number"}, "chips is not a number"),
    ],
)
def test_what_cannot_be_asked_is_a_skip_with_its_reason(fields, reason):
    assert changed(BASE, **fields) == Skip(reason)


@pytest.mark.parametrize(
    ("words", "mode", "open_"),
    [
        ("full", "full", False),
        ("gradient checkpointing on (script default)", "full", False),
        ("selective (op-level SAC)", "selective", False),
        ("minimal_flash", "selective", False),
        ("gelu recompute only (llm.c -r 1)", "none", False),
        ("none", "none", False),
        ("not stated", None, True),
        ("", None, True),
    ],
)
def test_recomputation_in_words(words, mode, open_):
    case = changed(BASE, recompute=words)
    assert case.open_recompute is open_
    assert mode is None or case.layout.recompute == mode


@pytest.mark.parametrize(
    ("words", "dtype", "method"),
    [
        ("fp8 (TransformerEngine, AMP)", "fp8", "full"),
        ("FP8-MX", "fp8", "full"),
        ("fp16/bf16", "bf16", "full"),
        ("bf16-true + bnb.nf4", "bf16", "qlora"),
        ("int8 quantized matmul (AQT) with bf16", "int8", "full"),
    ],
)
def test_precision_in_words(words, dtype, method):
    case = changed(BASE, precision=words)
    assert (case.job.precision, case.job.method) == (dtype, method)


def test_the_mixture_and_its_latent_attention_come_from_the_row():
    row = next(row for row in BY_ID.values() if "DeepSeek-V3-671B-256xGB200" in row.id)
    model = train_case(row).job.model
    assert (model.moe.experts, model.moe.topk, model.moe.dense_layers) == (256, 8, 3)
    assert (model.mla.q_lora, model.mla.kv_lora, model.mla.rope_dim) == (1536, 512, 64)
    assert model.params == pytest.approx(671e9, rel=0.03)


def test_counts_of_shapes_from_rows_match_what_the_rows_print():
    wrong = []
    for row in BY_ID.values():
        case = train_case(row)
        printed = row.model.get("params_B")
        if isinstance(case, Skip) or not printed or row.quality != "A" or "-L" in row.id or case.job.method != "full":
            continue
        if printed > 2 and printed != round(printed) and abs(case.job.model.params / (printed * 1e9) - 1.0) > 0.05:
            wrong.append((row.model_name, printed, round(case.job.model.params / 1e9, 2)))
    assert not wrong


def test_a_rack_keeps_its_domain_and_a_server_takes_the_rows_size():
    rack = chip_in_node("GB200-NVL72", 4, 1800.0, 400.0)
    server = chip_in_node("V100-32G-SXM", 4, 300.0, 100.0)
    assert (rack.scale_up_domain, rack.node.nic_bytes_per_s) == (72, 50e9)
    assert (server.scale_up_domain, server.node.chips, server.node.nic_bytes_per_s) == (4, 4, 12.5e9)


def test_a_cluster_that_measured_its_network_has_what_it_measured():
    """The log says that rows before the day on which ports were bound to their chips do not compare with later ones."""
    log = [row for row in BY_ID.values() if "tuning log" in row.source]
    before, after = (next(row for row in log if f"table row {day}" in row.where) for day in ("02-21", "02-26"))
    shares = [train_case(row).chip.node.nic_efficiency for row in (before, after, BASE)]
    assert shares == [0.405, 0.70, 0.0]
    reached = [operator_args(train_case(row).chip, "bf16").link.nic_efficiency for row in (before, after, BASE)]
    assert reached == [0.405, 0.70, constant("nic_efficiency")]


def test_chips_that_share_ports_reach_what_all_chips_of_their_node_measured():
    """84.7 and 54 of the 400 Gbit/s of a node of four V100, over 4 and 16 nodes; the other chips of the cluster keep theirs."""
    row = BY_ID["jz-v100-52B-64-tp4pp1dp16-mb48-g768-z3"]
    shared = train_case(row).chip.node.nic_efficiency
    assert shared == constant("omnipath_shared_efficiency") == pytest.approx((84.7 * 54.0) ** 0.5 / 400.0, abs=0.005)
    assert changed(row, chip="A100-80G-SXM").chip.node.nic_efficiency == constant("omnipath_efficiency")


def test_a_section_on_plain_models_is_not_asked_with_fused_kernels():
    plain, fused = (
        train_case(BY_ID[f"jz-v100-52B-64-{tail}"]).stack for tail in ("tp1pp1dp64-mb8-g512-z3", "tp4pp1dp16-mb48-g768-z3")
    )
    assert (plain.attention, plain.fused_elementwise) == ("unfused", False)
    assert (fused.attention, fused.fused_elementwise) == ("fused-softmax", True)


def test_an_optimizer_that_its_page_keeps_on_the_host_is_asked_there():
    rows = [train_case(row) for row in BY_ID.values() if "when to upgrade GPUs" in row.source]
    asked = [case.layout for case in rows if isinstance(case, TrainCase)]
    assert len(asked) == 12 and all(layout.offload_optimizer and layout.zero_stage == 3 for layout in asked)
    assert not train_case(BASE).layout.offload_optimizer
    assert not any(layout.offload_activations for layout in asked)  # the page's word for its optimizer on the host
    sharded = [case for case in rows if isinstance(case, TrainCase)]
    assert all(case.stack.whole_init and case.memory_scope == "reserved" for case in sharded)


def test_checkpoints_that_scripts_keep_on_the_host_are_asked_there():
    rows = [row for row in BY_ID.values() if "BigScience gpt2" in row.source and row.model.get("layers")]
    asked = {row.id: (row.where, case.layout) for row in rows if isinstance(case := train_case(row), TrainCase)}
    hosts = {name for name, (_, layout) in asked.items() if layout.offload_activations}
    assert hosts and hosts == {name for name, (where, _) in asked.items() if "Deepspeed ZeRO" in where}
    assert all(asked[name][1].recompute == "full" for name in hosts)


def test_a_table_of_inference_is_no_training():
    """A model that cannot even answer cannot train either, so that what did not fit is kept."""
    tables = [row for row in BY_ID.values() if "Single-GPU Inference" in row.where]
    asked = {row.id: train_case(row) for row in tables}
    failed = {row.id for row in tables if row.measured.get("oom")}
    assert len(failed) == 3 and len(tables) == 20
    assert {name for name, case in asked.items() if case != Skip("a table of inference, not of training")} == failed
    assert isinstance(asked["litgpt-finetune_lora-Falcon40B-None-mb1-1g-2"], TrainCase)


def test_a_pipeline_of_torchtitan_splits_its_batch_as_its_options_say():
    """In 2024 as many micro-batches as stages, and two chunks of a stage where a row of the table names the schedule."""
    plain, looped = (train_case(BY_ID[f"titan-2412-Llama-3.1-405B-512-s8192-{tail}"]) for tail in ("1f1b", "interleaved1f1b"))
    assert (plain.layout.micro_batch, plain.layout.vpp, plain.layout.schedule) == (4, 1, "1f1b")
    assert (looped.layout.micro_batch, looped.layout.vpp, looped.layout.schedule) == (4, 2, "interleaved")
    later = replace(BY_ID["titan-2412-Llama-3.1-405B-512-s8192-1f1b"], year=2025, id="x", where='table, row "1F1B"')
    assert train_case(later).stack.id == "torchtitan-2025" and train_case(later).layout.micro_batch == 1


def test_torchtitan_compiles_its_loss_from_2025_on():
    stacks = [train_case(BY_ID[name]).stack for name in ("titan-2412-Llama-3-8B-8-s8192-fsdp", "titan-2506-h200-llama3-8b-32")]
    assert [(stack.id, stack.fused_loss) for stack in stacks] == [("torchtitan-2024", False), ("torchtitan-2025", True)]


def test_reserved_memory_is_all_but_the_drivers():
    row = BY_ID["titan-2412-Llama-3-8B-8-s8192-fsdptorchcompile"]
    judges = shipped_judges()

    def asked(words):
        said = replace(row, measured={**row.measured, "mem_convention": words})
        return outcome(said, partial(judges.training, "x"), partial(judges.serving, "x")).predicted["memory_bytes"]

    allocated, reserved, device = (asked(words) for words in ("max allocated", "max reserved over all ranks", "nvidia-smi"))
    stack = train_case(row).stack
    assert device - reserved == pytest.approx(stack.reserve_bytes)
    assert allocated < reserved <= (1.0 + stack.fragmentation) * allocated


def test_a_round_due_in_spring_ran_with_the_software_of_spring():
    """The rows of one submitter name a container of April; the other's, with the same code and times, name none."""
    spring = [row for row in BY_ID.values() if "MLPerf Training v3.0" in row.source and "H100" in row.chip]
    assert {train_case(row).stack.id for row in spring} == {"nemo-2023"}


def test_a_rate_becomes_a_time_only_with_its_convention():
    model = train_case(BASE).job.model
    bare = replace(BASE, measured={"tflops_per_chip": 400.0})
    assert train_step_s(bare, model, 4096) is None
    full = replace(BASE, measured={"tflops_per_chip": 400.0, "flops_convention": "attention counted FULL (non-causal)"})
    hfu = replace(BASE, measured={"tflops_per_chip": 400.0, "flops_convention": "includes full recompute"})
    assert train_step_s(hfu, model, 4096) == pytest.approx(4.0 / 3.0 * train_step_s(full, model, 4096), rel=0.01)
    assert train_step_s(full, model, 4096) == pytest.approx(16.27, rel=0.05)


def test_memory_is_of_one_chip_in_bytes():
    def row(measured):
        return replace(BASE, chips=2, measured=measured)

    assert train_memory(row({"mem_GiB": 1.0}))[0] == 2.0**30
    assert train_memory(row({"mem_GB_total": 139.0, "mem_convention": "GB summed over GPUs"}))[0] == pytest.approx(69.5e9)
    assert train_memory(row({"mem_GB": 3.0, "mem_convention": "max reserved over all ranks"})) == (3e9, "reserved")
    assert train_memory(row({"iter_s": 1.0})) == (None, "")


def test_nearly_all_well_configured_rows_are_asked():
    firm = [row for row in BY_ID.values() if row.quality == "A" and row.global_batch and row.model.get("layers")]
    asked = sum(isinstance(train_case(row), TrainCase) for row in firm)
    assert asked >= 0.98 * len(firm)


def test_a_source_never_seen_is_read_with_what_it_says():
    line = (
        '{"source": "A new blog", "chip": "H100", "chips": 16, "model": {"name": "X", "layers": 32, "hidden": 4096, '
        '"heads": 32, "ffn": 14336, "gated_mlp": true, "vocab": 32000}, "seq_len": 4096, "precision": "bf16", '
        '"layout": {"tp": 2}, "global_batch": 64, "measured": {"tokens_per_s_per_chip": 9000}}'
    )
    case = train_case(parse_rows([line], "new.jsonl")[0])
    assert isinstance(case, TrainCase)
    assert (case.layout.tp, case.layout.dp, case.open_recompute) == (2, 8, True)
    assert case.measured["step_s"] == pytest.approx(64 * 4096 / (9000 * 16))
    assert "micro-batch not stated" in case.flags


@pytest.mark.parametrize(
    ("stated", "method", "rank"),
    [
        ({"method": "lora", "lora_rank": 64}, "lora", 64),
        ({"lora": True}, "lora", 16),
        ({"method": "qlora", "lora_rank": 8}, "qlora", 8),
        ({"lora": False}, "full", 0),
        ({}, "full", 0),
    ],
)
def test_a_layout_says_which_weights_are_trained(stated, method, rank):
    case = changed(BASE, id="x", layout={"dp": 512, "fsdp": True, **stated})
    assert (case.job.method, case.job.lora_rank) == (method, rank)

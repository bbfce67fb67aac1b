"""Launch files of services: every argument is one that the engine documents, and the files parse."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
import yaml

from suanzhang.app import launch_engines as engines
from suanzhang.app.launch import launch_serve
from suanzhang.app.serve import serve
from suanzhang.catalog.chips import chip
from suanzhang.catalog.stacks import serve_stack
from suanzhang.errors import InputError
from suanzhang.spec.launch import SERVE_TARGETS
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve import ServeResult


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


VLLM_NAMES = _names(
    """
    tensor-parallel-size pipeline-parallel-size data-parallel-size enable-expert-parallel dtype quantization kv-cache-dtype
    max-model-len max-num-seqs max-num-batched-tokens gpu-memory-utilization block-size enable-chunked-prefill
    no-enable-chunked-prefill enforce-eager port enable-prefix-caching speculative-config kv-offloading-size
    kv-offloading-backend
    """
)
"""docs.vllm.ai/en/v0.12.0/configuration/engine_args.html; methods of drafts: api/vllm/config/speculative."""
SGLANG_NAMES = _names(
    """
    model-path tp-size pp-size dp-size ep-size enable-dp-attention dtype quantization kv-cache-dtype context-length
    max-running-requests chunked-prefill-size mem-fraction-static host port enable-hierarchical-cache speculative-algorithm
    speculative-draft-model-path speculative-num-steps speculative-eagle-topk speculative-num-draft-tokens
    """
)
"""``add_cli_args`` of SGLang 0.5.9; docs.sglang.io/advanced_features/server_arguments.html."""
TRTLLM_NAMES = _names(
    """
    tensor_parallel_size pipeline_parallel_size moe_expert_parallel_size max_batch_size max_num_tokens max_seq_len
    enable_chunked_prefill enable_attention_dp kv_cache_config cuda_graph_config speculative_config
    """
)
"""Configuration files of TensorRT-LLM 1.2, nvidia.github.io/TensorRT-LLM/commands/trtllm-serve/trtllm-serve.html."""
TRTLLM_CACHE_NAMES = {"free_gpu_memory_fraction", "enable_block_reuse", "dtype"}
SKYPILOT_NAMES = {
    "service": {"readiness_probe", "replicas", "load_balancing_policy"},
    "resources": {"accelerators", "ports", "image_id"},
}
"""Schemas of SkyPilot 0.10.5; docs.skypilot.co/en/latest/serving/service-yaml-spec.html."""


@pytest.fixture(scope="module")
def found() -> ServeResult:
    return serve("llama-3-8b", "h100-sxm-80", isl=512, osl=128, rate=5, layout="tp=2", simulated_requests=0)


def _variants(found: ServeResult) -> list[ServeResult]:
    return [
        replace(found, layout=layout, weight_dtype=weights, kv_dtype=cache)
        for layout in (ServeLayout(tp=2), ServeLayout(tp=4, pp=2), ServeLayout(tp=1, dp=8, ep=8), ServeLayout(tp=8, pp=4))
        for weights, cache in (("bf16", "bf16"), ("fp8", "fp8"), ("nvfp4", "fp8"), ("fp16", "fp16"))
    ]


def test_vllm_names_are_documented(found: ServeResult) -> None:
    for one in _variants(found):
        for stack in ("vllm-0.12", "vllm-0.2"):
            args, _ = engines.vllm_arguments(one, serve_stack(stack), 4096)
            assert {name for name, _ in args} <= VLLM_NAMES


def test_sglang_names_are_documented(found: ServeResult) -> None:
    for one in _variants(found):
        args, _ = engines.sglang_arguments(one, serve_stack("sglang-0.5"), 4096)
        assert {name for name, _ in args} <= SGLANG_NAMES


def test_trtllm_keys_are_documented(found: ServeResult) -> None:
    for one in _variants(found):
        (file,), _, _ = engines.trtllm(one, serve_stack("trtllm-1.2"), chip("h100-sxm-80"), 4096)
        body = yaml.safe_load(file.text)
        assert set(body) <= TRTLLM_NAMES
        assert set(body["kv_cache_config"]) <= TRTLLM_CACHE_NAMES
        assert body["tensor_parallel_size"] * body["pipeline_parallel_size"] == one.layout.chips


def test_kubernetes_asks_for_the_chips_of_a_replica(found: ServeResult) -> None:
    one = replace(found, layout=ServeLayout(tp=4), replicas=7)
    (file,), _, unsaid = engines.kubernetes(one, serve_stack("vllm-0.12"), chip("h100-sxm-80"), 4096)
    deployment, service = yaml.safe_load_all(file.text)
    assert deployment["spec"]["replicas"] == 7
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 4}
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    assert "&id" not in file.text
    assert any("Service" in line for line in unsaid)


def test_an_amd_chip_asks_for_its_own_resource(found: ServeResult) -> None:
    (file,), _, _ = engines.kubernetes(found, serve_stack("vllm-0.12"), chip("mi300x"), 4096)
    assert "amd.com/gpu" in file.text


def test_skypilot_keys_are_documented(found: ServeResult) -> None:
    (file,), _, _ = engines.skypilot(found, serve_stack("sglang-0.5"), chip("h100-sxm-80"), 4096)
    body = yaml.safe_load(file.text)
    assert set(body) == {"service", "resources", "run"}
    assert body["resources"]["image_id"] == "docker:lmsysorg/sglang:v0.5.0"
    for section, names in SKYPILOT_NAMES.items():
        assert set(body[section]) <= names
    words = shlex.split(body["run"])
    assert words[:3] == ["python", "-m", "sglang.launch_server"]
    assert body["resources"]["accelerators"] == "H100:2"


def test_what_cannot_be_said_is_said(found: ServeResult) -> None:
    wide = replace(found, layout=ServeLayout(tp=8, pp=4), weight_dtype="nvfp4")
    for writer, stack in ((engines.vllm, "vllm-0.12"), (engines.sglang, "sglang-0.5"), (engines.trtllm, "trtllm-1.2")):
        unsaid = writer(wide, serve_stack(stack), chip("h100-sxm-80"), 4096)[2]
        assert any("4 nodes" in line for line in unsaid)
    assert any("nvfp4" in line for line in engines.vllm_arguments(wide, serve_stack("vllm-0.12"), 4096)[1])


def test_a_sequence_never_has_more_room_than_the_model() -> None:
    assert engines.longest(1000, 300, 131072) == 6144
    assert engines.longest(100000, 300, 131072) == 131072


@pytest.mark.parametrize("target", SERVE_TARGETS)
def test_the_verb_writes_the_files(target: str, tmp_path) -> None:
    made = launch_serve(
        "llama-3-8b", "h100-sxm-80", target, tmp_path, isl=512, osl=128, rate=5, layout="tp=2", simulated_requests=0
    )
    assert [path.name for path in sorted(tmp_path.iterdir())] == sorted(file.name for file in made.files)
    if target == "sglang":
        assert made.plan.engine.startswith("sglang")


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(InputError, match="vllm"):
        launch_serve("llama-3-8b", "h100-sxm-80", "vlm", isl=512, osl=128, rate=5)


DRAFTS = engines.Chosen(draft_tokens=3, prefix_share=0.4)
MTP = engines.Chosen(draft_tokens=2, own_heads=True, prefix_share=0.4, offloaded=0.5)


@pytest.mark.parametrize("chosen", [DRAFTS, MTP])
def test_drafts_and_prefixes_are_in_every_file(found: ServeResult, chosen: engines.Chosen) -> None:
    one, kind = replace(found, kv_dtype="fp8"), chip("h100-sxm-80")
    tokens, head = chosen.draft_tokens, not chosen.own_heads
    for stack_name, writers in (
        ("vllm-0.12", (engines.vllm, engines.kubernetes, engines.skypilot)),
        ("sglang-0.5.9", (engines.sglang, engines.kubernetes, engines.skypilot)),
        ("trtllm-1.2", (engines.trtllm, engines.kubernetes, engines.skypilot)),
    ):
        stack = serve_stack(stack_name)
        for write in writers:
            (file,), _, unsaid = write(one, stack, kind, 4096, chosen)
            text = file.text.replace("\\", "")
            assert str(stack.max_batched_tokens) in text
            assert str(stack.max_seqs) in text
            assert "fp8" in text
            assert ("DRAFT" in text) == head
            assert any("DRAFT" in line for line in unsaid) == head
            wanted = {
                "vllm": ("enable-prefix-caching", f'"num_speculative_tokens": {tokens}', '"eagle3"' if head else '"mtp"'),
                "sglang": ("speculative-num-draft-tokens", str(tokens + 1), "EAGLE3" if head else "EAGLE"),
                "trtllm": ("enable_block_reuse: true", f": {tokens}", "Eagle" if head else "MTP"),
            }[stack.engine]
            for words in wanted:
                assert words in text, (stack_name, write.__name__, words)
        args = {
            "vllm": lambda stack=stack: engines.vllm_arguments(one, stack, 4096, chosen)[0],
            "sglang": lambda stack=stack: engines.sglang_arguments(one, stack, 4096, chosen)[0],
        }.get(stack.engine, list)()
        assert {name for name, _ in args} <= VLLM_NAMES | SGLANG_NAMES


def test_caches_in_host_memory_have_twice_the_room_of_the_chips(found: ServeResult) -> None:
    args, unsaid = engines.vllm_arguments(found, serve_stack("vllm-0.12"), 4096, MTP)
    size = dict(args)["kv-offloading-size"]
    assert float(size) * 2**30 == pytest.approx(2.0 * found.replica.memory.kv_bytes * found.layout.chips, rel=0.02)
    assert any(f"{size} GiB" in line for line in unsaid)
    args, unsaid = engines.vllm_arguments(found, serve_stack("vllm-0.10"), 4096, MTP)
    assert "kv-offloading-size" not in dict(args)
    assert any("--kv-transfer-config" in line for line in unsaid)


def test_nothing_of_it_is_written_when_it_is_not_chosen(found: ServeResult) -> None:
    text = engines.vllm(found, serve_stack("vllm-0.12"), chip("h100-sxm-80"), 4096)[0][0].text
    assert "speculative" not in text
    assert "prefix" not in text


@pytest.mark.parametrize(
    ("stack", "image"),
    [
        ("vllm-0.12", "vllm/vllm-openai:v0.12.0"),
        ("vllm-0.8", "vllm/vllm-openai:v0.8.0"),
        ("sglang-0.5.9", "lmsysorg/sglang:v0.5.9"),
        ("trtllm-1.2", "nvcr.io/nvidia/tensorrt-llm/release:1.2.0"),
    ],
)
def test_the_image_is_that_of_the_plan(found: ServeResult, stack: str, image: str) -> None:
    (file,), _, _ = engines.kubernetes(found, serve_stack(stack), chip("h100-sxm-80"), 4096)
    deployment, *rest = yaml.safe_load_all(file.text)
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == image
    if stack.startswith("trtllm"):
        config = rest[-1]
        assert set(yaml.safe_load(config["data"]["trtllm.yaml"])) <= TRTLLM_NAMES
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert f"{mounted['config']}/trtllm.yaml" in container["args"]


def test_the_script_names_the_version_of_the_plan(found: ServeResult) -> None:
    for stack, version in (("vllm-0.12", "v0.12.0"), ("vllm-0.10", "v0.10.0")):
        (file,), _, _ = engines.vllm(found, serve_stack(stack), chip("h100-sxm-80"), 4096)
        assert f"vLLM {version}." in file.text
        assert version in engines.about_engine(engines.VLLM, serve_stack(stack)).url
    old = engines.vllm(found, serve_stack("vllm-0.4"), chip("h100-sxm-80"), 4096)[2]
    assert any("older version" in line for line in old)


def test_the_verb_passes_drafts_on() -> None:
    made = launch_serve(
        "llama-3.1-8b", "h100-sxm-80", "vllm", isl=512, osl=128, rate=5, layout="tp=1", simulated_requests=0,
        draft_tokens=3, prefix_share=0.5,
    )  # fmt: skip
    (file,) = made.files
    assert '"num_speculative_tokens": 3' in file.text
    assert "--enable-prefix-caching" in file.text
    assert made.target.version == "v0.12.0"

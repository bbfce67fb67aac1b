"""A planned service as commands of vLLM and SGLang, a TensorRT-LLM configuration, a Kubernetes manifest and a SkyPilot task."""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import dataclass, replace
from typing import Any

import yaml

from suanzhang.app.launch_megatron import Args, shell_lines
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.launch import LaunchFile, Target
from suanzhang.spec.serve import ServeResult
from suanzhang.spec.stack import ServeStack
from suanzhang.units import GIB

Written = tuple[tuple[LaunchFile, ...], str, list[str]]

VLLM = Target("vllm", "vLLM", "v0.12.0", "https://docs.vllm.ai/en/v0.12.0/configuration/engine_args.html")
SGLANG = Target("sglang", "SGLang", "0.5.9", "https://docs.sglang.io/advanced_features/server_arguments.html")
TRTLLM = Target(
    "trtllm", "TensorRT-LLM", "1.2", "https://nvidia.github.io/TensorRT-LLM/commands/trtllm-serve/trtllm-serve.html"
)
KUBERNETES = Target(
    "kubernetes",
    "Kubernetes",
    "apps/v1",
    "https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/",
)
SKYPILOT = Target("skypilot", "SkyPilot", "0.10.5", "https://docs.skypilot.co/en/latest/serving/service-yaml-spec.html")

DRAFT_DIR = "DRAFT"
"""What stands for the checkpoint of a head that drafts."""
MODEL_DIR = "MODEL"
"""What stands for the checkpoint: a path or a hub id that the catalog does not know."""
HOST_CACHE = 2.0
"""Caches kept in host memory over those on the chips: what SGLang's hierarchical cache takes by default."""
PORT = 8000
STARTUP_S = 1800
_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
_VLLM_QUANTIZATION = {"fp8": "fp8", "awq": "awq", "int4": "awq", "gptq": "gptq"}
_SGLANG_QUANTIZATION = {"fp8": "fp8", "awq": "awq", "int4": "awq", "gptq": "gptq", "nvfp4": "modelopt_fp4", "mxfp4": "mxfp4"}
_SKY_CHIPS = {
    "h100-sxm": "H100", "h200": "H200", "b200": "B200", "a100-sxm-80": "A100-80GB", "a100-sxm-40": "A100", "l4": "L4",
    "l40s": "L40S", "t4": "T4", "v100": "V100", "a10g": "A10G", "mi300x": "MI300X",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a plan has beside the plain engine.

    Args:
        draft_tokens: drafted in a round of speculative decoding; 0 for none.
        own_heads: the checkpoint brings heads that draft; otherwise a head of another checkpoint does.
        prefix_share: share of each prompt that is found in the cache.
        offloaded: share of that which lies in the memory of the host.
    """

    draft_tokens: int = 0
    own_heads: bool = False
    prefix_share: float = 0.0
    offloaded: float = 0.0


PLAIN = Chosen()


def version_of(stack: ServeStack, target: Target) -> str:
    """Full version of the engine of a stack, such as 0.12.0; that of the target where the stack is of another engine."""
    if stack.engine != target.id:
        return target.version.lstrip("v")
    number = re.search(r"\d+(\.\d+)*", stack.id)
    return ".".join([*(number.group() if number else stack.version).split("."), "0", "0"][:3])


def image_of(engine: str, stack: ServeStack) -> str:
    """The container image of the engine, pinned to the version that the plan was made for."""
    return {
        "vllm": f"vllm/vllm-openai:v{version_of(stack, VLLM)}",
        "sglang": f"lmsysorg/sglang:v{version_of(stack, SGLANG)}",
        "trtllm": f"nvcr.io/nvidia/tensorrt-llm/release:{version_of(stack, TRTLLM)}",
    }[engine]


def about_engine(target: Target, stack: ServeStack) -> Target:
    """The target at the version that the plan was made for."""
    if target.id not in ("vllm", "sglang", "trtllm") or stack.engine != target.id:
        return target
    version = version_of(stack, target)
    if target.id != "vllm":
        return replace(target, version=version)
    return replace(target, version=f"v{version}", url=target.url.replace(VLLM.version, f"v{version}"))


def _old(stack: ServeStack, target: Target, least: tuple[int, int]) -> list[str]:
    """Versions from before the documentation that the names were checked against."""
    if stack.engine != target.id or tuple(int(part) for part in stack.version.split(".")[:2]) >= least:
        return []
    return [f"{stack.title}: the argument names are those of {target.title} {target.version}, an older version may lack some"]


def longest(isl: float, osl: float, most: int) -> int:
    """Tokens that a sequence must have room for: four times the mean, in whole KiB, at most what the model was made for."""
    return min(most, math.ceil(4.0 * (isl + osl) / 1024.0) * 1024)


class _Plain(yaml.SafeDumper):
    """Writes what is used twice twice, instead of by an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never an alias."""
        return True


def _yaml(*documents: dict[str, Any]) -> str:
    return str(yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, width=10_000))


def _common(result: ServeResult, chosen: Chosen) -> list[str]:
    unsaid = [f"{MODEL_DIR} stands for the checkpoint: put a path or a hub id there"]
    if chosen.draft_tokens and not chosen.own_heads:
        unsaid.append(
            f"{DRAFT_DIR} stands for the checkpoint of an EAGLE-3 head that drafts for it: put a path or a hub id there"
        )
    if result.kv_dtype not in ("bf16", "fp16", "fp8"):
        unsaid.append(f"cache in {result.kv_dtype}: the engine has 16 bits and fp8")
    return unsaid + (
        [f"{result.replicas} replicas: start it {result.replicas} times behind a router"] if result.replicas > 1 else []
    )


def _fp8_cache(result: ServeResult) -> bool:
    return result.kv_dtype == "fp8"


def _host_cache(result: ServeResult, stack: ServeStack, unsaid: list[str]) -> Args:
    """Room of vLLM in host memory for all tensor ranks together: twice the cache of their chips."""
    if tuple(int(part) for part in stack.version.split(".")[:2]) < (0, 12) or stack.engine != "vllm":
        unsaid.append("caches in host memory: give a --kv-transfer-config for the connector that your build has")
        return []
    size = math.ceil(HOST_CACHE * result.replica.memory.kv_bytes * result.layout.tp * result.layout.pp / GIB)
    unsaid.append(
        f"caches in host memory: {size} GiB, {HOST_CACHE:g} times those of the chips; change it to what the host spares"
    )
    return [("kv-offloading-size", str(size)), ("kv-offloading-backend", "native")]


def vllm_arguments(result: ServeResult, stack: ServeStack, tokens: int, chosen: Chosen = PLAIN) -> tuple[Args, list[str]]:
    """Arguments of ``vllm serve``, and what they cannot say."""
    layout, unsaid = result.layout, [*_common(result, chosen), *_old(stack, VLLM, (0, 8))]
    args: Args = [("tensor-parallel-size", str(layout.tp)), ("pipeline-parallel-size", str(layout.pp))]
    args += [("data-parallel-size", str(layout.dp))] if layout.dp > 1 else []
    if layout.ep > 1:
        args.append(("enable-expert-parallel", ""))
        if layout.ep != layout.tp * layout.dp:
            unsaid.append(f"ep={layout.ep}: vLLM spreads experts over all tp x dp = {layout.tp * layout.dp} chips")
    if result.weight_dtype in _DTYPES:
        args.append(("dtype", _DTYPES[result.weight_dtype]))
    elif result.weight_dtype in _VLLM_QUANTIZATION:
        args.append(("quantization", _VLLM_QUANTIZATION[result.weight_dtype]))
    else:
        unsaid.append(f"weights in {result.weight_dtype}: comes with the checkpoint")
    args += [("kv-cache-dtype", "fp8")] if _fp8_cache(result) else []
    args += [
        ("max-model-len", str(tokens)),
        ("max-num-seqs", str(stack.max_seqs)),
        ("max-num-batched-tokens", str(stack.max_batched_tokens)),
        ("gpu-memory-utilization", f"{stack.memory_fraction:g}"),
        ("block-size", str(stack.block_tokens)),
    ]
    args.append(("enable-chunked-prefill" if stack.chunked_prefill else "no-enable-chunked-prefill", ""))
    args += [("enable-prefix-caching", "")] if chosen.prefix_share else []
    if chosen.offloaded:
        args += _host_cache(result, stack, unsaid)
    if chosen.draft_tokens:
        drafts = {"method": "mtp"} if chosen.own_heads else {"method": "eagle3", "model": DRAFT_DIR}
        args.append(("speculative-config", json.dumps({**drafts, "num_speculative_tokens": chosen.draft_tokens})))
    args += [] if stack.graphs else [("enforce-eager", "")]
    args.append(("port", str(PORT)))
    return args, unsaid


def sglang_arguments(result: ServeResult, stack: ServeStack, tokens: int, chosen: Chosen = PLAIN) -> tuple[Args, list[str]]:
    """Arguments of ``sglang.launch_server``, and what they cannot say."""
    layout, unsaid = result.layout, [*_common(result, chosen), *_old(stack, SGLANG, (0, 5))]
    args: Args = [("model-path", MODEL_DIR), ("tp-size", str(layout.tp * layout.dp)), ("pp-size", str(layout.pp))]
    args += [("dp-size", str(layout.dp)), ("enable-dp-attention", "")] if layout.dp > 1 else []
    args += [("ep-size", str(layout.ep))] if layout.ep > 1 else []
    if result.weight_dtype in _DTYPES:
        args.append(("dtype", _DTYPES[result.weight_dtype]))
    elif result.weight_dtype in _SGLANG_QUANTIZATION:
        args.append(("quantization", _SGLANG_QUANTIZATION[result.weight_dtype]))
    else:
        unsaid.append(f"weights in {result.weight_dtype}: comes with the checkpoint")
    args += [("kv-cache-dtype", "fp8_e4m3")] if _fp8_cache(result) else []
    args += [
        ("context-length", str(tokens)),
        ("max-running-requests", str(stack.max_seqs)),
        ("chunked-prefill-size", str(stack.max_batched_tokens if stack.chunked_prefill else -1)),
        ("mem-fraction-static", f"{stack.memory_fraction:g}"),
        ("port", str(PORT)),
    ]
    if chosen.prefix_share:
        unsaid.append("prompts found in the cache: SGLang keeps prefixes by itself, unless --disable-radix-cache is given")
    args += [("enable-hierarchical-cache", "")] if chosen.offloaded else []
    if chosen.draft_tokens:
        head = [] if chosen.own_heads else [("speculative-draft-model-path", DRAFT_DIR)]
        args += [
            ("speculative-algorithm", "EAGLE" if chosen.own_heads else "EAGLE3"),
            *head,
            ("speculative-num-steps", str(chosen.draft_tokens)),
            ("speculative-eagle-topk", "1"),
            ("speculative-num-draft-tokens", str(chosen.draft_tokens + 1)),
        ]
    return args, unsaid


def vllm(result: ServeResult, stack: ServeStack, chip: ChipSpec, tokens: int, chosen: Chosen = PLAIN) -> Written:
    """The vLLM command."""
    args, unsaid = vllm_arguments(result, stack, tokens, chosen)
    unsaid += _nodes(result, chip, "start Ray on all nodes and add --distributed-executor-backend ray")
    return (LaunchFile("vllm.sh", _script(f"vllm serve {MODEL_DIR}", args, about_engine(VLLM, stack))),), "bash vllm.sh", unsaid


def sglang(result: ServeResult, stack: ServeStack, chip: ChipSpec, tokens: int, chosen: Chosen = PLAIN) -> Written:
    """The SGLang command."""
    args, unsaid = sglang_arguments(result, stack, tokens, chosen)
    unsaid += _nodes(result, chip, "add --nnodes, --node-rank and --dist-init-addr on each")
    text = _script("python -m sglang.launch_server", args, about_engine(SGLANG, stack))
    return (LaunchFile("sglang.sh", text),), "bash sglang.sh", unsaid


def _nodes(result: ServeResult, chip: ChipSpec, how: str) -> list[str]:
    nodes = -(-result.layout.chips // chip.node.chips)
    return [f"a replica spans {nodes} nodes: {how}"] if nodes > 1 else []


def _script(command: str, args: Args, target: Target) -> str:
    return (
        f"#!/bin/bash\n# Argument names: {target.title} {target.version}.\nset -euo pipefail\n"
        f'ARGS=(\n{shell_lines(args)}\n)\nexec {command} "${{ARGS[@]}}" "$@"\n'
    )


def trtllm_body(
    result: ServeResult, stack: ServeStack, tokens: int, chosen: Chosen = PLAIN
) -> tuple[dict[str, Any], list[str]]:
    """The configuration of ``trtllm-serve``, and what it cannot say."""
    layout, unsaid = result.layout, _common(result, chosen)
    cache: dict[str, Any] = {"free_gpu_memory_fraction": stack.memory_fraction, "enable_block_reuse": True}
    cache |= {"dtype": "fp8"} if _fp8_cache(result) else {}
    if chosen.offloaded:
        unsaid.append("caches in host memory: set host_cache_size of kv_cache_config to the bytes that the host can spare")
    body: dict[str, Any] = {
        "tensor_parallel_size": layout.tp * layout.dp,
        "pipeline_parallel_size": layout.pp,
        "max_batch_size": stack.max_seqs,
        "max_num_tokens": stack.max_batched_tokens,
        "max_seq_len": tokens,
        "enable_chunked_prefill": stack.chunked_prefill,
        "enable_attention_dp": layout.dp > 1,
        "kv_cache_config": cache,
    }
    body |= {"moe_expert_parallel_size": layout.ep} if layout.ep > 1 else {}
    body |= {"cuda_graph_config": {"enable_padding": True, "max_batch_size": stack.max_seqs}} if stack.graphs else {}
    if chosen.draft_tokens:
        one = {"decoding_type": "MTP", "num_nextn_predict_layers": chosen.draft_tokens}
        other = {"decoding_type": "Eagle", "max_draft_len": chosen.draft_tokens, "speculative_model_dir": DRAFT_DIR}
        body["speculative_config"] = one if chosen.own_heads else other
    unsaid += (
        [f"attention data parallel of {layout.dp} groups of {layout.tp}: TensorRT-LLM has one chip in each group"]
        if (layout.dp > 1 and layout.tp > 1)
        else []
    )
    unsaid += [f"weights in {result.weight_dtype}: comes with the checkpoint"] if result.weight_dtype not in _DTYPES else []
    return body, unsaid


def trtllm(result: ServeResult, stack: ServeStack, chip: ChipSpec, tokens: int, chosen: Chosen = PLAIN) -> Written:
    """The TensorRT-LLM configuration and the command that reads it."""
    body, unsaid = trtllm_body(result, stack, tokens, chosen)
    unsaid += _nodes(result, chip, "start it under trtllm-llmapi-launch in a Slurm or MPI job")
    return (LaunchFile("trtllm.yaml", _yaml(body)),), shlex.join(_trtllm_words("trtllm.yaml")), unsaid


def _trtllm_words(config: str) -> list[str]:
    return ["trtllm-serve", MODEL_DIR, "--config", config, "--host", "0.0.0.0", "--port", str(PORT)]


CONFIG_DIR = "/etc/trtllm"


def _engine(result: ServeResult, stack: ServeStack, tokens: int, chosen: Chosen) -> tuple[str, list[str], list[str], str]:
    """Engine, command as words, what it cannot say, and the configuration file that it reads; empty for none."""
    if stack.engine == "sglang":
        args, unsaid = sglang_arguments(result, stack, tokens, chosen)
        return "sglang", ["python", "-m", "sglang.launch_server", "--host", "0.0.0.0", *_words(args)], unsaid, ""
    if stack.engine == "trtllm":
        body, unsaid = trtllm_body(result, stack, tokens, chosen)
        return "trtllm", _trtllm_words(f"{CONFIG_DIR}/trtllm.yaml"), unsaid, _yaml(body)
    args, unsaid = vllm_arguments(result, stack, tokens, chosen)
    if stack.engine != "vllm":
        unsaid.append(f"engine {result.engine}: written for vLLM")
    return "vllm", ["vllm", "serve", MODEL_DIR, *_words(args)], unsaid, ""


def _words(args: Args) -> list[str]:
    return [word for name, value in args for word in ((f"--{name}", value) if value else (f"--{name}",))]


def kubernetes(result: ServeResult, stack: ServeStack, chip: ChipSpec, tokens: int, chosen: Chosen = PLAIN) -> Written:
    """A deployment with one pod for each replica, and a service before them."""
    engine, words, unsaid, config = _engine(result, stack, tokens, chosen)
    name = "".join(letter if letter.isalnum() else "-" for letter in result.model.lower()).strip("-")
    labels = {"app": name}
    resource = "amd.com/gpu" if chip.vendor.lower() == "amd" else "nvidia.com/gpu"
    probe = {"httpGet": {"path": "/health", "port": PORT}}
    container: dict[str, Any] = {
        "name": engine,
        "image": image_of(engine, stack),
        "command": words[:1],
        "args": words[1:],
        "ports": [{"containerPort": PORT}],
        "resources": {"limits": {resource: result.layout.chips}},
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
        "startupProbe": {**probe, "periodSeconds": 10, "failureThreshold": STARTUP_S // 10},
        "readinessProbe": probe,
    }
    volumes: list[dict[str, Any]] = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
    if config:
        container["volumeMounts"] = [*container["volumeMounts"], {"name": "config", "mountPath": CONFIG_DIR}]
        volumes.append({"name": "config", "configMap": {"name": name}})
    pod = {"containers": [container], "volumes": volumes}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": result.replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [{"port": PORT, "targetPort": PORT}]},
    }
    unsaid = [line for line in unsaid if "behind a router" not in line]
    unsaid += ["routing: a Service spreads connections at random, it does not look at the load of a replica"]
    unsaid += (
        ["a replica that spans nodes: a Deployment cannot; use a LeaderWorkerSet"]
        if result.layout.chips > chip.node.chips
        else []
    )
    files = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"trtllm.yaml": config}}
    text = _yaml(deployment, service, *([files] if config else []))
    return (LaunchFile("kubernetes.yaml", text),), "kubectl apply -f kubernetes.yaml", unsaid


def skypilot(result: ServeResult, stack: ServeStack, chip: ChipSpec, tokens: int, chosen: Chosen = PLAIN) -> Written:
    """A SkyPilot service."""
    engine, words, unsaid, config = _engine(result, stack, tokens, chosen)
    before = f"mkdir -p {CONFIG_DIR}\ncat > {CONFIG_DIR}/trtllm.yaml <<'END'\n{config}END\n" if config else ""
    known = next((label for start, label in _SKY_CHIPS.items() if chip.id.startswith(start)), "")
    if not known:
        known = chip.id
        unsaid.append(f"accelerator {chip.id}: SkyPilot may call it otherwise (sky show-gpus)")
    body = {
        "service": {
            "readiness_probe": {"path": "/health", "initial_delay_seconds": STARTUP_S},
            "replicas": result.replicas,
            "load_balancing_policy": "least_load",
        },
        "resources": {
            "accelerators": f"{known}:{result.layout.chips}",
            "ports": PORT,
            "image_id": f"docker:{image_of(engine, stack)}",
        },
        "run": before + shlex.join(words),
    }
    unsaid = [line for line in unsaid if "behind a router" not in line]
    unsaid += _nodes(result, chip, "SkyPilot gives num_nodes, the engine's own multi-node start is yours")
    return (LaunchFile("skypilot.yaml", _yaml(body)),), "sky serve up skypilot.yaml", unsaid

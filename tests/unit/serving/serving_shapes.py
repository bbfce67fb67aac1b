"""Chips, models and engines that the serving tests share; no catalog is needed to run them."""

from suanzhang.spec.chip import ChipSpec, NodeSpec
from suanzhang.spec.model import MlaSpec, ModelSpec, MoeSpec
from suanzhang.spec.stack import ServeStack

H100 = ChipSpec(
    "test-h100", "H100", "NVIDIA", "US", "2022-09-20", {"bf16": 989e12, "fp16": 989e12, "fp8": 1979e12},
    80e9, 3.35e12, 450e9, "NVLink 4", 8, 700.0, NodeSpec(8, 10200.0, 50e9),
)  # fmt: skip
LLAMA_8B = ModelSpec("llama-8b", "Llama 8B", 32, 4096, 32, 8, 128, 14336, True, 128256)
LLAMA_70B = ModelSpec("llama-70b", "Llama 70B", 80, 8192, 64, 8, 128, 28672, True, 128256)
DEEPSEEK = ModelSpec(
    "deepseek-v3", "DeepSeek V3", 61, 7168, 128, 128, 128, 18432, True, 129280,
    moe=MoeSpec(256, 8, 2048, 1, 2048, 3), mla=MlaSpec(1536, 512, 128, 64, 128),
)  # fmt: skip
VLLM = ServeStack(
    "test-vllm", "vLLM", "vllm", "0.10", "2025-07", "continuous", True, 8192, 256, 16, 0.9, True, 1e-3, 6e-6, 5e-6,
)  # fmt: skip
TRTLLM = ServeStack(
    "test-trtllm", "TensorRT-LLM", "trtllm", "0.17", "2025-02", "continuous", False, 8192, 2048, 64, 0.95, False, 5e-4, 2e-6,
    4e-6, memory_of_free=True, kv_reserve="full", policy="trtllm",
)  # fmt: skip

"""The shape of a transformer, and what can be counted from it."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.source import Quoted


@dataclass(frozen=True, slots=True)
class MoeSpec:
    """Mixture-of-experts feed-forward layers.

    Args:
        experts: routed experts per layer.
        topk: experts that a token visits.
        expert_ffn: inner width of one routed expert.
        shared_experts: experts that every token visits.
        shared_ffn: inner width of all shared experts together; 0 without.
        dense_layers: leading layers with a plain feed-forward of width ``ffn``.
        every: one layer in ``every`` is a mixture (1 for all).
        groups: groups of neighbouring experts that a router chooses among first (1 for none).
        topk_groups: groups whose experts one token may visit; 0 for all of them.
    """

    experts: int
    topk: int
    expert_ffn: int
    shared_experts: int = 0
    shared_ffn: int = 0
    dense_layers: int = 0
    every: int = 1
    groups: int = 1
    topk_groups: int = 0


@dataclass(frozen=True, slots=True)
class MlaSpec:
    """Multi-head latent attention (DeepSeek-V2): low-rank queries, keys and values.

    Args:
        q_lora: rank of the query projection; 0 for a full-rank query.
        kv_lora: rank of the shared key/value latent, which is what the cache holds.
        nope_dim: head size without position.
        rope_dim: head size with rotary position, shared over heads in the cache.
        v_dim: head size of the values.
    """

    q_lora: int
    kv_lora: int
    nope_dim: int
    rope_dim: int
    v_dim: int


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """Sliding-window or local attention on some of the layers.

    Args:
        tokens: width of the window.
        layers: how many layers use it; the others see the whole context.
    """

    tokens: int
    layers: int


@dataclass(frozen=True, slots=True)
class LinearAttentionSpec:
    """Layers whose state does not grow with the context (linear attention, state space).

    Args:
        layers: how many of the layers.
        state_bytes: state of one sequence in one such layer.
        params: parameters of the token mixer of one such layer.
    """

    layers: int
    state_bytes: float
    params: float


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The shape of a decoder (or encoder) transformer.

    Args:
        id: catalog id.
        name: name in words.
        layers: transformer layers.
        hidden: width of the residual stream.
        heads: query heads.
        kv_heads: key/value heads (equal to ``heads`` for multi-head, 1 for multi-query).
        head_dim: size of one head.
        ffn: inner width of the dense feed-forward.
        gated_mlp: three matrices (SwiGLU, GeGLU) rather than two.
        vocab: rows of the embedding table.
        tied_embeddings: the output head shares the embedding table.
        max_seq: longest context that it was made for.
        learned_positions: has a position table of ``max_seq`` rows.
        qkv_bias, mlp_bias: whether the projections carry biases.
        parallel_block: attention and feed-forward read the same input (GPT-J, PaLM, Falcon).
        moe, mla, window, linear: the parts that not every model has.
        mtp_layers: extra layers that predict further tokens, used in training.
        encoder_only: no causal mask (BERT).
        params_published: the count that its makers print.
        source: key of the source of the shape.
    """

    id: str
    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    gated_mlp: bool
    vocab: int
    tied_embeddings: bool = False
    max_seq: int = 2048
    learned_positions: bool = False
    qkv_bias: bool = False
    mlp_bias: bool = False
    parallel_block: bool = False
    moe: MoeSpec | None = None
    mla: MlaSpec | None = None
    window: WindowSpec | None = None
    linear: LinearAttentionSpec | None = None
    mtp_layers: int = 0
    encoder_only: bool = False
    params_published: Quoted | None = None
    source: str = ""

    @property
    def moe_layers(self) -> int:
        """Layers with a mixture of experts."""
        return 0 if self.moe is None else (self.layers - self.moe.dense_layers) // self.moe.every

    @property
    def attention_params(self) -> float:
        """Parameters of one layer's softmax attention projections (no norms)."""
        h = float(self.hidden)
        if self.mla is not None:
            m = self.mla
            q_dim = self.heads * (m.nope_dim + m.rope_dim)
            query = h * m.q_lora + m.q_lora * q_dim if m.q_lora else h * q_dim
            kv = h * (m.kv_lora + m.rope_dim) + m.kv_lora * self.heads * (m.nope_dim + m.v_dim)
            return query + kv + self.heads * m.v_dim * h
        q_dim, kv_dim = self.heads * self.head_dim, self.kv_heads * self.head_dim
        bias = q_dim + 2.0 * kv_dim if self.qkv_bias else 0.0
        return h * q_dim + 2.0 * h * kv_dim + q_dim * h + bias + (h if self.mlp_bias else 0.0)

    @property
    def dense_ffn_params(self) -> float:
        """Parameters of one dense feed-forward layer."""
        matrices = 3.0 if self.gated_mlp else 2.0
        bias = self.ffn * (matrices - 1.0) + self.hidden if self.mlp_bias else 0.0
        return matrices * self.hidden * self.ffn + bias

    def moe_ffn_params(self, experts: float) -> float:
        """Parameters of one mixture layer counting ``experts`` routed experts, shared ones and the router."""
        if self.moe is None:
            return 0.0
        matrices = 3.0 if self.gated_mlp else 2.0
        routed = experts * matrices * self.hidden * self.moe.expert_ffn
        return routed + matrices * self.hidden * self.moe.shared_ffn + self.hidden * self.moe.experts

    @property
    def embedding_params(self) -> float:
        """Parameters of the token and position tables."""
        return float(self.hidden) * (self.vocab + (self.max_seq if self.learned_positions else 0))

    @property
    def head_params(self) -> float:
        """Parameters of the output head that are not shared with the embedding."""
        return 0.0 if self.tied_embeddings else float(self.hidden) * self.vocab

    def _body_params(self, experts: float) -> float:
        linear_layers = self.linear.layers if self.linear else 0
        mixer = (self.layers - linear_layers) * self.attention_params
        mixer += linear_layers * self.linear.params if self.linear else 0.0
        dense = (self.layers - self.moe_layers) * self.dense_ffn_params
        norms = (2.0 * self.layers + 1.0) * self.hidden * (2.0 if self.mlp_bias else 1.0)
        return mixer + dense + self.moe_layers * self.moe_ffn_params(experts) + norms

    @property
    def params(self) -> float:
        """All parameters of the model (without extra prediction layers)."""
        experts = self.moe.experts if self.moe else 0
        return self._body_params(experts) + self.embedding_params + self.head_params

    @property
    def active_params(self) -> float:
        """Parameters that one token visits, embeddings included."""
        topk = self.moe.topk if self.moe else 0
        return self._body_params(topk) + self.embedding_params + self.head_params

    @property
    def matmul_params(self) -> float:
        """Parameters that one token is multiplied with: active ones and the head, without the look-up tables."""
        topk = self.moe.topk if self.moe else 0
        return self._body_params(topk) + float(self.hidden) * self.vocab

    def kv_bytes_per_token(self, dtype_bytes: float) -> float:
        """Cache bytes that one token adds while it is inside every window.

        Args:
            dtype_bytes: bytes of one cached value.
        """
        linear_layers = self.linear.layers if self.linear else 0
        layers = self.layers - linear_layers
        if self.mla is not None:
            return layers * (self.mla.kv_lora + self.mla.rope_dim) * dtype_bytes
        return layers * 2.0 * self.kv_heads * self.head_dim * dtype_bytes

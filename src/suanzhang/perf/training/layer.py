"""Time of one layer for one micro-batch on one chip, forward, backward by input and backward by weight."""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.args import GemmArgs, LinkArgs, OperatorArgs
from suanzhang.perf.attention import attention_backward_s, prefill_attention_s, unfused_attention_s
from suanzhang.perf.collectives import allgather_s, allreduce_s, alltoall_s, p2p_s, reducescatter_s
from suanzhang.perf.elementwise import memory_bound_s
from suanzhang.perf.gemm import gemm_s
from suanzhang.perf.moe import grouped_gemm_s
from suanzhang.perf.training.activations import tokens_per_micro_batch
from suanzhang.perf.training.args import DUALPIPE, FLASH1, Coefficients, LayerTimes, LayoutArgs, RunArgs, ShapeArgs
from suanzhang.perf.training.overlap import exposed_s
from suanzhang.perf.training.params import dense_layer_params, moe_layer_params, routed_params
from suanzhang.perf.training.routing import places_reached

FUSED_PASSES = 5.0
"""Times that the score matrix crosses memory with a fused causal softmax: product out, softmax in (half, the rest is
masked) and out, dropout in and out (with a mask of one byte), product in."""
UNFUSED_BACKWARD = 1.6
"""Backward over forward of unfused attention: four products for two, seven crossings for five."""
MEMORY_BACKWARD = 1.35
"""Backward over forward traffic of norms, activations and residual sums: three streams for two in norms and activations,
no more than forward in sums."""
UNFUSED_PASSES = 12.0
"""The same with scale, mask, cast, softmax and dropout as separate kernels."""

MISALIGNED, ODD = 12.0, 25.0
"""Time of plain attention products whose head size is no multiple of 8 (16 bytes), or odd, over that of aligned ones: the
tensor cores load 16 bytes at a time, and the library falls back to kernels without them."""

KERNEL_GAP = 1.0 / 3.0
"""Time between a kernel and the next that needs its results, on the chip, over the time to launch one: about 2 microseconds."""
EXPERT_LAUNCHES = 200.0
"""Launches that the host needs besides for one forward pass over routed experts: routing, sorting, dispatch and a product per
expert follow one by one once the host has learnt how many tokens came, so that no graph covers them."""
SHARD_CALL_S = 1.5e-4
"""Host time to fetch or give up one sharded parameter: hooks of the framework, not the message."""
ADAPTER_KERNELS = 14.0
"""Kernels that low-rank adapters add to the forward pass of one layer: two products for each of seven maps."""
ADAPTER_TRAFFIC = 1.8
"""Traffic between products with adapters over that without: dropout of their inputs, two thin products, and their sums."""
EAGER_PASSES = 2.5
"""Traffic of norms, residual sums and activations run one by one (with 32-bit copies) over that of fused kernels."""


@formula
def ranks_per_node(ranks: float, stride: float, domain: float) -> float:
    """Chips of one group that share a node, when neighbours in the group are ``stride`` chips apart.

    Sources:  [derived] from the order of ranks, tensor groups first.
    """
    return max(1.0, min(ranks, math.floor(domain / stride)))


@formula
def three_products(m: float, n: float, k: float, args: GemmArgs) -> tuple[float, float, float]:
    """Forward, backward-input and backward-weight time of one linear map of ``m`` tokens from k to n [s].

    Model:    each pass is one dense product of the same three sizes in its own order.

    Args:
        m: tokens.
        n: columns of the result.
        k: columns of the input.
        args: the chip and dtype.

    Returns:
        The three times [s].

    Equation: Y = X W; dX = dY W'; dW = X' dY.

    Validity: as :func:`suanzhang.perf.gemm.gemm_s`.

    Sources:  [korthikanti2022].
    """
    return gemm_s(m, n, k, 1.0, args), gemm_s(m, k, n, 1.0, args), gemm_s(k, n, m, 1.0, args)


@formula
def aligned_dim(head_dim: float) -> float:
    """Head size that plain products of a head size that is no multiple of 8 cost as much as.

    Sources:  [derived] whole tiles of the product.
    """
    if head_dim % 2.0 > 0.0:
        return ODD * head_dim
    return MISALIGNED * head_dim if head_dim % 8.0 > 0.0 else head_dim


@formula
def attention_times(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, ops: OperatorArgs) -> tuple[float, float]:
    """Forward and backward time of the attention products of one layer on one chip [s].

    Model:    a flash kernel, whose backward pass makes five products, or plain products with the score matrix going
              through memory; context ranks share the causal triangle evenly, or each has whole sequences of its share of the
              heads; windowed layers are averaged in.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        ops: the operators of the chip.

    Returns:
        Forward and backward time [s].

    Equation: see :mod:`suanzhang.perf.attention`; backward of the unfused kernel is 1.6 times its forward.

    Validity: heads divisible by the tensor size.

    Sources:  [flashattention2]; [korthikanti2022].
    """
    split, parts = layout.cp, 1.0
    if layout.cp_a2a > 0.0:
        split, parts = 1.0, layout.cp
    heads = shape.heads / layout.tp / parts
    kv_heads = max(1.0, shape.kv_heads / layout.tp / parts) if shape.kv_lora <= 0.0 else heads
    batch = layout.micro_batch
    args = ops.mla if shape.kv_lora > 0.0 else ops.attention
    if run.attention < FLASH1:
        passes = UNFUSED_PASSES if run.attention < 1.0 else FUSED_PASSES
        forward = unfused_attention_s(batch, run.seq, run.seq, heads, aligned_dim(shape.qk_dim), passes, args) / split
        return forward, UNFUSED_BACKWARD * forward
    forward = prefill_attention_s(batch, run.seq, run.seq, heads, kv_heads, shape.qk_dim, shape.v_dim, shape.causal, 0.0, args)
    backward = attention_backward_s(
        batch, run.seq, run.seq, heads, kv_heads, shape.qk_dim, shape.v_dim, shape.causal, 0.0, args
    )
    if shape.window_layers > 0.0 and shape.window < run.seq:
        part = shape.window_layers / shape.layers
        near = prefill_attention_s(
            batch, run.seq, run.seq, heads, kv_heads, shape.qk_dim, shape.v_dim, shape.causal, shape.window, args
        )
        near_backward = attention_backward_s(
            batch, run.seq, run.seq, heads, kv_heads, shape.qk_dim, shape.v_dim, shape.causal, shape.window, args
        )
        forward = (1.0 - part) * forward + part * near
        backward = (1.0 - part) * backward + part * near_backward
    factor = run.attention_slowdown / split
    return forward * factor, backward * factor


@formula
def memory_traffic_bytes(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, width: float) -> float:
    """Least traffic of the kernels between the products of one layer, forward, on one chip [bytes].

    Model:    two norms and two residual sums (with dropout masks where there are any) over the hidden width, split
              over the tensor group under sequence parallel; the activation over the feed-forward width and the
              rotation of queries and keys, split over the tensor group.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        width: inner width of the feed-forward of this layer.

    Returns:
        Bytes read and written.

    Equation: T e (10 h / t_sp + ((g - 1) + 1) f / t + 4 (q + k) / t / 2), g matrices, T tokens.

    Validity: fused kernels, or twice that when they run one by one.

    Sources:  [ivanov2021] data movement of a transformer layer.
    """
    tokens = tokens_per_micro_batch(run, layout)
    shard = layout.tp if layout.sp > 0.0 else 1.0
    stream = (10.0 * run.element_bytes + (2.0 if run.dropout > 0.0 else 0.0)) * shape.hidden / shard
    activation = shape.matrices * run.element_bytes * width / layout.tp
    if run.fused <= 0.0:
        stream, activation = EAGER_PASSES * stream, EAGER_PASSES * activation
    rotary = 2.0 * run.element_bytes * (shape.heads + shape.kv_heads) * shape.qk_dim / layout.tp
    return tokens * (stream + activation + (rotary if shape.positions <= 0.0 else 0.0))


@formula
def converted_bytes(run: RunArgs) -> float:
    """Traffic to convert one value of an operand to 8 or 4 bit [bytes]: its reads in 16 bit and the copies written.

    Sources:  [transformer-engine].
    """
    return run.quantize_reads * run.element_bytes + run.quantize_writes * run.gemm_bytes


@formula
def quantize_bytes(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, width: float) -> float:
    """Least traffic to convert the operands of one layer's products to 8 or 4 bit, one pass [bytes].

    Model:    each operand is read in 16 bit (once more where its largest value must be known first), written once and once
              transposed; scales are part of a converted value.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        width: inner width of the feed-forward of this layer.

    Returns:
        Bytes read and written; zero when products run in the activation format.

    Equation: T (r e + w q) (h + h + o / t + f / t), q bytes of a converted value, r reads and w copies.

    Validity: per-tensor and per-block scales alike.

    Sources:  [transformer-engine].
    """
    if run.quantized <= 0.0:
        return 0.0
    columns = 2.0 * shape.hidden + (shape.heads * shape.v_dim + width) / layout.tp
    return tokens_per_micro_batch(run, layout) * converted_bytes(run) * columns


@formula
def expert_quantize_bytes(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs) -> float:
    """Least traffic to convert the operands of the routed experts to 8 or 4 bit, one pass [bytes].

    Sources:  [transformer-engine].
    """
    if run.quantized <= 0.0:
        return 0.0
    shard = layout.tp if layout.sp > 0.0 else 1.0
    rows = tokens_per_micro_batch(run, layout) / shard * layout.etp * shape.topk * run.capacity
    return rows * converted_bytes(run) * (shape.hidden + shape.expert_ffn / layout.etp)


@formula
def tensor_comm_s(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, ops: OperatorArgs) -> float:
    """Time of the tensor-group collectives of one pass over one layer [s].

    Model:    two all-reduces of the residual stream, or under sequence parallel two all-gathers and two
              reduce-scatters, which move the same bytes.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        ops: the operators of the chip.

    Returns:
        Time [s]; zero without a tensor group.

    Equation: 2 allreduce(T h e).

    Validity: tensor group inside a node, or spread over nodes.

    Sources:  [megatron2019]; [korthikanti2022].
    """
    if layout.tp <= 1.0:
        return 0.0
    near = ranks_per_node(layout.tp, 1.0, run.domain)
    nodes = math.ceil(layout.tp / near)
    size = tokens_per_micro_batch(run, layout) * shape.hidden * run.element_bytes
    if layout.sp > 0.0:
        return 2.0 * (allgather_s(size, near, nodes, ops.link) + reducescatter_s(size, near, nodes, ops.link))
    return 2.0 * allreduce_s(size, near, nodes, ops.link)


@formula
def regather_s(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, ops: OperatorArgs) -> float:
    """Time to gather the inputs of the column-parallel products of one layer again for their weight gradients [s].

    Model:    under sequence parallel each rank keeps its own share of the inputs only; two all-gathers of the residual
              stream per layer in the backward pass, beside the product for the input gradient.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        ops: the operators of the chip.

    Returns:
        Time [s] before what hides; zero without sequence parallel.

    Equation: 2 allgather(T h e).

    Validity: tensor group inside a node, or spread over nodes.

    Sources:  [korthikanti2022] section 4.2.2.
    """
    if layout.tp <= 1.0 or layout.sp <= 0.0:
        return 0.0
    near = ranks_per_node(layout.tp, 1.0, run.domain)
    size = tokens_per_micro_batch(run, layout) * shape.hidden * run.element_bytes
    return 2.0 * allgather_s(size, near, math.ceil(layout.tp / near), ops.link)


@formula
def context_comm_s(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, ops: OperatorArgs) -> float:
    """Time of the messages between context ranks, one layer, forward [s].

    Model:    round a ring, cp - 1 messages of the rank's own keys and values to the neighbour; or four all-to-alls, of queries,
              keys and values before the attention and of its result after it. A key/value head that several ranks need is
              copied.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        ops: the operators of the chip.

    Returns:
        Time [s] before what hides behind the attention products.

    Equation: (c - 1) p2p(T kv e / t), or the sum of alltoall(T w e) over the widths w of a rank's queries, keys, values and
              result.

    Validity: ring attention with balanced causal chunks; exchanges of heads where the heads of a tensor rank divide by c.

    Sources:  [ringattention2023]; [ulysses2023] section 3.2.
    """
    if layout.cp <= 1.0:
        return 0.0
    kv_heads = shape.kv_heads if shape.kv_lora <= 0.0 else shape.heads
    size = tokens_per_micro_batch(run, layout) * run.element_bytes
    if layout.cp_a2a > 0.0:
        near = ranks_per_node(layout.cp, layout.tp, run.domain)
        nodes = math.ceil(layout.cp / near)
        queries = size * shape.heads / layout.tp
        keys = size * max(kv_heads / layout.tp, layout.cp)
        total = alltoall_s(queries * shape.qk_dim, near, nodes, ops.link) + alltoall_s(
            queries * shape.v_dim, near, nodes, ops.link
        )
        total += alltoall_s(keys * shape.qk_dim, near, nodes, ops.link) + alltoall_s(keys * shape.v_dim, near, nodes, ops.link)
        return total
    size *= max(kv_heads / layout.tp, 1.0) * (shape.qk_dim + shape.v_dim)
    same_node = 1.0 if layout.tp * layout.cp <= run.domain else 0.0
    return (layout.cp - 1.0) * p2p_s(size, same_node, ops.link)


@formula
def together_s(crossing: float, handed: float, near: float, nodes: float, link: LinkArgs) -> float:
    """Time to send tokens to the nodes of their experts once each, and on inside the nodes, or the way back [s].

    Model:    network and links work side by side, token by token; the longer counts.

    Args:
        crossing: bytes that one chip sends to nodes, its own among them.
        handed: bytes that one chip hands on to the ranks of its node, itself among them.
        near: ranks of the group in each node.
        nodes: nodes of the group.
        link: links and network.

    Returns:
        Time [s].

    Equation: T_0 + T_n + max(s (n - 1) / n / (B_n e_n), s' (r - 1) / r / (B e_a)), e_a as timed.

    Validity: more than one node.

    Sources:  [deepseekv3] section 3.2.2.
    """
    inside = alltoall_s(handed, near, 1.0, link)
    across = crossing * (nodes - 1.0) / nodes / (link.nic_bytes_per_s * link.nic_efficiency)
    return max(inside, link.base_s + across) + link.nic_base_s


@formula
def expert_comm_s(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, ops: OperatorArgs) -> float:
    """Time to send tokens to their experts and back, one layer, one pass [s].

    Model:    two all-to-alls of ``topk`` copies of the tokens that a chip holds, to the experts in the format that they are
              sent in and back in that of activations; inside an expert split over chips, an all-gather and a reduce-scatter
              besides. Where copies for one node travel together, each token crosses the network once per node that it is
              sent to, and is handed on there to each rank that holds one of its experts; the slower of the two counts.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        ops: the operators of the chip.

    Returns:
        Time [s].

    Equation: alltoall(T k h s c) + alltoall(T k h e c), c the load of the fullest rank, s and e bytes of a value; or, where
              copies travel together, T0 + max(T h N (n - 1) / n / B_n, T h R (r - 1) / r / B) for each, N nodes and R ranks
              reached of n and of r.

    Validity: token-dropless routing over ep ranks.

    Sources:  [gshard2020]; [deepseekv3] section 3.2.2.
    """
    shard = layout.tp if layout.sp > 0.0 else 1.0
    values = tokens_per_micro_batch(run, layout) / shard * run.capacity * shape.hidden
    size = values * shape.topk * run.element_bytes
    sent = run.sent_bytes / run.element_bytes if run.sent_bytes > 0.0 else 1.0
    total = 0.0
    if layout.ep > 1.0:
        near = ranks_per_node(layout.ep, layout.etp, run.domain)
        nodes = math.ceil(layout.ep / near)
        if run.dedup_ep > 0.0 and nodes > 1.0:
            crossing = places_reached(nodes, shape.topk, shape.groups, shape.topk_groups) * values * run.element_bytes
            handed = places_reached(layout.ep, shape.topk, shape.groups, shape.topk_groups) * values * run.element_bytes
            total += together_s(sent * crossing, sent * handed, near, nodes, ops.link)
            total += together_s(crossing, handed, near, nodes, ops.link)
        else:
            total += alltoall_s(sent * size, near, nodes, ops.link) + alltoall_s(size, near, nodes, ops.link)
    if layout.etp > 1.0:
        near = ranks_per_node(layout.etp, 1.0, run.domain)
        nodes = math.ceil(layout.etp / near)
        total += 2.0 * allgather_s(size * layout.etp, near, nodes, ops.link)
    return total


@formula
def projection_times(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, args: GemmArgs) -> tuple[float, float, float]:
    """Forward, backward-input and backward-weight time of the attention projections of one layer [s].

    Sources:  [megatron2019].
    """
    tokens = tokens_per_micro_batch(run, layout)
    hidden = shape.hidden
    out = shape.heads * shape.v_dim / layout.tp
    of, oi, ow = three_products(tokens, hidden, out, args)
    if shape.kv_lora > 0.0:
        query = shape.heads * shape.qk_dim / layout.tp
        if shape.q_lora > 0.0:
            af, ai, aw = three_products(tokens, shape.q_lora, hidden, args)
            bf, bi, bw = three_products(tokens, query, shape.q_lora, args)
        else:
            af, ai, aw = 0.0, 0.0, 0.0
            bf, bi, bw = three_products(tokens, query, hidden, args)
        cf, ci, cw = three_products(tokens, shape.kv_lora + shape.rope_dim, hidden, args)
        up = shape.heads * (shape.qk_dim - shape.rope_dim + shape.v_dim) / layout.tp
        df, di, dw = three_products(tokens, up, shape.kv_lora, args)
        return of + af + bf + cf + df, oi + ai + bi + ci + di, ow + aw + bw + cw + dw
    columns = (shape.heads * shape.qk_dim) / layout.tp + 2.0 * max(1.0, shape.kv_heads / layout.tp) * shape.qk_dim
    qf, qi, qw = three_products(tokens, columns, hidden, args)
    return of + qf, oi + qi, ow + qw


@formula
def ffn_times(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, width: float, args: GemmArgs) -> tuple[float, float, float]:
    """Forward, backward-input and backward-weight time of a feed-forward of inner ``width`` [s].

    Sources:  [megatron2019].
    """
    if width <= 0.0:
        return 0.0, 0.0, 0.0
    tokens = tokens_per_micro_batch(run, layout)
    inner = width / layout.tp
    uf, ui, uw = three_products(tokens, (shape.matrices - 1.0) * inner, shape.hidden, args)
    df, di, dw = three_products(tokens, shape.hidden, inner, args)
    return uf + df, ui + di, uw + dw


@formula
def expert_product_s(
    rows: float, local: float, n: float, k: float, capacity: float, quantized: float, ops: OperatorArgs
) -> float:
    """Time of one product of the routed experts of a chip with their rows [s].

    Model:    one grouped kernel in 16 bit; in 8 and 4 bit the faster of that and one plain product per expert, each on a
              stream of its own. What the host needs to launch them is counted with the layer.

    Args:
        rows: token-expert pairs of the chip.
        local: experts of the chip.
        n, k: columns and depth of one expert's weight.
        capacity: tokens of the fullest expert rank over the mean.
        quantized: 1 in 8 and 4 bit.
        ops: the operators of the chip.

    Returns:
        Time [s].

    Equation: min(grouped(r, e, n, k), e gemm(r / e, n, k)).

    Validity: hundreds of rows per expert, as in training.

    Sources:  [megatron-core] grouped linear layers.
    """
    grouped = grouped_gemm_s(rows, local, n, k, capacity, ops.moe)
    if quantized <= 0.0:
        return grouped
    return min(grouped, local * gemm_s(max(1.0, rows * capacity / local), n, k, 1.0, ops.gemm))


@formula
def expert_times(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, ops: OperatorArgs) -> tuple[float, float, float, float]:
    """Forward, backward-input, backward-weight and sorting time of the routed experts of one layer on one chip [s].

    Model:    grouped products over the experts that the chip holds, on the tokens that its expert ranks send;
              sorting, the activation and adding up pass over the pairs in memory a fitted number of times each way.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        ops: the operators of the chip.

    Returns:
        The four times [s].

    Equation: rows = T etp k / t_sp on experts / ep experts of width f_e / etp.

    Validity: token-dropless routing.

    Sources:  [megablocks2022].
    """
    shard = layout.tp if layout.sp > 0.0 else 1.0
    rows = tokens_per_micro_batch(run, layout) / shard * layout.etp * shape.topk
    local = max(shape.experts / layout.ep, 1.0)
    width = shape.expert_ffn / layout.etp
    up = (shape.matrices - 1.0) * width
    args = ops.moe
    forward = expert_product_s(rows, local, up, shape.hidden, run.capacity, run.quantized, ops)
    forward += expert_product_s(rows, local, shape.hidden, width, run.capacity, run.quantized, ops)
    backward = expert_product_s(rows, local, shape.hidden, up, run.capacity, run.quantized, ops)
    backward += expert_product_s(rows, local, width, shape.hidden, run.capacity, run.quantized, ops)
    passes = shape.hidden * (args.row_passes + args.pair_passes) + width * args.width_passes
    sort = args.fixed_s + rows * run.capacity * passes * run.element_bytes / args.gemm.hbm_bytes_per_s
    return forward, backward, backward, sort


@formula
def accumulate_s(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, ops: OperatorArgs, mixture: float) -> float:
    """Time to add the weight gradients of one layer and micro-batch to their sum on one chip [s].

    Model:    the sum is read and written once per micro-batch, in its own format; few tokens per micro-batch make
              this as costly as the products.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        ops: the operators of the chip.
        mixture: 1 for a mixture-of-experts layer, 0 for a dense one.

    Returns:
        Time [s].

    Equation: 2 P g over the memory bandwidth, P parameters of the layer on the chip.

    Validity: gradients kept whole between micro-batches.

    Sources:  [megatron-core] gradient accumulation fusion.
    """
    if mixture > 0.0:
        params = moe_layer_params(shape, layout) + routed_params(shape, layout)
    else:
        params = dense_layer_params(shape, layout)
    return memory_bound_s(2.0 * params * run.grad_bytes, ops.memory)


@formula
def layer_times(
    shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, ops: OperatorArgs, fit: Coefficients, mixture: float
) -> LayerTimes:
    """Time of one layer for one micro-batch on one chip, by pass and by what it is spent on [s].

    Model:    products, attention, the kernels between them, the messages of tensor, context and expert groups, and
              the host time to launch them. Messages of the context ring hide behind the attention products; exchanges of
              heads stand before and after them.
              Adapters on frozen weights need no weight gradient of the frozen products.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        ops: the operators of the chip at the dtype of the products.
        fit: fitted coefficients.
        mixture: 1 for a mixture-of-experts layer, 0 for a dense one.

    Returns:
        The parts; what overlaps with what is decided by the step.

    Equation: sums of the operator formulas.

    Validity: see docs/accuracy.

    Sources:  [megatron2019]; [korthikanti2022]; [flashattention2].
    """
    pf, pi, pw = projection_times(shape, run, layout, ops.gemm)
    width = shape.shared_ffn if mixture > 0.0 else shape.ffn
    ff, fi, fw = ffn_times(shape, run, layout, width, ops.gemm)
    gemm_f, gemm_i, gemm_w = pf + ff, pi + fi, pw + fw
    traffic = memory_traffic_bytes(shape, run, layout, width)
    memory_f = memory_bound_s(traffic * fit.memory, ops.memory)
    memory_b = MEMORY_BACKWARD * memory_f
    quantize = memory_bound_s(quantize_bytes(shape, run, layout, width) * fit.quantize, ops.memory)
    expert_f, expert_b, expert_host = 0.0, 0.0, 0.0
    kernels = run.layer_kernels
    if mixture > 0.0:
        ef, ei, ew, sort = expert_times(shape, run, layout, ops)
        gemm_f, gemm_i, gemm_w = gemm_f + ef, gemm_i + ei, gemm_w + ew
        memory_f += fit.memory * sort
        memory_b += MEMORY_BACKWARD * fit.memory * sort
        quantize += memory_bound_s(expert_quantize_bytes(shape, run, layout) * fit.quantize, ops.memory)
        messages = fit.expert * expert_comm_s(shape, run, layout, ops)
        overlap = 1.0 if layout.schedule == DUALPIPE else run.overlap_ep
        expert_f = exposed_s(messages, fit.gemm * gemm_f, overlap, fit.hidden)
        expert_b = exposed_s(messages, fit.gemm * (gemm_i + gemm_w), overlap, fit.hidden)
        kernels += 20.0
        expert_host = EXPERT_LAUNCHES * run.launch_s * fit.launch
    if run.quantized > 0.0:
        memory_f += quantize
        memory_b += quantize
        kernels += 16.0
    if run.frozen > 0.0:
        kernels += ADAPTER_KERNELS
        gemm_w = 0.0
        memory_f *= ADAPTER_TRAFFIC
        memory_b *= ADAPTER_TRAFFIC
        if run.unpack_bytes > 0.0:
            packed = dense_layer_params(shape, layout)
            if mixture > 0.0:
                packed = moe_layer_params(shape, layout) + routed_params(shape, layout)
            unpack = memory_bound_s(packed * run.unpack_bytes, ops.memory)
            memory_f += unpack
            memory_b += unpack
    else:
        gemm_w *= run.weight_grad
        gemm_w += accumulate_s(shape, run, layout, ops, mixture) / fit.gemm
    memory_f += kernels * KERNEL_GAP * run.launch_s
    memory_b += 2.0 * kernels * KERNEL_GAP * run.launch_s
    attention_f, attention_b = attention_times(shape, run, layout, ops)
    if run.attention >= FLASH1:
        attention_f, attention_b = attention_f * fit.attention, attention_b * fit.attention
    tensor = fit.tensor * tensor_comm_s(shape, run, layout, ops)
    regather = exposed_s(
        fit.tensor * regather_s(shape, run, layout, ops), fit.gemm * gemm_i, run.overlap_gather * layout.overlap_tp, fit.hidden
    )
    context_f = context_comm_s(shape, run, layout, ops)
    if layout.cp_a2a > 0.0:
        context_f *= fit.expert
        context_b = exposed_s(context_f, attention_b, run.overlap_cp_a2a, fit.hidden)
        context_f = exposed_s(context_f, attention_f, run.overlap_cp_a2a, fit.hidden)
    else:
        context_f *= fit.pipeline
        context_b = exposed_s(2.0 * context_f, attention_b, run.overlap_cp, fit.hidden)
        context_f = exposed_s(context_f, attention_f, run.overlap_cp, fit.hidden)
    host = run.launch_s * fit.launch * (0.05 if run.graphs > 0.0 else 1.0)
    selective = attention_f if run.attention < FLASH1 else 0.5 * memory_f
    selective += run.selective_products * fit.gemm * gemm_f
    if shape.kv_lora > 0.0:
        up = shape.q_lora * shape.heads * shape.qk_dim
        up += shape.kv_lora * shape.heads * (shape.qk_dim - shape.rope_dim + shape.v_dim)
        selective += up / shape.attention_params * fit.gemm * pf
    calls = SHARD_CALL_S * run.shard_calls if layout.zero >= 3.0 else 0.0
    return LayerTimes(
        gemm_f * fit.gemm,
        gemm_i * fit.gemm,
        gemm_w * fit.gemm,
        attention_f,
        attention_b,
        memory_f,
        memory_b,
        tensor,
        tensor + regather,
        context_f,
        context_b,
        expert_f,
        expert_b,
        kernels * host + calls + expert_host,
        2.0 * kernels * host + calls + 2.0 * expert_host,
        selective,
    )


@formula
def mixed_layer_times(
    shape: ShapeArgs,
    run: RunArgs,
    layout: LayoutArgs,
    ops: OperatorArgs,
    ops16: OperatorArgs,
    fit: Coefficients,
    mixture: float,
) -> LayerTimes:
    """Time of a mean layer of a model that keeps some layers in 16 bit [s]; see :func:`layer_times`.

    Model:    training in 4 bit keeps a share of the layers (the first and the last ones) in 16 bit; layers are counted alike.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        ops, ops16: the operators of the chip at the dtype of the products and in 16 bit.
        fit: fitted coefficients.
        mixture: 1 for a mixture-of-experts layer, 0 for a dense one.

    Returns:
        The parts.

    Equation: (1 - w) t + w t_16, w the share in 16 bit.

    Validity: the layers in 16 bit are spread over the stages.

    Sources:  [nvfp4-2025] section 4.1.
    """
    narrow = layer_times(shape, run, layout, ops, fit, mixture)
    if run.wide_share <= 0.0:
        return narrow
    plain = RunArgs(
        run.seq, run.global_batch, run.param_bytes, run.grad_bytes, run.optimizer_bytes, run.reduce_bytes,
        run.element_bytes, run.element_bytes, 0.0, run.frozen, run.lora_rank, run.frozen_bytes,
        run.attention, run.fused, run.fused_loss, run.dropout, run.layer_kernels, run.launch_s,
        run.graphs, run.step_overhead_s, run.overlap_dp, run.overlap_tp, run.overlap_pp, run.selective_products,
        run.reserve_bytes, run.fragmentation, run.hbm_bytes, run.hbm_bytes_per_s, run.host_bytes_per_s, run.domain,
        run.attention_slowdown, run.capacity, run.whole_reduce, run.owner_s, run.loss_bytes, run.loss_tokens,
        run.overlap_ep, run.shard_calls, run.unpack_bytes, 1.0, run.waits, run.trained_ends,
        run.whole_init, run.dedup_ep, run.overlap_cp, run.overlap_cp_a2a, run.overlap_gather, 1.0,
        2.0, 0.0, 0.0, 0.0, run.saved_bytes,
    )  # fmt: skip
    fit16 = Coefficients(
        fit.gemm / fit.narrow, fit.attention, fit.memory, fit.tensor, fit.data, fit.expert, fit.pipeline,
        fit.hidden, fit.jitter, fit.launch, fit.quantize, fit.narrow,
    )  # fmt: skip
    wide = layer_times(shape, plain, layout, ops16, fit16, mixture)
    w, n = run.wide_share, 1.0 - run.wide_share
    return LayerTimes(
        n * narrow.gemm_forward + w * wide.gemm_forward,
        n * narrow.gemm_input + w * wide.gemm_input,
        n * narrow.gemm_weight + w * wide.gemm_weight,
        n * narrow.attention_forward + w * wide.attention_forward,
        n * narrow.attention_backward + w * wide.attention_backward,
        n * narrow.memory_forward + w * wide.memory_forward,
        n * narrow.memory_backward + w * wide.memory_backward,
        n * narrow.tensor_forward + w * wide.tensor_forward,
        n * narrow.tensor_backward + w * wide.tensor_backward,
        n * narrow.context_forward + w * wide.context_forward,
        n * narrow.context_backward + w * wide.context_backward,
        n * narrow.expert_forward + w * wide.expert_forward,
        n * narrow.expert_backward + w * wide.expert_backward,
        n * narrow.host_forward + w * wide.host_forward,
        n * narrow.host_backward + w * wide.host_backward,
        n * narrow.selective + w * wide.selective,
    )

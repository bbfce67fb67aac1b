"""Reads a Megatron-LM command line, or the script around it, as a training job."""

from __future__ import annotations

import re
import shlex
from difflib import get_close_matches
from typing import Any

from suanzhang.app.import_faults import unreadable
from suanzhang.errors import InputError
from suanzhang.spec.imports import ReadJob
from suanzhang.spec.layout import Recompute, TrainLayout
from suanzhang.spec.model import MlaSpec, ModelSpec, MoeSpec

_ASSIGNMENT = re.compile(
    r"^\s*(?:export\s+|readonly\s+|local\s+)?([A-Za-z_]\w*)=(\"[^\"]*\"|'[^']*'|[^\s;()]*)\s*(?:#.*)?$", re.M
)
_VARIABLE = re.compile(r"\$\{(\w+)(?::?[-?=][^}]*)?\}|\$(\w+)")
_DEFAULTED = re.compile(r"\$\{(\w+):?-([^}]*)\}")
_PRODUCT = re.compile(r"\$\(\(([^()$]*)\)\)")
_SIZES = {
    "nproc-per-node": "chips of a node", "nproc_per_node": "chips of a node", "gpus-per-node": "chips of a node",
    "nnodes": "nodes", "nodes": "nodes",
}  # fmt: skip
_WHOLE_LINE = "give the whole command line, with the shape of the model"
_POSITIVE = frozenset(
    """num-layers hidden-size num-attention-heads num-query-groups kv-channels ffn-hidden-size seq-length micro-batch-size
    tensor-model-parallel-size pipeline-model-parallel-size context-parallel-size expert-model-parallel-size
    expert-tensor-parallel-size num-virtual-stages-per-pipeline-rank num-distributed-optimizer-instances moe-router-topk
    moe-ffn-hidden-size qk-head-dim v-head-dim kv-lora-rank max-position-embeddings""".split()  # noqa: SIM905
)
_SILENT = frozenset(
    """mock-data tokenizer-type data-path vocab-file merge-file tokenizer-model split save load save-interval log-interval lr
    min-lr lr-decay-style lr-warmup-iters lr-warmup-fraction lr-decay-iters weight-decay adam-beta1 adam-beta2 clip-grad
    init-method-std attention-dropout hidden-dropout eval-interval eval-iters distributed-backend tensorboard-dir
    max-position-embeddings normalization position-embedding-type rotary-base use-mcore-models transformer-impl seed
    ckpt-format optimizer-offload-fraction use-precision-aware-optimizer moe-grouped-gemm moe-token-dispatcher-type
    group-query-attention node-rank node_rank
    master-addr master_addr master-port master_port job-name ntasks-per-node exclusive output no-masked-softmax-fusion
    use-flash-attn attention-softmax-in-fp32 distributed-timeout-minutes rdzv-endpoint rdzv-backend rdzv-id""".split()  # noqa: SIM905
)


def _number(expression: str) -> str:
    """The value of a product or sum of whole numbers, as a shell computes it."""
    if not re.fullmatch(r"[\d\s+*/-]+", expression):
        return expression
    words = re.findall(r"\d+|[+*/-]", expression)
    terms: list[int] = []
    sign, pending = 1, ""
    for word in words:
        if word in "+-":
            sign = 1 if word == "+" else -1
        elif word in "*/":
            pending = word
        elif pending and terms:
            if pending == "/" and int(word) == 0:
                return expression
            terms[-1] = terms[-1] * int(word) if pending == "*" else terms[-1] // int(word)
            pending = ""
        else:
            terms.append(sign * int(word))
            sign = 1
    return str(sum(terms))


def _substituted(text: str) -> str:
    """The text with variables that it assigns itself put in, as far as that is plain."""
    known: dict[str, str] = {}
    for name, value in _ASSIGNMENT.findall(text):
        known[name] = _expand(value.strip("\"'"), known)
    return _expand(text, known)


def _expand(text: str, known: dict[str, str]) -> str:
    text = _DEFAULTED.sub(lambda m: known.get(m[1], m[2]), text)
    text = _VARIABLE.sub(lambda m: known.get(m[1] or m[2], m[0]), text)
    return _PRODUCT.sub(lambda m: _number(m[1]), text)


def arguments(text: str) -> dict[str, str]:
    """``--name value`` pairs of a command line or script; flags are empty, the last of several wins."""
    plain = "\n".join(
        line.replace("#SBATCH", " ") if line.lstrip().startswith("#SBATCH") else line for line in text.splitlines()
    )
    joined = _substituted(plain.replace("\\\n", " "))
    joined = re.sub(r"(?m)^\s*#.*$", " ", joined)
    try:
        words = shlex.split(joined, comments=True)
    except ValueError:
        words = joined.split()
    found: dict[str, str] = {}
    for at, word in enumerate(words):
        if not word.startswith("--") or len(word) < 3:
            continue
        name, equals, value = word[2:].partition("=")
        after = words[at + 1] if at + 1 < len(words) else ""
        takes = not after.startswith("--") and after not in ("", ")", "\\") and not re.match(r"^[A-Za-z_]\w*=\(?", after)
        found[name] = value if equals else after.rstrip(")") if takes else ""
    return found


class _Given:
    """Arguments that remember which of them were looked at."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values
        self.seen: set[str] = set()
        self.faults: list[InputError] = []

    def flag(self, name: str) -> bool:
        self.seen.add(name)
        return name in self.values

    def text(self, name: str, default: str = "") -> str:
        self.seen.add(name)
        return self.values.get(name, "") or default

    def whole(self, name: str, default: int = 0, *, needed: bool = False) -> int:
        self.seen.add(name)
        given = self.values.get(name, "")
        if not given:
            return self._fault(f"the file does not say --{name}", _WHOLE_LINE) if needed else default
        if not given.isdigit():
            return self._fault(f"--{name}: cannot read {given!r} as a whole number", "write the number into the file")
        if int(given) == 0 and name in _POSITIVE:
            return self._fault(f"--{name}: 0 cannot be", "write a number from 1 on")
        return int(given)

    def _fault(self, message: str, fix: str) -> int:
        """Remember what is wrong, and go on to find the rest."""
        if message not in [fault.message for fault in self.faults]:
            self.faults.append(InputError(message, fix=fix))
        return 1

    @property
    def misspelt(self) -> tuple[tuple[str, str], ...]:
        """Names that are not read, each with the name that is read, is not given, and is spelt nearly the same."""
        absent = [name for name in self.seen if name not in self.values]
        pairs = [(name[2:], get_close_matches(name[2:].replace("_", "-"), absent, n=1, cutoff=0.88)) for name in self.unread]
        return tuple((f"--{name}", f"--{near[0]}") for name, near in pairs if near)

    @property
    def unread(self) -> tuple[str, ...]:
        return tuple(f"--{name}" for name in self.values if name not in self.seen | _SILENT | set(_SIZES))


def _pattern(text: str, layers: int) -> list[int]:
    """Which layers are mixtures: Megatron's number or list expression as ones and zeros."""
    if text.isdigit():
        every = max(1, int(text))
        return [1 if index % every == 0 else 0 for index in range(layers)]
    found: list[int] = []
    for numbers, times in re.findall(r"\[([01,\s]+)\](?:\*(\d+))?", text):
        found += [int(one) for one in re.findall(r"[01]", numbers)] * int(times or 1)
    return found


def _moe(given: _Given, layers: int, ffn: int) -> MoeSpec | None:
    experts = given.whole("num-experts")
    if not experts:
        return None
    frequency = given.text("moe-layer-freq", "1")
    pattern = _pattern(frequency, layers)
    dense = pattern.index(1) if not frequency.isdigit() and 1 in pattern else 0
    rest = pattern[dense:]
    every = int(frequency) if frequency.isdigit() else max(1, round(len(rest) / max(1, sum(rest))))
    inner = given.whole("moe-ffn-hidden-size", ffn)
    shared = given.whole("moe-shared-expert-intermediate-size")
    count = max(1, round(shared / inner)) if shared else 0
    return MoeSpec(experts, given.whole("moe-router-topk", 2), inner, count, shared, dense, every)


def _mla(given: _Given) -> MlaSpec | None:
    if not given.flag("multi-latent-attention"):
        return None
    return MlaSpec(
        given.whole("q-lora-rank"), given.whole("kv-lora-rank", 32), given.whole("qk-head-dim", 128),
        given.whole("qk-pos-emb-head-dim", 64), given.whole("v-head-dim", 128),
    )  # fmt: skip


def _model(given: _Given, assumed: list[str]) -> ModelSpec:
    layers, hidden = given.whole("num-layers", needed=True), given.whole("hidden-size", needed=True)
    heads = given.whole("num-attention-heads", needed=True)
    gated = given.flag("swiglu")
    usual = int(4 * hidden * 2 / 3 / 64) * 64 if gated else 4 * hidden
    ffn = given.whole("ffn-hidden-size", usual)
    grouped = given.flag("group-query-attention")
    vocab = given.whole("padded-vocab-size") or given.whole("vocab-size")
    if not vocab:
        vocab = 50304
        assumed.append("vocabulary assumed: 50,304 tokens, that of GPT-2 padded (--vocab-size says otherwise)")
    latent = _mla(given)
    head = latent.nope_dim + latent.rope_dim if latent else given.whole("kv-channels", hidden // heads)
    plain_bias = not given.flag("disable-bias-linear")
    return ModelSpec(
        id="imported",
        name="the imported model",
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=given.whole("num-query-groups", 1) if grouped else heads,
        head_dim=head,
        ffn=ffn,
        gated_mlp=gated,
        vocab=vocab,
        tied_embeddings=not given.flag("untie-embeddings-and-output-weights"),
        max_seq=given.whole("max-position-embeddings", given.whole("seq-length", 2048)),
        learned_positions=given.text("position-embedding-type", "learned_absolute") == "learned_absolute",
        qkv_bias=plain_bias or given.flag("add-qkv-bias"),
        mlp_bias=plain_bias,
        moe=_moe(given, layers, ffn),
        mla=latent,
        mtp_layers=given.whole("mtp-num-layers"),
    )


def _recompute(given: _Given) -> tuple[Recompute, int]:
    layers = given.whole("recompute-num-layers")
    granularity = given.text("recompute-granularity")
    method = given.text("recompute-method")
    if granularity == "full":
        return "full", layers if method == "block" else 0
    if granularity == "selective" or given.flag("recompute-activations"):
        return "selective", 0
    return "none", 0


def _zero(given: _Given) -> int:
    optimizer = given.flag("use-distributed-optimizer")
    strategy = given.text("data-parallel-sharding-strategy", "no_shard")
    if given.flag("use-megatron-fsdp") or given.flag("use-custom-fsdp"):
        return {"no_shard": 0, "optim": 1, "optim_grads": 2, "optim_grads_params": 3}.get(strategy, 0)
    if given.flag("use-torch-fsdp2"):
        return 3
    return 1 if optimizer else 0


def _stages(cut: str) -> int:
    """Stages and chunks of Megatron's own notation, such as ``Et*3|(tt|)*4,mL``."""
    text = cut.replace(",", "")
    for pattern in (r"\(([^)]+)\)\*(\d{1,4})", r"(.)\*(\d{1,4})"):
        text = re.sub(pattern, lambda found: found.group(1) * int(found.group(2)), text)
    return text.count("|") + 1


def _layout(given: _Given, model: ModelSpec, assumed: list[str]) -> TrainLayout:
    pp = given.whole("pipeline-model-parallel-size", 1)
    vpp = given.whole("num-virtual-stages-per-pipeline-rank", 1)
    chunk = given.whole("num-layers-per-virtual-pipeline-stage")
    if chunk:
        vpp = max(1, model.layers // (pp * chunk))
    cut = given.text("pipeline-model-parallel-layout")
    if cut:
        vpp = max(1, _stages(cut) // pp)
        assumed.append("layers of the stages: spread as evenly as they go, not as the file says")
    recompute, layers = _recompute(given)
    zero = _zero(given)
    tp = given.whole("tensor-model-parallel-size", 1)
    values: dict[str, Any] = {
        "tp": tp, "pp": pp, "dp": 0, "cp": given.whole("context-parallel-size", 1), "vpp": vpp,
        "cp_kind": "a2a" if given.text("cp-comm-type") == "a2a" else "ring",
        "ep": given.whole("expert-model-parallel-size", 1), "etp": given.whole("expert-tensor-parallel-size"),
        "sp": given.flag("sequence-parallel") or tp == 1, "zero_stage": zero, "micro_batch": given.whole("micro-batch-size", 1),
        "recompute": recompute, "recompute_layers": layers * vpp if recompute == "full" else 0,
        "schedule": "interleaved" if vpp > 1 else "1f1b",
        "overlap_dp": given.flag("overlap-grad-reduce"), "overlap_tp": given.flag("tp-comm-overlap"),
        "offload_optimizer": given.flag("optimizer-cpu-offload"),
    }  # fmt: skip
    given.flag("overlap-param-gather")
    return TrainLayout(**values)


def _routing(given: _Given, assumed: list[str]) -> str:
    """How tokens reach experts, in the words of ``train``."""
    factor, padded = given.text("moe-expert-capacity-factor"), given.flag("moe-pad-expert-input-to-capacity")
    if not factor:
        return ""
    try:
        capacity = float(factor)
    except ValueError:
        raise InputError(f"--moe-expert-capacity-factor: cannot read {factor!r}", fix="write a number such as 1.25") from None
    if capacity <= 0.0:
        return ""
    assumed.append("tokens spread evenly over the experts: what a capacity drops is not seen")
    return f"capacity={capacity:.17g}{',pad' if padded else ''}"


def _precision(given: _Given) -> str:
    recipe = given.text("fp8-recipe")
    given.text("fp4-recipe")
    if given.text("fp4-format"):
        return "nvfp4"
    if given.text("fp8-format"):
        return {"blockwise": "fp8-block", "mxfp8": "mxfp8"}.get(recipe, "fp8")
    given.flag("bf16")
    given.flag("fp16")
    return "bf16" if "bf16" in given.values else "fp16" if "fp16" in given.values else "fp32"


def _started(given: _Given, what: str) -> int:
    """How many of something the file starts; 0 when it does not say."""
    names = [name for name, meaning in _SIZES.items() if meaning == what and given.values.get(name, "").isdigit()]
    return given.whole(names[0]) if names else 0


def _clashes(given: _Given, model: ModelSpec, layout: TrainLayout) -> list[tuple[str, str]]:
    """What of the command line contradicts itself, or does nothing beside the rest of it, each with what to change."""
    chunk = given.whole("num-layers-per-virtual-pipeline-stage")
    full = given.text("recompute-granularity") == "full"
    pairs = (
        (given.flag("bf16") and given.flag("fp16"), "--bf16 and --fp16 exclude each other: read as bf16", "keep one"),
        (given.flag("sequence-parallel") and layout.tp == 1, "--sequence-parallel without tensor ranks does nothing",
         "raise --tensor-model-parallel-size, or leave it out"),
        (given.flag("tp-comm-overlap") and not given.flag("sequence-parallel"),
         "--tp-comm-overlap needs --sequence-parallel", "add --sequence-parallel"),
        (given.flag("overlap-param-gather") and not layout.zero_stage,
         "--overlap-param-gather needs --use-distributed-optimizer", "add --use-distributed-optimizer"),
        (given.flag("recompute-num-layers") and not full, "--recompute-num-layers without full recompute does nothing",
         "add --recompute-granularity full, or leave it out"),
        (full and not given.text("recompute-method"), "--recompute-granularity full needs --recompute-method",
         "add --recompute-method uniform --recompute-num-layers 1"),
        (full and given.flag("recompute-activations"), "--recompute-activations asks for selective recompute beside full",
         "keep one"),
        (bool(chunk) and model.layers % (layout.pp * max(chunk, 1)) != 0,
         f"{model.layers} layers do not divide into chunks of {chunk} on {layout.pp} stages", "choose sizes that divide"),
        (bool(chunk) and given.flag("num-virtual-stages-per-pipeline-rank"),
         "the chunks of a stage are said twice", "keep one of the two arguments"),
        (given.flag("num-query-groups") and not given.flag("group-query-attention"),
         "--num-query-groups without --group-query-attention does nothing", "add --group-query-attention"),
        (layout.ep > 1 and model.moe is None, "expert ranks for a model without experts",
         "leave --expert-model-parallel-size out"),
        (given.flag("train-iters") and given.flag("train-samples"), "--train-iters and --train-samples exclude each other",
         "keep one"),
    )  # fmt: skip
    return [(text, change) for wrong, text, change in pairs if wrong]


def read_megatron(text: str) -> ReadJob:
    """A Megatron-LM command line or the shell or Slurm script around it.

    Raises:
        InputError: the shape of the model is missing, or sizes are no numbers; all of it at once.
    """
    given = _Given(arguments(text))
    try:
        job = _read(given)
    except InputError as error:
        given.faults.append(error)
    if given.faults:
        raise unreadable(given.faults)
    return job


def _read(given: _Given) -> ReadJob:
    assumed: list[str] = []
    seq = given.whole("seq-length", needed=True)
    model = _model(given, assumed)
    layout = _layout(given, model, assumed)
    node, nodes = _started(given, "chips of a node"), _started(given, "nodes")
    batch = given.whole("global-batch-size")
    samples = given.whole("train-samples")
    steps = given.whole("train-iters") or (samples // batch if samples and batch else 0)
    optimizer = given.text("optimizer", "adam")
    precision = _precision(given)
    copies = given.whole("num-distributed-optimizer-instances", 1)
    routing = _routing(given, assumed) if model.moe else ""
    clashes = _clashes(given, model, layout)
    if optimizer not in ("adam", "sgd", "muon"):
        assumed.append(f"--optimizer {optimizer} is not known here: counted as adam")
    return ReadJob(
        kind="megatron", model=model, layout=layout, seq_len=seq, global_batch=batch, local_batch=layout.micro_batch,
        steps=steps, precision=precision, optimizer=optimizer if optimizer in ("adam", "sgd", "muon") else "adam",
        chips=node * (nodes or 1), assumed=tuple(assumed), unread=given.unread, copies=copies, routing=routing,
        misspelt=given.misspelt, clashes=tuple(clashes),
    )  # fmt: skip

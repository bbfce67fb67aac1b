"""What can be asked over HTTP, and how a body becomes a call. Bodies are read with the care of question files."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

import suanzhang
from suanzhang.app.question import input_error, question_from
from suanzhang.app.question_schema import CountOrZero, Duration
from suanzhang.app.yamlfile import Document, parse_document
from suanzhang.errors import InputError
from suanzhang.spec.question import Question

MAX_BODY_BYTES = 1 << 18


class _Body(BaseModel):
    """Base of all bodies: a key that is not listed is an error."""

    model_config = ConfigDict(extra="forbid")


class TrainBody(_Body):
    """A training: the arguments of ``suanzhang.train``."""

    model: str = Field(description="Catalog id or alias of the model.")
    tokens: float | str = Field(description="Tokens to train on, such as 300B.")
    chips: str = Field(description="CHIP:N, or several kinds CHIP:N,CHIP:N of which the best is taken.")
    layout: str | None = Field(None, description="Such as tp=8,pp=8; searched when left out.")
    global_batch: int | None = Field(None, ge=1, le=1 << 24, description="Sequences of one optimizer step.")
    seq_len: int | None = Field(None, ge=1, le=1 << 24, description="Tokens of one sequence.")
    precision: str | None = Field(None, description="Matrix arithmetic: bf16, fp16, fp8, ...")
    stack: str | None = Field(None, description="Generation of software.")
    optimizer: str | None = Field(None, description="adam, adam8bit, adafactor, muon or sgd.")
    deadline_s: Duration | None = Field(None, description="Longest duration allowed, in seconds or such as 60 d.")
    objective: str | None = Field(None, description="time, cost, energy or chips: what to make small.")
    price_per_chip_h: CountOrZero | None = Field(None, description="Price of one chip for one hour.")
    currency: str | None = Field(None, description="Currency of the price.")
    budget: CountOrZero | None = Field(None, description="Most money for chip-hours.")
    max_chips: int | None = Field(None, ge=0, le=10_000_000, description="Search over counts of chips up to this.")
    gang: str | None = Field(None, description="Take chips in whole nodes (NODE), or in multiples of a number.")
    offload: bool | None = Field(None, description="Let optimizer states and activations live in host memory.")
    start: str | None = Field(None, description="Month of the start, such as 2023-05.")
    within: str | None = Field(None, description="What a search keeps of a layout: tp=8,schedule=1f1b|zero-bubble.")
    fit_confidence: float | None = Field(None, ge=0, lt=1, description="Share of cases in which a searched layout must fit.")
    overlap: str | None = Field(None, description="Share of dp, tp, pp, cp, ep traffic that may hide: dp=0.5,tp=off.")
    routing: str | None = Field(None, description="Tokens to experts: dropless, or capacity=1.25,pad; with imbalance=1.3.")
    seed: int | None = Field(None, ge=0, le=2**31 - 1, description="Printed in the header; nothing here is random.")


class ServeBody(_Body):
    """A service: the arguments of ``suanzhang.serve``."""

    model: str = Field(description="Catalog id or alias of the model.")
    chip: str = Field(description="Catalog id or alias of the chip.")
    isl: float | None = Field(None, gt=0, le=1e8, description="Tokens of a prompt, mean.")
    osl: float | None = Field(None, gt=0, le=1e8, description="Tokens of an answer, mean.")
    isl_p95: float | None = Field(None, gt=0, le=1e8, description="95th percentile of a prompt; all equal when left out.")
    osl_p95: float | None = Field(None, gt=0, le=1e8, description="95th percentile of an answer; all equal when left out.")
    rate: float | None = Field(None, gt=0, le=1e12, description="Requests per second.")
    concurrency: float | None = Field(None, gt=0, le=1e9, description="Requests in the system at any time.")
    visits_per_day: float | None = Field(None, gt=0, le=1e15, description="Requests of one day.")
    weight_dtype: str | None = Field(None, description="Format of the weights, such as fp8.")
    kv_dtype: str | None = Field(None, description="Format of the cache.")
    peak_to_mean: float | None = Field(None, ge=1, le=1000, description="Peak of the day over its mean.")
    draft_tokens: int | None = Field(None, ge=0, le=64, description="Drafted per round of decoding.")
    acceptance: float | None = Field(None, ge=0, le=1, description="Chance that a drafted token is accepted.")
    prefix_share: float | None = Field(None, ge=0, lt=1, description="Share of each prompt found in the cache.")
    offloaded: float | None = Field(None, ge=0, le=1, description="Share of that which lies in host memory.")
    simulated_requests: int | None = Field(None, ge=0, le=200_000, description="Requests to simulate; 0 for formulas alone.")
    layout: str | None = Field(None, description="Such as tp=8; searched when left out.")
    stack: str | None = Field(None, description="Generation of the engine.")
    ttft_p99_s: Duration | None = Field(None, description="99th percentile of the time to the first token.")
    tpot_p99_s: Duration | None = Field(None, description="99th percentile of the time per further token.")
    seed: int | None = Field(None, ge=0, le=2**31 - 1, description="Seed of everything random.")


PLAIN = ("backtest", "goodput", "post_train", "scaling", "serve_kinds", "simulate", "train_mixed", "variants")
"""Further verbs whose arguments are names and numbers; their bodies are made from their signatures."""
ASKED = ("improve", "serve_share", "serve_units")
"""Verbs that take a question, with names and numbers beside it."""
FOLLOWED = ("cite", "explain", "replay", "sensitivity")
"""Verbs that take a result."""
LAUNCHED = ("launch_train", "launch_serve")
"""Verbs that write the files which start a plan; here their text is the answer."""
SENT: Mapping[str, str] = {"compare_benchmark": "file", "compare_measured": "path", "examine": "file", "validate": "truth"}
"""Verbs that read a file, by the argument that names it: here the text of the file takes the place of its name."""
_NOT_SENT = frozenset(("progress", "workers", "folder", "profiles", "requests_file"))
_NAMED = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$"
MAX_RESULT_BYTES = 1 << 23


@cache
def body_of(verb: str) -> type[_Body]:
    """The body of a verb from the signature of its function."""
    if verb in LAUNCHED:
        return _launch_body(verb)
    function = inspect.unwrap(getattr(suanzhang, verb))
    hints = get_type_hints(function, localns={"Any": Any})
    fields: dict[str, Any] = {}
    for name, found in inspect.signature(function).parameters.items():
        if name in _NOT_SENT or (verb in SENT and name == "truth" != SENT[verb]):
            continue
        if name == SENT.get(verb):
            needed = found.default is inspect.Parameter.empty
            text: Any = str if needed else str | None
            fields[name] = (text, Field(*(() if needed else (None,)), description="The text of the file."))
            fields["name"] = (str | None, Field(None, pattern=_NAMED, description="Name of the file, such as job.toml."))
            continue
        if name == "question":
            fields[name] = (dict[str, Any], Field(description="The keys of a question file."))
            continue
        kind = _plain_kind(hints[name])
        if found.default is inspect.Parameter.empty:
            fields[name] = (kind, Field())
        else:
            fields[name] = (kind | None, Field(None, description=f"{found.default!r} when left out."))
    title = "".join(part.title() for part in verb.split("_")) + "Body"
    made: type[_Body] = create_model(title, __base__=_Body, __doc__=f"The arguments of ``suanzhang.{verb}``.", **fields)
    return made


def _launch_body(verb: str) -> type[_Body]:
    """The arguments of the plan, and the tool whose files are wanted."""
    base: type[_Body] = TrainBody if verb == "launch_train" else ServeBody
    target = (str, Field(description="Tool that starts the plan, such as megatron, torchtitan, slurm or vllm."))
    made: type[_Body] = create_model(
        "".join(part.title() for part in verb.split("_")) + "Body", __base__=base,
        __doc__=f"The arguments of ``suanzhang.{verb}``.", target=target,
    )  # type: ignore[call-overload]  # fmt: skip
    return made


def _plain_kind(hint: Any) -> Any:
    """The plain types among those that an argument takes: what a body can hold."""
    kinds = [kind for kind in (get_args(hint) or (hint,)) if kind in (str, int, float, bool)]
    found: Any = kinds[0]
    for kind in kinds[1:]:
        found = found | kind
    return found


def result_of(raw: bytes, verb: str) -> dict[str, Any]:
    """The result in a body, and what is asked of it.

    Raises:
        InputError: it is too large, no JSON map, or names files of the server.
    """
    further = [name for name in inspect.signature(getattr(suanzhang, verb)).parameters if name not in ("result", *_NOT_SENT)]
    return _results_in(raw, ("result",), further)


def two_results(raw: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two results in a body.

    Raises:
        InputError: as :func:`result_of`.
    """
    body = _results_in(raw, ("before", "after"), ())
    return body["before"], body["after"]


def _results_in(raw: bytes, names: Sequence[str], further: Sequence[str]) -> dict[str, Any]:
    """A body that holds results by name, and further keys."""
    shape = ", ".join(f'"{name}": {{...}}' for name in names)
    if len(raw) > MAX_RESULT_BYTES:
        raise InputError(f"body: larger than {MAX_RESULT_BYTES >> 20} MiB", fix="send a smaller result")
    try:
        read = json.loads(raw)
    except (ValueError, RecursionError):
        raise InputError("body: is no JSON", fix=f"send {{{shape}}}") from None
    body: dict[str, Any] = read if isinstance(read, dict) else {}
    for name in names:
        if not isinstance(body.get(name), dict):
            what = "result" if name == "result" else f"result under {name!r}"
            raise InputError(f"body: holds no {what}", fix=f"send {{{shape}}} with what a verb answered")
    for key in body:
        if key not in (*names, *further):
            known = ", ".join((*names, *further))
            raise InputError(f"body: unknown key {key!r}", fix=f"it takes {known}")
    for name in names:
        _no_files(body[name], f"body.{name}", f"body.{name}.inputs.")
    return body


_FILES = frozenset(
    ("truth", "folder", "profiles", "offers", "have", "actuals", "focus", "resume", "replan", "file", "path", "paths", "runs",
     "calibration", "before", "after", "result")
)  # fmt: skip
"""Arguments that name a file or folder, to read or to write."""


def _no_files(value: Any, where: str, asked: str) -> None:
    """Refuse a result that would make the server read or write files of its own: files travel with their content."""
    if isinstance(value, Mapping):
        if where.startswith(asked) and "file" in value and "content" not in value:
            raise InputError(f"{where}: holds the name of a file without its content", fix="ask the command line")
        for key, item in value.items():
            _no_files(item, f"{where}.{key}", asked)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _no_files(item, f"{where}[{number}]", asked)
    elif isinstance(value, str) and where.startswith(asked):
        name = where.removeprefix(asked).partition("[")[0]
        if name in _FILES or (name == "question" and "\n" not in value and not value.lstrip().startswith("{")):
            raise InputError(
                f"{where}: names a file of the server, which neither reads nor writes any", fix="ask the command line"
            )
        refuse_path(where, value)


def document_of(raw: bytes) -> Document:
    """The map in a body of JSON or YAML.

    Raises:
        InputError: it is too large, or no such text.
    """
    document = parse_document(raw, "body")
    if not isinstance(document.value, Mapping):
        raise InputError("body: is not a map of keys", fix='send for example {"model": "gpt3-175b", ...}')
    for where, text in _texts(document.value, "body"):
        refuse_path(where, text)
    return document


def arguments(raw: bytes, kind: type[_Body]) -> dict[str, Any]:
    """The arguments in a body, those that were not given left out.

    Raises:
        InputError: a key or value cannot be used; names the nearest key.
    """
    document = document_of(raw)
    try:
        body = kind.model_validate(document.value)
    except ValidationError as error:
        raise input_error(error, document, kind) from None
    return body.model_dump(exclude_none=True)


def sent_file(raw: bytes, verb: str) -> tuple[dict[str, Any], str | None, str]:
    """The arguments in a body, the text of its file and the name of that.

    Raises:
        InputError: as :func:`arguments`.
    """
    try:
        body = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        raise InputError("body: is no JSON", fix=f'send {{"{SENT[verb]}": "the text of the file"}}') from None
    text = body.get(SENT[verb]) if isinstance(body, dict) else None
    if isinstance(text, str):
        body = {**body, SENT[verb]: "sent"}  # the text itself may be larger than what a question holds
    named = arguments(json.dumps(body).encode(), body_of(verb))
    named.pop(SENT[verb], None)
    return named, text, named.pop("name", None) or _usual_name(text or "")


def _usual_name(text: str) -> str:
    """What a file of such a text is called."""
    if text.lstrip()[:1] == "{":
        return "body.jsonl" if "\n{" in text.strip() else "body.json"
    return "body.toml" if text.lstrip()[:1] == "[" else "body.sh"


def question(raw: bytes) -> Question:
    """The question in a body.

    Raises:
        InputError: a key or value cannot be used.
    """
    return question_from(document_of(raw).value, "body")


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, f"{where}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, f"{where}[{number}]")
    elif isinstance(value, str):
        yield where, value


def refuse_path(where: str, text: str) -> None:
    """Refuse a path where a name is expected: a server reads no file because a caller names it."""
    key = where.rsplit(".", 1)[-1]
    if ",profile=" in text:  # kernels of a stack, whatever the key is called that names it
        raise InputError(f"{where}: {text[:60]!r} names a file, and the server reads none", fix="name an entry of the catalog")
    if key not in ("model", "chip", "chips", "stack", "trace", "id", "market", "site"):
        return
    if (
        text.lower().endswith((".json", ".jsonl", ".csv", ".yaml", ".parquet"))
        or text.startswith(("/", ".", "~"))
        or "\\" in text
    ):
        raise InputError(f"{where}: {text[:60]!r} is a path, and the server reads no files", fix="name an entry of the catalog")

"""The shape of the question file: every key with what it means, and how its text is read."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator, model_validator
from pydantic_core import PydanticCustomError

from suanzhang.app.price_paths import PRICE_TABLE, read_path
from suanzhang.errors import InputError
from suanzhang.spec.job import Redundancy
from suanzhang.spec.market import ExportState, OfferKind
from suanzhang.spec.question import HoldingKind
from suanzhang.spec.result import Z95
from suanzhang.units import DAY_S, Dimension, parse_quantity

_MONTH = re.compile(r"(19|20|21)\d\d-(0[1-9]|1[0-2])$")
_NAME = re.compile(r"[^\x00-\x1f]{1,200}$")
_LARGEST = 1e24


def _refuse(message: str, fix: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{message}", {"message": message, "fix": fix})


def _quantity(dimension: Dimension, low: float, high: float, *, open_low: bool) -> Any:
    def read(value: Any) -> Any:
        if value is None:
            return None
        try:
            number = parse_quantity(value, dimension, "")
        except InputError as error:
            raise _refuse(error.message.removeprefix(": "), error.fix) from None
        if number < low or (open_low and number == low):
            raise _refuse(
                f"{value!r} is too small", f"give {'more than' if open_low else 'at least'} {low:g}{_SI_UNIT[dimension]}"
            )
        if number > high:
            raise _refuse(f"{str(value)[:40]!r} is too large", f"give at most {high:g}{_SI_UNIT[dimension]}")
        return number

    return BeforeValidator(read)


_SI_UNIT: dict[Dimension, str] = {"time": " s", "power": " W", "energy": " J", "bytes": " bytes"}
_SI_UNIT = {**dict.fromkeys(("count", "fraction", "flop"), ""), **_SI_UNIT}


def _written(example: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "examples": [example]})


Count = Annotated[float, _quantity("count", 0.0, _LARGEST, open_low=True), _written("300B")]
CountOrZero = Annotated[float, _quantity("count", 0.0, _LARGEST, open_low=False), _written("1e9")]
Price = Annotated[float, _quantity("count", 0.0, 1e12, open_low=False), _written("0.65")]
Duration = Annotated[float, _quantity("time", 0.0, 1e11, open_low=True), _written("60 d")]
DurationOrZero = Annotated[float, _quantity("time", 0.0, 1e11, open_low=False), _written("60 d")]
Power = Annotated[float, _quantity("power", 0.0, 1e13, open_low=True), _written("60 MW")]
Share = Annotated[float, _quantity("fraction", 0.0, 1.0, open_low=False), _written("5%")]
Confidence = Annotated[float, _quantity("fraction", 0.0, 0.99, open_low=False), _written("90%")]
Growth = Annotated[float, _quantity("fraction", -0.99, 10.0, open_low=False), _written("5%")]
Spread = Annotated[float, _quantity("fraction", 0.0, 3.0, open_low=False), _written("30%")]
Ratio = Annotated[float, _quantity("fraction", 1.0, 1000.0, open_low=False), _written("2")]


def _whole(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _refuse(f"expected a whole number, got {str(value)[:40]!r}", "write for example 1024")
    try:
        number = parse_quantity(value, "count", "")
    except InputError as error:
        raise _refuse(error.message.removeprefix(": "), error.fix) from None
    if number != math.floor(number) or abs(number) > 1e15:
        raise _refuse(f"{str(value)[:40]!r} is no whole number that can be used", "write for example 1024")
    return int(number)


def _month(value: Any) -> Any:
    if not isinstance(value, str) or not _MONTH.match(value):
        raise _refuse(f"{str(value)[:40]!r} is no month", "write it as 2023-05")
    return value


def _name(value: Any) -> Any:
    text = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _NAME.match(text):
        raise _refuse(f"expected a name, got {str(value)[:40]!r}", "write a word, at most 200 characters on one line")
    return text


def _currency(value: Any) -> Any:
    if not isinstance(value, str) or not re.match(r"[A-Z]{3}$", value):
        raise _refuse(f"{str(value)[:40]!r} is no currency", "write its three letters, such as CNY or USD")
    return value


def _size(value: Any) -> Any:
    if value is None:
        return None
    number = _whole(value)
    if not 1 <= number <= 1 << 24:
        raise _refuse(
            f"{str(value)[:40]!r} is too {'small' if number < 1 else 'large'}",
            f"give a whole number from 1 to {1 << 24:,}, or leave the key out for the usual size",
        )
    return number


_HIDES = {"on": 1.0, "off": 0.0, "yes": 1.0, "no": 0.0, "true": 1.0, "false": 0.0}


def _hidden(value: Any) -> Any:
    if value is None:
        return None
    word = str(value).strip().lower()
    if word in _HIDES:
        return _HIDES[word]
    try:
        share = parse_quantity(value, "fraction", "")
    except InputError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise _refuse(f"{str(value)[:40]!r} is no share of traffic", "write on, off or a number from 0 to 1")
    return share


_TEXT = {"type": "string"}
Whole = Annotated[int, BeforeValidator(_whole), WithJsonSchema({"type": "integer"})]
Size = Annotated[int, BeforeValidator(_size), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 1 << 24})]
Hidden = Annotated[
    float,
    BeforeValidator(_hidden),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"enum": ["on", "off"]}, {"type": "boolean"}]}),
]
Month = Annotated[str, BeforeValidator(_month), WithJsonSchema({**_TEXT, "pattern": _MONTH.pattern, "examples": ["2023-05"]})]
Name = Annotated[str, BeforeValidator(_name), WithJsonSchema(_TEXT)]
Currency = Annotated[str, BeforeValidator(_currency), WithJsonSchema({**_TEXT, "examples": ["CNY"]})]


class _Part(BaseModel):
    """Base of all parts: a key that is not listed is an error."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class LengthModel(_Part):
    """Token counts of requests: a number, or a distribution with its mean and 95th percentile."""

    dist: Literal["fixed", "lognormal", "uniform"] = Field(
        "fixed", description="Shape; of the two lognormals with this mean and p95 the narrower one is taken."
    )
    mean: Count = Field(description="Mean number of tokens.")
    p95: Count | None = Field(None, description="95th percentile of the number of tokens; needed unless fixed.")

    @model_validator(mode="after")
    def _possible(self) -> LengthModel:
        if self.mean > 1e8 or (self.p95 or 0.0) > 1e9:
            raise _refuse(f"a mean of {self.mean:g} tokens in one request", "write tokens per request, such as 300")
        if self.dist == "fixed":
            if self.p95 is not None and self.p95 != self.mean:
                raise _refuse("a fixed length has no p95 of its own", "leave p95 out, or write dist: lognormal")
            return self
        if self.p95 is None:
            raise _refuse(f"a {self.dist} length needs p95", "add p95, or write dist: fixed")
        if self.p95 < self.mean:
            raise _refuse(f"p95 {self.p95:g} is below the mean {self.mean:g}", "give a p95 above the mean")
        top = math.exp(0.5 * Z95**2) if self.dist == "lognormal" else 1.9
        if self.p95 > top * self.mean:
            raise _refuse(
                f"no {self.dist} distribution has a p95 of {self.p95 / self.mean:.2f} times its mean",
                f"give a p95 of at most {top:.2f} times the mean",
            )
        return self


def _length(value: Any) -> Any:
    return value if isinstance(value, dict) else {"mean": value}


Length = Annotated[LengthModel, BeforeValidator(_length)]


class TokensModel(_Part):
    """Lengths of the prompts and of the answers."""

    input: Length = Field(description="Tokens of a prompt.")
    output: Length = Field(description="Tokens of an answer.")


class LoadModel(_Part):
    """How the request rate moves."""

    shape: Literal["flat", "diurnal"] = Field("flat", description="Over the day: flat, or a sinusoid (diurnal).")
    peak_to_mean: Ratio = Field(1.0, description="Peak rate over mean rate.")
    growth_per_month: Growth = Field(0.0, description="Fraction by which the mean rate grows each month.")
    peak_hour: float = Field(
        12.0,
        ge=0.0,
        le=24.0,
        description="Hour of the day at which a diurnal load peaks; it matters to tariffs by hour.",
    )
    growth_sigma_per_year: Spread = Field(
        0.0, description="Spread of the logarithm of the mean rate after a year, round its growth, over futures."
    )

    @model_validator(mode="after")
    def _flat_has_no_peak(self) -> LoadModel:
        if self.shape == "flat" and self.peak_to_mean != 1.0:
            raise _refuse("a flat load has no peak above its mean", "write shape: diurnal, or leave peak_to_mean out")
        if self.shape == "diurnal" and self.peak_to_mean > 2.0:
            raise _refuse(f"a sinusoid over the day cannot peak at {self.peak_to_mean:g} times its mean", "give at most 2")
        return self


class SloModel(_Part):
    """Latency targets over requests; a target that is left out is none."""

    ttft_p50: Duration | None = Field(None, description="Median time from arrival to the first token.")
    ttft_p99: Duration | None = Field(None, description="99th percentile of the time from arrival to the first token.")
    tpot_p50: Duration | None = Field(None, description="Median time per further token of a request.")
    tpot_p99: Duration | None = Field(None, description="99th percentile of the time per further token of a request.")
    e2e_p99: Duration | None = Field(None, description="99th percentile of the time from arrival to the last token.")


def read_redundancy(value: Any) -> Redundancy:
    """Spare replicas from text such as ``n``, ``n+1``, ``n+10%``, ``n+1+10%``."""
    if isinstance(value, Redundancy):
        return value
    text = str(value).replace(" ", "").lower()
    match = re.match(r"n((?:\+\d{1,6})?)((?:\+\d{1,3}(?:\.\d+)?%)?)$", text)
    if isinstance(value, bool) or match is None:
        raise _refuse(f"cannot read {str(value)[:40]!r} as spare replicas", "write n, n+1 or n+10%")
    return Redundancy(int(match.group(1) or 0), float(match.group(2).strip("+%") or 0.0) / 100.0)


Spares = Annotated[
    Redundancy,
    BeforeValidator(read_redundancy),
    WithJsonSchema({**_TEXT, "pattern": r"^n(\+\d+)?(\+\d+%)?$", "examples": ["n+10%"], "default": "n"}),
]


class OverlapModel(_Part):
    """Shares of the traffic that may hide behind compute: a number from 0 to 1, on or off."""

    dp: Hidden | None = Field(None, description="Between data ranks.")
    tp: Hidden | None = Field(None, description="Between tensor ranks.")
    pp: Hidden | None = Field(None, description="Between pipeline stages.")
    cp: Hidden | None = Field(None, description="Between context ranks.")
    ep: Hidden | None = Field(None, description="Between experts.")

    @property
    def text(self) -> str:
        """As flags write it; empty when nothing is set."""
        return ",".join(f"{key}={value:.17g}" for key, value in self.model_dump().items() if value is not None)


class RoutingModel(_Part):
    """How tokens reach experts: without a capacity none is dropped."""

    capacity: Annotated[float, _quantity("fraction", 0.1, 64.0, open_low=False), _written("1.25")] | None = Field(
        None, description="Most tokens of an expert over the mean; those beyond are dropped."
    )
    pad: bool = Field(False, description="Whether the buffers of the experts are filled up to the capacity.")
    imbalance: Ratio = Field(1.0, description="Tokens of the fullest expert rank over the mean.")

    @model_validator(mode="after")
    def _padded(self) -> RoutingModel:
        if self.pad and self.capacity is None:
            raise _refuse("pad needs a capacity", "add for example capacity: 1.25")
        return self

    @property
    def text(self) -> str:
        """As flags write it; empty when it is the usual one."""
        parts = [f"capacity={self.capacity:.17g}"] if self.capacity else []
        parts += ["pad"] if self.pad else []
        parts += [f"imbalance={self.imbalance:.17g}"] if self.imbalance > 1.0 else []
        return ",".join(parts)


def _overlap(value: Any) -> Any:
    return _pairs(value, "dp=0.5,tp=off", frozenset())


def _routing(value: Any) -> Any:
    return {} if value == "dropless" else _pairs(value, "capacity=1.25,pad", frozenset({"pad"}))


def _pairs(value: Any, example: str, flags: frozenset[str]) -> Any:
    """A map, also where it is written on one line as flags write it."""
    if not isinstance(value, str):
        return value
    found: dict[str, Any] = {}
    for part in value.split(","):
        key, equals, text = (item.strip() for item in part.partition("="))
        if not equals and key not in flags:
            raise _refuse(f"cannot read {part.strip()[:40]!r}", f"write a map of keys, or {example}")
        if key in found:
            raise _refuse(f"{key} is given twice", "keep one of them")
        found[key] = text if equals else True
    return found


Overlap = Annotated[OverlapModel, BeforeValidator(_overlap)]
Routing = Annotated[RoutingModel, BeforeValidator(_routing)]


class TrainModel(_Part):
    """A training that is wanted."""

    name: Name = Field(description="What to call it; unique in the question.")
    model: Name = Field(description="Catalog id or alias of the model, or the path of a Hugging Face config.json.")
    tokens: Count = Field(description="Tokens to train on, such as 300B.")
    deadline: Duration | None = Field(None, description="Longest duration allowed, such as 60 d.")
    start: Month | None = Field(None, description="Month of the earliest start; the start of the plan if left out.")
    seq_len: Size | None = Field(None, description="Tokens of one sequence; the model's own if left out.")
    global_batch: Size | None = Field(None, description="Sequences of one optimizer step; chosen if left out.")
    precision: Name | None = Field(None, description="Matrix arithmetic, such as bf16 or fp8; chosen if left out.")
    optimizer: Literal["adam", "adamw", "adam8bit", "adafactor", "muon", "sgd"] = Field("adam", description="Optimizer.")
    method: Literal["full", "lora", "qlora"] = Field("full", description="All parameters, or adapters on frozen weights.")
    lora_rank: Whole = Field(0, ge=0, le=1 << 16, description="Rank of the adapters; needed for lora and qlora.")
    stack: Name | None = Field(None, description="Catalog id of the training software; chosen by date if left out.")
    overlap: Overlap | None = Field(
        None, description="Share of each communication that may hide behind compute; that of the software for what is left out."
    )
    routing: Routing | None = Field(None, description="How tokens reach the experts of the model; dropless if left out.")
    offload: bool = Field(False, description="Whether optimizer states and activations may live in host memory.")
    fit_confidence: Confidence | None = Field(
        None, description="Share of cases in which a layout must fit the memory of its chips; 0.9 if left out."
    )
    team: Name | None = Field(None, description="Who is charged for it.")

    @model_validator(mode="after")
    def _rank(self) -> TrainModel:
        if (self.method == "full") != (self.lora_rank == 0):
            raise _refuse(f"method {self.method} with lora_rank {self.lora_rank}", "give a lora_rank with lora or qlora only")
        return self


class PoolModel(_Part):
    """Equal replicas that a service has."""

    chip: Name = Field(description="Catalog id or alias of the chip.")
    replicas: Whole = Field(ge=1, le=100_000, description="How many.")
    role: Literal["mixed", "prefill", "decode"] = Field(
        "mixed", description="What they do: prompts (prefill), answers (decode), or both (mixed)."
    )
    layout: Name | None = Field(None, description="Of a replica, such as tp=2; one chip if left out.")


class ServeModel(_Part):
    """A service that is wanted."""

    name: Name = Field(description="What to call it; unique in the question.")
    model: Name = Field(description="Catalog id or alias of the model, or the path of a Hugging Face config.json.")
    visits_per_day: Count | None = Field(None, description="Visits of one day; the alternative of requests_per_s.")
    responses_per_visit: Count = Field(1.0, description="Answers that one visit asks for.")
    requests_per_s: Count | None = Field(None, description="Mean request rate over the day.")
    tokens: TokensModel = Field(description="Lengths of prompts and answers.")
    load: LoadModel = Field(
        default_factory=lambda: LoadModel.model_validate({}), description="How the rate moves over the day and the months."
    )
    slo: SloModel = Field(default_factory=lambda: SloModel.model_validate({}), description="Latency targets.")
    redundancy: Spares = Field(default_factory=Redundancy, description="Spare replicas: n, n+1, n+10%.", validate_default=True)
    weight_dtype: Name | None = Field(None, description="Precision of the weights, such as fp8; chosen if left out.")
    kv_dtype: Name | None = Field(None, description="Precision of the cache; chosen if left out.")
    lossy_precision: bool = Field(False, description="Whether 8-bit and 4-bit weights may be chosen for the sake of cost.")
    start: Month | None = Field(None, description="First month of service; the start of the plan if left out.")
    stack: Name | None = Field(None, description="Catalog id of the engine generation; chosen by date if left out.")
    team: Name | None = Field(None, description="Who is charged for it.")
    waiting_price_per_month: CountOrZero | None = Field(
        None, description="Price of a month in which all of it waits for chips, never paid; above that of chips if left out."
    )
    pools: list[PoolModel] = Field(
        default_factory=list, max_length=50,
        description="Replicas that it has: simulate follows them, serve and plan take no other kinds of chip; any if left out.",
    )  # fmt: skip

    @model_validator(mode="after")
    def _one_rate(self) -> ServeModel:
        if (self.visits_per_day is None) == (self.requests_per_s is None):
            raise _refuse("needs exactly one of visits_per_day and requests_per_s", "give one of the two")
        if self.requests_per_s is not None and "responses_per_visit" in self.model_fields_set:
            raise _refuse("responses_per_visit goes with visits_per_day", "leave it out, or give visits_per_day")
        roles = {pool.role for pool in self.pools}
        if ("prefill" in roles) != ("decode" in roles):
            alone = "prefill" if "prefill" in roles else "decode"
            raise _refuse(f"pools of {alone} alone", "give pools of both roles, or mixed ones")
        return self

    @property
    def rate_per_s(self) -> float:
        """Mean request rate [1/s]."""
        if self.requests_per_s is not None:
            return self.requests_per_s
        return (self.visits_per_day or 0.0) * self.responses_per_visit / DAY_S


class WorksModel(_Part):
    """Power and room that can be built on a site, in whole units."""

    id: Name = Field(description="What to call it.")
    power: Power = Field(description="Power that one unit adds, such as 2 MW.")
    racks: CountOrZero = Field(0.0, description="Racks that one unit adds.")
    cost: Price | None = Field(None, description="Cost of one unit, in the currency; the published cost of a watt if left out.")
    months: Whole | None = Field(None, ge=0, le=120, description="From order to use; the published time if left out.")
    most: Whole = Field(1, ge=1, le=1000, description="Units at most.")


def _hours(value: Any) -> Any:
    match = re.match(r"(\d{1,2})\s*-\s*(\d{1,2})$", str(value).strip())
    begin, end = (int(part) for part in match.groups()) if match else (0, 0)
    if not (0 <= begin < 24 and 0 < end <= 24 and begin != end):
        raise _refuse(f"{str(value)[:40]!r} are no hours of a day", "write for example 8-22, or 22-8 past midnight")
    return (begin, end)


Hours = Annotated[
    tuple[int, int], BeforeValidator(_hours), WithJsonSchema({**_TEXT, "pattern": r"^\d{1,2}-\d{1,2}$", "examples": ["22-8"]})
]


class HourPriceModel(_Part):
    """A price of energy in some hours of the day."""

    hours: Hours = Field(description="From one hour of the day to another, such as 8-22, or 22-8 past midnight.")
    price: Price = Field(description="Per kWh, in the currency of the question.")


class SiteModel(_Part):
    """Where the chips stand; figures given here replace those of the catalog."""

    id: Name | None = Field(None, description="Catalog id of the site.")
    tariff_per_kwh: Price | None = Field(None, description="Price of energy per kWh, in the currency of the question.")
    tariff_by_hour: list[HourPriceModel] = Field(
        default_factory=list,
        max_length=24,
        description="Prices of energy by hours of the day; `tariff_per_kwh` holds in the hours that none names.",
    )
    pue: Annotated[float, _quantity("fraction", 1.0, 10.0, open_low=False), _written("1.3")] | None = Field(
        None, description="Total energy over energy of the machines."
    )
    carbon_kg_per_kwh: Price | None = Field(None, description="Carbon of the grid, kg per kWh.")
    power_limit: Power | None = Field(None, description="What the site can draw in all, such as 60 MW.")
    room_per_kw_month: Price | None = Field(
        None, description="Rent of the room per kW of machines and month, in the currency of the question."
    )
    power_by_month: list[Power] = Field(
        default_factory=list, max_length=120, description="What the site can draw by month of the plan; the last value lasts."
    )
    racks: list[CountOrZero] = Field(
        default_factory=list, max_length=120, description="Racks: a number, or a list by month; the last value lasts."
    )
    build: list[WorksModel] = Field(default_factory=list, max_length=20, description="Power and room that can be built.")
    exclude: list[Name] = Field(default_factory=list, max_length=1000, description="Chips that cannot stand there.")

    @field_validator("racks", mode="before")
    @classmethod
    def _every_month(cls, value: Any) -> Any:
        return [] if value is None else value if isinstance(value, list) else [value]

    @model_validator(mode="after")
    def _one_power(self) -> SiteModel:
        if self.power_limit is not None and self.power_by_month:
            raise _refuse("gives its power twice", "give power_limit or power_by_month")
        return self


class MovingModel(_Part):
    """What it takes to move chips of one's own from one site to another."""

    cost_per_chip: Price | None = Field(None, description="With its share of the server, in the currency of the question.")
    months: Whole | None = Field(None, ge=1, le=24, description="Whole months in which a moved chip works nowhere.")


class LeadModel(_Part):
    """Time from order to use."""

    median: DurationOrZero = Field(description="Median, such as 2 months; 0 for what is in stock.")
    p90: DurationOrZero | None = Field(None, description="90th percentile; the median if left out.")


class OfferModel(_Part):
    """An offer of the user: the id of an offer of the market changes it, another id adds one."""

    id: Name = Field(description="Offer id.")
    kind: OfferKind | None = Field(None, description="How the chip is had.")
    chip: Name | None = Field(None, description="Catalog id of the chip (of the model for api).")
    price: Price | None = Field(None, description="Per chip (buy), per chip-hour (rents), per million output tokens (api).")
    currency: Currency | None = Field(None, description="Currency of the price; the question's own if left out.")
    includes_host: bool | None = Field(
        None,
        description="Whether the price of a chip that is bought or leased holds its share of the server; fabric and storage "
        "are charged beside it.",
    )
    term_months: Whole | None = Field(None, ge=0, le=600, description="Commitment.")
    stock_chips: CountOrZero | None = Field(None, description="How many can be had at once.")
    stock_per_month: CountOrZero | None = Field(None, description="Further ones each month.")
    min_order_chips: Whole | None = Field(None, ge=1, le=10**9, description="Smallest order.")
    lot_chips: Whole | None = Field(
        None, ge=1, le=10**6, description="Multiple in which chips come; of a new offer whole servers if left out."
    )
    lead: LeadModel | None = Field(None, description="Time from order to use.")
    first_month: Month | None = Field(None, description="First month in which it can be ordered.")
    last_month: Month | None = Field(None, description="Last month in which it can be ordered.")
    interruption_per_month: Share | None = Field(None, description="Chance that a spot chip is taken back in a month.")


def _path(value: Any) -> Any:
    try:
        return read_path(value)
    except InputError as error:
        raise _refuse(error.message, error.fix) from None


PricePath = Annotated[
    Any,
    BeforeValidator(_path),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string", "examples": [PRICE_TABLE]}]}),
]


class OutlookModel(_Part):
    """What is expected of the prices of one kind of chip, in place of what the market expects of all."""

    chip: Name = Field(description="Catalog id or alias of the chip.")
    price: PricePath = Field(
        None,
        description="Price of a chip by month, in the currency of the question: a list from the first month on, or CSV text "
        "with the columns month and price.",
    )
    rent: PricePath = Field(None, description="The same of a chip-hour, for all rents.")
    price_change_per_year: Growth | None = Field(None, description="Yearly change of the purchase price, in place of a path.")
    price_sigma_per_year: Spread | None = Field(None, description="Spread of the logarithm of its prices over a year.")

    @model_validator(mode="after")
    def _one_path(self) -> OutlookModel:
        if self.price is not None and self.price_change_per_year is not None:
            raise _refuse(f"the outlook of {self.chip} has a price path and a yearly change", "keep one of them")
        return self


class ExportModel(_Part):
    """The state of export rules for a kind of chip, and the chances that it changes within a year."""

    @model_validator(mode="after")
    def _possible(self) -> ExportModel:
        for state in ("open", "announced"):
            ways = [name for name in type(self).model_fields if name.startswith(f"{state}_to_")]
            if sum(getattr(self, name) for name in ways) > 1.0:
                raise _refuse(f"the chances of leaving the state {state} sum to more than 100 %", "lower them")
        return self

    chip: Name | None = Field(None, description="Catalog id or alias; every chip that is bought if left out.")
    state: ExportState = Field("open", description="Today's: open, announced (still delivered), or barred.")
    open_to_announced_per_year: Share = Field(0.0, description="Chance that a rule is announced within a year.")
    open_to_barred_per_year: Share = Field(0.0, description="Chance that chips are barred within a year without notice.")
    announced_to_barred_per_year: Share = Field(0.0, description="Chance that an announced rule bars them within a year.")
    announced_to_open_per_year: Share = Field(0.0, description="Chance that an announced rule is dropped within a year.")
    barred_to_open_per_year: Share = Field(0.0, description="Chance that what is barred is let through again within a year.")


class MarketModel(_Part):
    """What can be had: a market of the catalog, changed or extended."""

    id: Name | None = Field(None, description="Catalog id, such as cn-2023-04.")
    offers: list[OfferModel] = Field(default_factory=list, max_length=1000, description="Changed and added offers.")
    exclude: list[Name] = Field(default_factory=list, max_length=1000, description="Offers or chips that cannot be had.")
    price_change_per_year: Growth | None = Field(None, description="Expected yearly change of all purchase prices.")
    price_sigma_per_year: Spread | None = Field(None, description="Spread of the logarithm of all prices over a year.")
    outlook: list[OutlookModel] = Field(default_factory=list, max_length=1000, description="Expected prices by kind of chip.")
    export: list[ExportModel] = Field(default_factory=list, max_length=1000, description="Chances of export rules.")


class HoldingModel(_Part):
    """Chips that are there already."""

    chip: Name = Field(description="Catalog id or alias of the chip.")
    chips: Whole = Field(ge=1, le=10**9, description="How many.")
    kind: HoldingKind = Field("own", description="Owned, or held under a contract.")
    since: Month | None = Field(None, description="Month from which they can be used.")
    until: Month | None = Field(None, description="Last month of the contract.")
    price_per_chip_h: Price = Field(0.0, description="Running price of a contract, in the currency of the question.")
    site: Name | None = Field(None, description="Id of the site where owned ones stand; the first if left out.")


class ChipsModel(_Part):
    """Which chips may be planned with."""

    allow: list[Name] = Field(default_factory=list, max_length=1000, description="Only these.")
    deny: list[Name] = Field(default_factory=list, max_length=1000, description="None of these.")


class QuestionModel(_Part):
    """A question: what to train and serve, where, with what money, from when."""

    title: Name = Field("Untitled question", description="What it is about, in words.")
    currency: Currency = Field(description="Currency of the budget and of every price without its own.")
    start: Month = Field(description="First month of the plan, such as 2023-05.")
    months: Whole = Field(ge=1, le=120, description="Length of the plan in months.")
    site: SiteModel = Field(
        default_factory=lambda: SiteModel.model_validate({}), description="Where: the id of a site, or its figures."
    )
    sites: list[SiteModel] = Field(
        default_factory=list, max_length=8, description="Further sites; chips of one's own may stand on any."
    )
    moving: MovingModel | None = Field(None, description="Terms of moves between sites; the usual ones if left out.")
    market: MarketModel = Field(description="What can be had: the id of a market, or an id with changes.")
    budget: Count | None = Field(None, description="Most that may have been paid out by any month, in the currency.")
    budget_by_month: list[CountOrZero] = Field(
        default_factory=list, max_length=120, description="Most that may have been spent by the end of each month."
    )
    have: list[HoldingModel] = Field(default_factory=list, max_length=1000, description="Chips that are there already.")
    train: list[TrainModel] = Field(default_factory=list, max_length=100, description="Trainings that are wanted.")
    serve: list[ServeModel] = Field(default_factory=list, max_length=100, description="Services that are wanted.")
    chips: ChipsModel = Field(default_factory=ChipsModel, description="Which chips may be used; a list allows only these.")
    costs: dict[str, float] = Field(
        default_factory=dict,
        description="Figures that costs rest on, in place of ours; `suanzhang catalog figures` lists them.",
    )
    seed: Whole = Field(0, ge=0, le=2**31 - 1, description="Seed of every random stream.")
    deep: bool = Field(False, description="Simulate and solve in full instead of analytically.")

    @field_validator("site", "market", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"id": value} if isinstance(value, str) else {} if value is None else value

    @field_validator("sites", mode="before")
    @classmethod
    def _all_named(cls, value: Any) -> Any:
        found = [] if value is None else value
        return [{"id": one} if isinstance(one, str) else one for one in found] if isinstance(found, list) else found

    @field_validator("chips", mode="before")
    @classmethod
    def _allowed(cls, value: Any) -> Any:
        return {"allow": value} if isinstance(value, list) else {} if value is None else value

    @field_validator("have", "train", "serve", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return [] if value is None else value

    @model_validator(mode="after")
    def _asks_something(self) -> QuestionModel:
        if not self.train and not self.serve:
            raise _refuse("asks for no training and no service", "add an entry under train or serve")
        names = [part.name for part in self.train] + [part.name for part in self.serve]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise _refuse(f"the name {twice!r} is used twice", "give every training and service its own name")
        if any(not part.id for part in self.sites):
            raise _refuse("a further site has no id", "write the id of a site of the catalog")
        if not self.market.id and not self.market.offers:
            raise _refuse("the market has neither an id nor offers", "write market: cn-2023-04, or offers of your own")
        return self

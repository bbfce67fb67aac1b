"""Read a claims file: statements of others with the scenario that recomputes each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from suanzhang.app.question import input_error
from suanzhang.app.yamlfile import read_document
from suanzhang.errors import InputError
from suanzhang.spec.audit import Claim, Scenario
from suanzhang.units import parse_quantity

CHECK = ("quantity", "stated", "scenario", "result_key")
"""Keys that make a statement checkable; a statement without any of them is one that nobody has said how to check."""
NO_SCENARIO = (
    "The file names no scenario that would compute it: add one (`suanzhang audit --scenarios`), or give --checks FILE."
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StatedModel(_Part):
    """A stated range."""

    low: float | str = Field(description="Lower end.")
    high: float | str = Field(description="Upper end.")


class ScenarioModel(_Part):
    """What recomputes the claim."""

    verb: str = Field(description="Name of the scenario; `suanzhang audit --scenarios` lists them with their inputs.")
    inputs: dict[str, Any] = Field(default_factory=dict, description="Inputs of the scenario.")


class ClaimModel(_Part):
    """One statement."""

    id: str = Field(description="Unique in the file.")
    says: str = Field(description="The statement in words.")
    quantity: str = Field("", description="What is computed, in words.")
    stated: float | str | StatedModel | None = Field(None, description="The stated figure, or its range.")
    unit: str = Field("", description="Unit of the figure.")
    relation: Literal["about", "at_least", "at_most", "range"] = Field("about", description="How the figure is meant.")
    tolerance: float = Field(0.15, ge=0.0, le=10.0, description="Fraction within which it holds.")
    scenario: ScenarioModel | None = Field(None, description="What recomputes it.")
    result_key: str = Field("", description="Key of the scenario's answer.")
    variants: list[dict[str, Any]] = Field(default_factory=list, description="Inputs that are as plausible.")
    not_checkable: str = Field("", description="Why nothing can be computed.")
    note: str = Field("", description="What a reader must know.")
    quote: str = Field("", validation_alias=AliasChoices("quote", "zh"), description="The statement as it was made.")
    system: str = Field("", description="What of a planner it concerns; for the reader of the file.")

    @model_validator(mode="after")
    def _whole(self) -> ClaimModel:
        if self.not_checkable and self.scenario is not None:
            raise _refuse(f"claim {self.id} has a scenario and a reason why it has none", "keep one of them")
        lacking = [name for name in CHECK if getattr(self, name) in (None, "")]
        if not self.not_checkable and 0 < len(lacking) < len(CHECK):
            raise _refuse(f"claim {self.id} lacks {', '.join(lacking)}", "add them, or say why it is not_checkable")
        return self


class ClaimsModel(_Part):
    """A claims file."""

    document: str = Field("", description="Where the claims were made.")
    claims: list[ClaimModel] = Field(min_length=1, description="The statements.")


_OF_QUESTIONS = "`suanzhang plan --schema`"
_OF_CLAIMS = "the guide on audits (docs/guides/audit.md)"


def _refuse(message: str, fix: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{message}", {"message": message, "fix": fix})


def read_claims(path: Path, checks: Path | None = None) -> tuple[str, tuple[Claim, ...]]:
    """The document named in a claims file, and its claims.

    Args:
        path: the file.
        checks: a second file with scenarios: a statement without one takes that of the same id.

    Raises:
        InputError: a file cannot be read, a key or value cannot be used (names the line), or no id of ``checks`` fits.
    """
    name, claims = _read(path)
    if checks is None:
        return name, claims
    known = {claim.id: claim for claim in _read(checks)[1] if claim.scenario is not None or claim.not_checkable != NO_SCENARIO}
    if not any(claim.id in known for claim in claims if claim.not_checkable == NO_SCENARIO):
        raise InputError(
            f"{checks.name}: has no scenario for a statement of {path.name} that lacks one",
            fix="give both files the same ids, or leave --checks out",
        )
    return name, tuple(
        replace(known[claim.id], says=claim.says, quote=claim.quote)
        if claim.not_checkable == NO_SCENARIO and claim.id in known
        else claim
        for claim in claims
    )


def _read(path: Path) -> tuple[str, tuple[Claim, ...]]:
    document = read_document(path)
    if not isinstance(document.value, Mapping):
        raise InputError(f"{document.name}: is not a map of keys", fix="start with `document: ...` and `claims:`")
    if "claims" not in document.value and set(document.value) & {"train", "serve", "have"}:
        raise InputError(f"{document.name}: is a question, not a file of claims", fix=f"suanzhang plan {document.name}")
    try:
        model = ClaimsModel.model_validate(document.value)
    except ValidationError as error:
        found = input_error(error, document, ClaimsModel)
        found.fix = found.fix.replace(_OF_QUESTIONS, _OF_CLAIMS)
        raise found from None
    claims = tuple(_claim(part) for part in model.claims)
    ids = [claim.id for claim in claims]
    for twice in sorted({name for name in ids if ids.count(name) > 1}):
        raise InputError(f"{document.name}: the id {twice!r} stands twice", fix="give each claim its own id")
    return model.document, claims


def _claim(part: ClaimModel) -> Claim:
    low = high = None
    if isinstance(part.stated, StatedModel):
        low, high = (parse_quantity(end, "count", f"{part.id}.stated") for end in (part.stated.low, part.stated.high))
    elif part.stated is not None:
        low = high = parse_quantity(part.stated, "count", f"{part.id}.stated")
    if low is not None and high is not None and low > high:
        raise InputError(f"{part.id}.stated: low {low:g} is above high {high:g}", fix="exchange them")
    why = part.not_checkable or ("" if part.scenario else NO_SCENARIO)
    return Claim(
        part.id, part.says, part.quantity, low, high, part.unit, part.relation, part.tolerance,
        Scenario(part.scenario.verb, part.scenario.inputs) if part.scenario else None,
        part.result_key, tuple(part.variants), why, part.note, part.quote,
    )  # fmt: skip

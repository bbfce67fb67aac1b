"""Model shapes by id, by another name, or from a Hugging Face ``config.json``."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from suanzhang.catalog.aliases import find, not_modelled, resolve
from suanzhang.catalog.hf_config import read_config_file
from suanzhang.catalog.quoted_yaml import load_yaml
from suanzhang.catalog.sources import source
from suanzhang.errors import CatalogError
from suanzhang.source import GRADES, Quoted
from suanzhang.spec.model import LinearAttentionSpec, MlaSpec, ModelSpec, MoeSpec, WindowSpec
from suanzhang.spec.paths import from_home

_FILE = Path(__file__).resolve().parent / "data" / "models.yaml"
_SHAPE = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab")
_PARTS: Mapping[str, type] = {"moe": MoeSpec, "mla": MlaSpec, "window": WindowSpec, "linear": LinearAttentionSpec}
_SETTINGS = {
    "tied": "tied_embeddings",
    "seq": "max_seq",
    "positions": "learned_positions",
    "qkv_bias": "qkv_bias",
    "mlp_bias": "mlp_bias",
    "parallel": "parallel_block",
    "mtp": "mtp_layers",
    "encoder": "encoder_only",
}


def model(name_or_path: str) -> ModelSpec:
    """The shape of a model.

    Args:
        name_or_path: catalog id, another name of it (case, spaces and dashes do not matter), or the path of a Hugging
            Face ``config.json`` or of the folder that holds one.

    Raises:
        CatalogError: no such model, with the nearest names; or known and left out, with the reason.
        InputError: the file is no such configuration.
    """
    if _looks_like_path(name_or_path):
        return read_config_file(from_home(name_or_path))
    for text in _spellings(name_or_path):
        identity = find("model", text, _titles())
        if identity is not None:
            return models()[identity]
    return models()[resolve("model", name_or_path, _titles())]


_SUFFIX = re.compile(
    r"[-_ ]+(?:(?:nvfp4|mxfp4|fp8|fp4|awq|gptq|gguf|bnb|int4|int8|4bit|8bit|bf16|fp16|(?:quantized\.)?w\d+a\d+|dynamic|static"
    r"|marlin)(?:[-_ ]v\d)?|instruct|chat|base|it|hf|2[3-6](?:0[1-9]|1[0-2]))$|\s*\([^)]*\)$",
    re.IGNORECASE,
)


def _spellings(name: str) -> Iterator[str]:
    """The name, then without its owner, then without what says how it is tuned or stored or in which month it came."""
    yield name
    text = name.rpartition("/")[2]
    while True:
        if not_modelled("model", text):
            return
        yield text
        shorter = _SUFFIX.sub("", text)
        if shorter == text:
            return
        text = shorter


def _looks_like_path(text: str) -> bool:
    if text.endswith(".json") or text.startswith(("./", "../", "/", "~")) or "\\" in text:
        return True
    return "/" in text and Path(text).is_dir()


@functools.cache
def _titles() -> Mapping[str, str]:
    return {identity: item.name for identity, item in models().items()}


@functools.cache
def models() -> Mapping[str, ModelSpec]:
    """Every model of the catalog by id."""
    return MappingProxyType({identity: read_model(identity, row) for identity, row in load_yaml(_FILE).items()})


def read_model(identity: str, row: Mapping[str, Any]) -> ModelSpec:
    """A shape from its catalog row.

    Args:
        identity: catalog id.
        row: ``name``, ``shape`` (layers, hidden, heads, kv_heads, head_dim, ffn, vocab), ``source``, and what else holds.

    Raises:
        CatalogError: the row has no source, an unknown key or a wrong number of figures.
    """
    where = f"models.yaml: model {identity!r}"
    if not row.get("source"):
        raise CatalogError(f"{where} has no source", fix="a value without its origin is not accepted")
    source(row["source"])
    known = {"name", "shape", "source", "gated", "params", "grade", "note", "params_source", *_PARTS, *_SETTINGS}
    unknown = [key for key in row if key not in known]
    if unknown:
        raise CatalogError(f"{where} has an unknown key {unknown[0]!r}", fix=f"use {', '.join(sorted(known))}")
    if row.get("grade", "published") not in GRADES:
        raise CatalogError(f"{where} has an unknown grade {row['grade']!r}", fix=f"use one of {', '.join(GRADES)}")
    try:
        parts: dict[str, Any] = {key: kind(*row[key]) for key, kind in _PARTS.items() if key in row}
        settings: dict[str, Any] = {name: row[key] for key, name in _SETTINGS.items() if key in row}
        shape: dict[str, Any] = dict(zip(_SHAPE, row["shape"], strict=True))
        return ModelSpec(
            id=identity,
            name=row["name"],
            gated_mlp=row.get("gated", True),
            params_published=_published(row),
            source=row["source"],
            **shape,
            **settings,
            **parts,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CatalogError(f"{where}: bad or missing entry ({error})", fix="restore the file of the package") from error


def _published(row: Mapping[str, Any]) -> Quoted | None:
    if "params" not in row:
        return None
    key, grade, note = row.get("params_source", row["source"]), row.get("grade", "published"), row.get("note", "")
    return Quoted(float(row["params"]), "1", source(key).key, grade, source(key).date, note)

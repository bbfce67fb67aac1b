"""A value of any frozen result type, filled from its annotations."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from suanzhang.spec.result import Header, Interval, Money, Term

FIXED: dict[type, Any] = {
    Interval: Interval(1.0, 2.0, 4.0),
    Money: Money(1234567.0, "CNY", "2023-05"),
    Header: Header("0.1.0", "2026-10-01", 7),
    Term: Term("compute", 2.5, "s", "suanzhang.perf.gemm.gemm_s", ("nvidia-a100",)),
    str: "算账 <b>text</b> & [more]",
    float: 3.25,
    int: 8,
    bool: True,
    object: 2.0e9,
}


def sample(kind: Any, several: int = 2) -> Any:
    """A value of a type; tuples and maps get some entries."""
    if kind in FIXED:
        return FIXED[kind]
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return sample(next(arg for arg in args if arg is not type(None)), several)
    if origin is Literal:
        return args[0]
    if origin is tuple:
        return (
            tuple(sample(args[0], several) for _ in range(several))
            if args[-1] is Ellipsis
            else tuple(sample(a, several) for a in args)
        )
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return {f"key {i}": sample(args[1], several) for i in range(several)}
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{field.name: sample(hints[field.name], several) for field in dataclasses.fields(kind)})
    if kind is Any:
        return 1.0
    return np.arange(3.0)

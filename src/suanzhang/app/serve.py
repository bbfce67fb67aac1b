"""Serving: what one replica does, how many chips a service needs, and the verb ``serve``."""

from __future__ import annotations

from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.app.serve_size import serve_layouts, size_service
from suanzhang.app.serve_verb import serve
from suanzhang.spec.serve import Refusal, SizedService

__all__ = ["Refusal", "SizedService", "estimate_serve", "serve", "serve_layouts", "size_service"]

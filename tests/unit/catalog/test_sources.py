"""Sources: each key resolves, none stands for two documents, and each can be cited."""

import re
from collections import Counter

import pytest

from suanzhang.catalog import sources as module
from suanzhang.catalog.chips import chips
from suanzhang.catalog.models import models
from suanzhang.catalog.quoted_yaml import load_yaml, read_sources
from suanzhang.catalog.sites import site_sources
from suanzhang.catalog.sources import bibtex, catalog_sources, source, sources
from suanzhang.catalog.stacks import serve_stacks, stack_sources, train_stacks
from suanzhang.errors import CatalogError


def test_every_key_in_use_resolves():
    used = {quote.source for item in chips().values() for quote in item.quotes.values()}
    used |= {row.price.source for item in chips().values() for row in item.prices}
    used |= {event.source for item in chips().values() for event in item.exports}
    used |= {wait.weeks.source for item in chips().values() for wait in item.deliveries}
    used |= {item.source for item in (*models().values(), *train_stacks().values(), *serve_stacks().values())}
    assert used <= set(sources())


def test_every_source_of_the_chips_and_models_is_used():
    used = {quote.source for item in chips().values() for quote in item.quotes.values()}
    used |= {key for item in chips().values() for key in item.sources}
    used |= {row.price.source for item in chips().values() for row in item.prices}
    used |= {event.source for item in chips().values() for event in item.exports}
    used |= {wait.weeks.source for item in chips().values() for wait in item.deliveries}
    used |= {item.source for item in models().values()}
    assert set(catalog_sources()) - used == set()


def test_no_key_stands_for_two_documents():
    files = list(module._DATA.glob("*/sources.yaml"))
    tables = [read_sources(load_yaml(path), path.name) for path in files]
    keys = Counter(key for table in (catalog_sources(), site_sources(), stack_sources(), *tables) for key in table)
    assert [key for key, count in keys.items() if count > 1] == []


def test_each_source_has_a_title_and_a_readable_date():
    for key, item in sources().items():
        assert item.title, key
        assert re.fullmatch(r"(\d{4}(-\d\d(-\d\d)?)?)?", item.date), (key, item.date)


def test_citation():
    text = bibtex(("gpt-3",))
    assert text.startswith("@misc{gpt-3,")
    assert "year = {2020}" in text
    assert bibtex().count("@misc{") == len(sources())


def test_an_unknown_source_names_the_nearest():
    with pytest.raises(CatalogError, match=r"did you mean .*gpt-3"):
        source("gpt-33")

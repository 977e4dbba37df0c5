"""Fixtures of the acceptance tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.setups import Kind, Setup, lent_setup


@pytest.fixture(params=Kind)
def own_setup(request: pytest.FixtureRequest) -> Iterator[Setup]:
    """Yield each storage and engine in turn, with a database for this test alone."""
    with lent_setup(request) as setup:
        yield setup


@pytest.fixture(scope="module", params=Kind)
def module_setup(request: pytest.FixtureRequest) -> Iterator[Setup]:
    """Yield each storage and engine in turn, with a database for one server of the module."""
    with lent_setup(request) as setup:
        yield setup

"""The event contract does not break those who hold to its last release."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pulpit.events.schemas import SCHEMAS
from scripts.schema_changes import breaking, current, problems, released

_REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
_NAME = "pulpit.task.status.v1"


def test_the_released_contract_is_kept() -> None:
    """To change a promise, make a new version of the type; to add one, raise CONTRACT_VERSION.

    After a release, ``python -m scripts.schema_changes`` keeps the contract as the last one.
    """
    last = released()
    assert _NAME in last
    assert problems(last, current()) == []


def test_the_reference_holds_every_schema_and_no_other() -> None:
    """A schema that is gone leaves no file behind."""
    found = {path.name.removesuffix(".json") for path in (_REFERENCE / "schemas").iterdir()}
    assert found == set(SCHEMAS)


def _contract() -> dict[str, Any]:
    """Return the contract under a version that the tests go on from."""
    contract = copy.deepcopy(current())
    contract["asyncapi"]["info"]["version"] = "1.0.0"
    return contract


def _status(contract: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = contract[_NAME]
    return found


def _remove_a_property(schema: dict[str, Any]) -> None:
    del schema["properties"]["tags"]


def _remove_a_deep_property(schema: dict[str, Any]) -> None:
    del schema["$defs"]["ErrorReport"]["properties"]["code"]


def _require(schema: dict[str, Any]) -> None:
    schema["properties"]["newer"] = {"type": "string"}
    schema["required"].append("newer")


def _require_what_was_optional(schema: dict[str, Any]) -> None:
    schema["$defs"]["ProgressStage"]["required"].append("items_total")


def _promise_less(schema: dict[str, Any]) -> None:
    schema["required"].remove("worker_name")


def _narrow(schema: dict[str, Any]) -> None:
    schema["properties"]["worker_name"] = {"type": "string"}


def _widen(schema: dict[str, Any]) -> None:
    schema["properties"]["task_type"]["type"] = ["string", "null"]


def _narrow_states(schema: dict[str, Any]) -> None:
    schema["properties"]["state"]["enum"].remove("canceled")


def _widen_states(schema: dict[str, Any]) -> None:
    schema["properties"]["state"]["enum"].append("paused")


def _bound(schema: dict[str, Any]) -> None:
    schema["properties"]["task_type"]["maxLength"] = 9


def _close(schema: dict[str, Any]) -> None:
    schema["additionalProperties"] = False


def _change_items(schema: dict[str, Any]) -> None:
    schema["properties"]["tags"]["items"] = {"type": "integer"}


def _add_a_choice(schema: dict[str, Any]) -> None:
    schema["properties"]["error"]["anyOf"].append({"type": "string"})


def _change_a_choice(schema: dict[str, Any]) -> None:
    choices = schema["properties"]["progress_report"]["additionalProperties"]["anyOf"]
    choices[0]["additionalProperties"] = {"type": "string"}


@pytest.mark.parametrize(
    "change",
    [
        _remove_a_property,
        _remove_a_deep_property,
        _require,
        _require_what_was_optional,
        _promise_less,
        _narrow,
        _widen,
        _narrow_states,
        _widen_states,
        _bound,
        _close,
        _change_items,
        _add_a_choice,
        _change_a_choice,
    ],
)
def test_a_breaking_change_is_found(change: Callable[[dict[str, Any]], None]) -> None:
    """Whether a consumer would get what it does not expect, or an old event be refused."""
    old, new = _contract(), _contract()
    change(_status(new))
    assert breaking(_status(old), _status(new))
    new["asyncapi"]["info"]["version"] = "2.0.0"
    assert problems(old, new), "a version of the contract is no excuse"


def test_words_and_optional_properties_may_change() -> None:
    """Descriptions freely, properties with a new version of the contract."""
    old, new = _contract(), _contract()
    _status(new)["description"] = "Told better."
    _status(new)["properties"]["tags"]["description"] = "Told better."
    assert problems(old, new) == []
    _status(new)["properties"]["newer"] = {"type": "string"}
    (problem,) = problems(old, new)
    assert "CONTRACT_VERSION" in problem
    new["asyncapi"]["info"]["version"] = "1.0.1"
    assert problems(old, new) == [problem]
    new["asyncapi"]["info"]["version"] = "1.1.0"
    assert problems(old, new) == []


def test_a_schema_goes_only_for_a_newer_version() -> None:
    """The contract's first number grows with it."""
    old, new = _contract(), _contract()
    del new[_NAME]
    new["asyncapi"]["info"]["version"] = "2.0.0"
    assert problems(old, new) == [f"{_NAME}: is gone, and no newer version of it is there"]
    new["pulpit.task.status.v2"] = {"type": "object"}
    assert problems(old, new) == []
    new["asyncapi"]["info"]["version"] = "1.1.0"
    (problem,) = problems(old, new)
    assert "first number" in problem

"""``pulpit doctor``: looks at everything that a server needs, and changes nothing."""

from __future__ import annotations

from pulpit.app.doctor.diagnosis import Api, diagnose
from pulpit.domain.findings import Finding, Outcome

__all__ = ["Api", "Finding", "Outcome", "diagnose"]

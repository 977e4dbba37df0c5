"""Deliveries to listeners: when, in which order, and what came of them."""

from __future__ import annotations

from pulpit.events.listeners.deliverer import Deliverer, DelivererSettings
from pulpit.events.listeners.tally import DURATIONS, Tally

__all__ = ["DURATIONS", "Deliverer", "DelivererSettings", "Tally"]

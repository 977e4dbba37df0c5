"""Deliveries to listeners: when, in which order, and what came of them."""

from __future__ import annotations

from pulpit.events.listeners.deliverer import Deliverer
from pulpit.events.listeners.schedule import Schedule
from pulpit.events.listeners.settings import DelivererSettings
from pulpit.events.listeners.tally import DURATIONS, Tally

__all__ = ["DURATIONS", "Deliverer", "DelivererSettings", "Schedule", "Tally"]

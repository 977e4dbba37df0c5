"""The configuration: server.conf, then the environment, then the command line; one frozen object.

:func:`load` reads it and :class:`Settings` holds it; everything else is told by them.
"""

from __future__ import annotations

from pulpit.config.fields import Setting
from pulpit.config.reference import DescribedSetting, describe, example
from pulpit.config.settings import (
    DEFAULT_URL,
    LOCAL_BROKER_URL,
    Anonymous,
    Database,
    DataReaping,
    Door,
    Email,
    EngineKind,
    Events,
    Feeds,
    Listeners,
    LogLevel,
    LogType,
    Messaging,
    MetricsReaders,
    Security,
    Server,
    Settings,
    StartTls,
    Storage,
    Tasks,
    Uploads,
    all_settings,
)
from pulpit.config.sources import DEFAULT_FILE, load
from pulpit.config.values import Address, masked_url

__all__ = [
    "DEFAULT_FILE",
    "DEFAULT_URL",
    "LOCAL_BROKER_URL",
    "Address",
    "Anonymous",
    "DataReaping",
    "Database",
    "DescribedSetting",
    "Door",
    "Email",
    "EngineKind",
    "Events",
    "Feeds",
    "Listeners",
    "LogLevel",
    "LogType",
    "Messaging",
    "MetricsReaders",
    "Security",
    "Server",
    "Setting",
    "Settings",
    "StartTls",
    "Storage",
    "Tasks",
    "Uploads",
    "all_settings",
    "describe",
    "example",
    "load",
    "masked_url",
]

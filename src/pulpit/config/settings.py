"""The settings: one frozen class for each section of the file, one field for each key.

The fields are the only table there is: they drive reading, defaults, the example file, the
reference page and ``pulpit config check``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pulpit.config.fields import Derived, Setting, section_settings, setting
from pulpit.config.values import (
    ADDRESS,
    BOOLEAN,
    BROKER_URLS,
    DATABASE_URL,
    HASHES,
    HOST,
    NETWORKS,
    PATH,
    PORT,
    QUOTED,
    SIZE,
    TEXT,
    WEB_URL,
    Address,
    Network,
    choice,
    integer,
    number,
)

__all__ = [
    "DEFAULT_URL",
    "LOCAL_BROKER_URL",
    "SECTIONS",
    "Anonymous",
    "DataReaping",
    "Database",
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
    "Settings",
    "StartTls",
    "Storage",
    "Tasks",
    "Uploads",
    "all_settings",
]

_HOST, _PORT = "127.0.0.1", 8080
#: Where the server listens unless told otherwise, and where the client looks for it.
DEFAULT_URL = f"http://{_HOST}:{_PORT}"
#: The notification server where none is named: the local one, as Pulp 2 documented.
LOCAL_BROKER_URL = "amqp://guest:guest@localhost:5672//"


class Anonymous(StrEnum):
    """Who may read events from the door without credentials."""

    OFF = "off"
    LOOPBACK = "loopback"


class EngineKind(StrEnum):
    """Who runs tasks."""

    EMBEDDED = "embedded"
    DISTRIBUTED = "distributed"


class StartTls(StrEnum):
    """Whether mails go to the mail server by TLS."""

    OFF = "off"
    OFFERED = "offered"
    REQUIRED = "required"


class MetricsReaders(StrEnum):
    """Who may read the metrics."""

    USERS = "users"
    EVERYBODY = "everybody"


class LogLevel(StrEnum):
    """The least severe messages that are logged."""

    NOTSET = "NOTSET"
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class LogType(StrEnum):
    """Where the log goes and how it looks."""

    CONSOLE = "console"
    JSON = "json"
    SYSLOG = "syslog"


def _data_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of a service for root, else one of the user's own."""
    if os.geteuid() == 0:
        return Path("/var/lib/pulpit")
    home = environ.get("XDG_DATA_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local/share") / "pulpit"


_DATA_FOLDER = Derived(
    "as root `/var/lib/pulpit`, else `$XDG_DATA_HOME/pulpit` or `~/.local/share/pulpit`",
    _data_folder,
)
_HOST_NAME = Derived("the machine's host name", lambda _environ: socket.gethostname())
_WORKERS = Derived(
    "the number of processors, at least 2 and at most 4",
    lambda _environ: min(4, max(2, os.cpu_count() or 2)),
)


@dataclass(frozen=True, kw_only=True)
class Server:
    """The server process: where it listens, who may log in first, its log."""

    host: str = setting(_HOST, HOST, "Address to listen at for the API and published content.")
    port: int = setting(_PORT, PORT, "Port to listen at; 0 takes a free one.")
    socket: Path | None = setting(
        None,
        PATH,
        "Unix-domain socket to listen at for the API, too, without TLS: for a proxy on this "
        "machine, whose user must be in the server's group, and is believed.",
    )
    certificate: Path | None = setting(
        None,
        PATH,
        "PEM file of the server's certificate, followed by those between it and its authority's; "
        "with `private_key` it has the API speak https.",
    )
    private_key: Path | None = setting(
        None,
        PATH,
        "PEM file of the certificate's private key, without a password, readable by the server's "
        "user alone.",
    )
    trusted_proxies: tuple[Network, ...] = setting(
        (),
        NETWORKS,
        "Proxies whose `Forwarded` and `X-Forwarded-*` headers are believed; nobody else's are.",
    )
    server_name: str = setting(
        _HOST_NAME, HOST, "Name under which clients reach the server; it stands in events."
    )
    default_login: str = setting("admin", TEXT, "Login of the user that the first start creates.")
    default_password: str | None = setting(
        None,
        TEXT,
        "Password of that user; without it, one is made up and shown once.",
        secret=True,
    )
    log_level: LogLevel = setting(
        LogLevel.INFO, choice(LogLevel), "Least severe messages that are logged."
    )
    log_type: LogType = setting(
        LogType.CONSOLE,
        choice(LogType),
        "Where the log goes: `console` and `json` to standard error, `syslog` to /dev/log.",
    )
    access_log: bool = setting(
        False, BOOLEAN, "Whether the log has a line for each request, at level INFO."
    )
    metrics: MetricsReaders = setting(
        MetricsReaders.USERS,
        choice(MetricsReaders),
        "Who may read `/metrics`: `users` of the API who have the right to, or `everybody`.",
    )
    working_directory: Path | None = setting(
        None, PATH, "Folder for the files of running tasks; without it, `work` in the data folder."
    )

    @property
    def scheme(self) -> str:
        """How the API is spoken to: http or https."""
        return "https" if self.certificate else "http"


@dataclass(frozen=True, kw_only=True)
class Security:
    """Client certificates of users, as `actions/login/` makes them."""

    cacert: Path | None = setting(
        None,
        PATH,
        "PEM file of the authority that client certificates are made by; without it, one is made "
        "in the data folder.",
    )
    cakey: Path | None = setting(
        None, PATH, "PEM file of that authority's private key, without a password."
    )
    user_cert_expiration: int = setting(
        7, integer(1, 3650), "Days for which a client certificate is valid."
    )
    client_certificates: bool = setting(
        True,
        BOOLEAN,
        "Whether clients are asked for a certificate where the API speaks https; they need none, "
        "but one of another authority is refused.",
    )
    client_certificate_header: str | None = setting(
        None,
        TEXT,
        "Header in which trusted proxies send the certificate of the client (PEM, or base64); "
        "they must replace what clients send in it. Without it, none is believed.",
    )


@dataclass(frozen=True, kw_only=True)
class Database:
    """Where state and journal are kept."""

    url: str | None = setting(
        None,
        DATABASE_URL,
        "PostgreSQL database of all servers and workers; without it, SQLite in the data folder.",
    )
    search_seconds: float = setting(
        10.0, number(0.1), "Seconds after which a search that a client has sent is broken off."
    )


@dataclass(frozen=True, kw_only=True)
class Storage:
    """Where the packages and the publications are kept, and the database if it is SQLite."""

    data: Path = setting(
        _DATA_FOLDER,
        PATH,
        "Folder of content and publications, shared by all servers and workers of a PostgreSQL "
        "database; with SQLite, of the database too, and for one server.",
    )
    publication_grace: float = setting(
        1.0, number(), "Hours for which a replaced publication stays for those who read it."
    )
    disk_floor: int = setting(
        256 << 20,
        SIZE,
        "Room on the disk below which the server says that it is not ready; 0 is no floor.",
    )


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """How tasks are run."""

    engine: EngineKind = setting(
        EngineKind.EMBEDDED,
        choice(EngineKind),
        "Who runs tasks: the server itself (`embedded`), or `pulpit worker` on any number of "
        "machines (`distributed`, which needs a PostgreSQL database).",
    )
    workers: int = setting(
        _WORKERS, integer(1, 1024), "Number of tasks that a server or a worker runs at a time."
    )
    worker_timeout: float = setting(
        30.0,
        number(3),
        "Seconds without a heartbeat after which a `pulpit worker` counts as lost: its tasks are "
        "canceled.",
    )
    max_memory: int = setting(
        2 << 30, SIZE, "Memory that a task's process may take; 0 is no limit."
    )
    max_cpu: int = setting(
        14400, integer(), "Processor seconds that a task's process may take; 0 is no limit."
    )


@dataclass(frozen=True, kw_only=True)
class Messaging:
    """The broker that events are published to."""

    event_notifications_enabled: bool = setting(
        False, BOOLEAN, "Whether events are sent by AMQP, to a broker or through the door."
    )
    event_notification_url: tuple[str, ...] | None = setting(
        None,
        BROKER_URLS,
        "Broker to publish to; several are tried in turn. Without it, the one on this machine's "
        "port 5672, or the server's own door there if nothing listens.",
    )
    topic_exchange: str = setting(
        "amq.topic", QUOTED, "Topic exchange of listeners of type amqp that name none."
    )
    auth_enabled: bool = setting(
        True, BOOLEAN, "Whether `clientcert` is shown to a broker at amqps://."
    )
    cacert: Path | None = setting(
        None, PATH, "PEM file of the authorities that vouch for the broker; else the system's."
    )
    clientcert: Path | None = setting(
        None, PATH, "PEM file of the key and certificate to show to the broker."
    )

    @property
    def certificate_to_show(self) -> Path | None:
        """The certificate that a broker at amqps:// is shown, if any."""
        return self.clientcert if self.auth_enabled else None

    @property
    def broker_urls(self) -> tuple[str, ...]:
        """The brokers to try in turn, of which there is always one."""
        return self.event_notification_url or (LOCAL_BROKER_URL,)


@dataclass(frozen=True, kw_only=True)
class Door:
    """The server's own AMQP port for consumers where there is no broker."""

    address: Address | None = setting(
        None, ADDRESS, "Where the door listens; without it, where `[messaging]` calls for it."
    )
    anonymous: Anonymous = setting(
        Anonymous.OFF,
        choice(Anonymous),
        "Whether consumers on this machine may log in as guest with password guest.",
    )
    tls: bool = setting(
        False,
        BOOLEAN,
        "Whether the door speaks TLS (amqps), with `certificate` and `private_key` of `[server]`.",
    )


@dataclass(frozen=True, kw_only=True)
class Events:
    """The journal of events: what is kept, and for how long."""

    progress_burst: int = setting(
        1000, integer(1), "Progress updates of a task that are kept before the rate applies."
    )
    progress_rate: float = setting(
        50.0, number(), "Progress updates of a task kept a second from then on; 0 keeps all."
    )
    progress_rows: int = setting(
        200, integer(2), "Progress events of one task that are kept for those who resume."
    )
    progress_hours: float = setting(
        1.0, number(), "Hours for which progress events of an ended task are kept."
    )
    status_days: float = setting(7.0, number(), "Days for which status events are kept.")
    status_rows: int = setting(1_000_000, integer(1), "Status events that are kept at most.")
    unconfirmed_size: int = setting(
        1 << 30,
        SIZE,
        "Size of the status events that wait for a broker longer than they would be kept.",
    )
    source: str | None = setting(
        None,
        WEB_URL,
        "URL at which clients reach this server, through a proxy, say; it stands in events. "
        "Without it, http:// or https:// with server_name and port.",
    )


@dataclass(frozen=True, kw_only=True)
class Feeds:
    """Limits of what is fetched from feeds."""

    concurrency: int = setting(10, integer(1, 100), "Downloads at a time for each task.")
    connect_timeout: float = setting(10.0, number(0.1), "Seconds to wait for a connection.")
    read_timeout: float = setting(60.0, number(0.1), "Seconds to wait for the next bytes.")
    max_metadata: int = setting(
        4 << 30, SIZE, "Size of one metadata file, after decompression, that is accepted."
    )
    checksum_types: tuple[str, ...] = setting(
        ("sha1", "sha224", "sha256", "sha384", "sha512"),
        HASHES,
        "Checksums by which content may be verified; add md5 for very old feeds.",
    )


@dataclass(frozen=True, kw_only=True)
class Uploads:
    """Limits of what clients upload."""

    max_size: int = setting(8 << 30, SIZE, "Size of one upload that is accepted.")
    max_chunk: int = setting(64 << 20, SIZE, "Size of one request of an upload that is accepted.")
    max_open: int = setting(
        1000, integer(1), "Uploads that may be there at a time; each is there until it is deleted."
    )
    idle_hours: float = setting(
        72.0, number(0.01), "Hours after which an upload that nothing happens to is removed."
    )


@dataclass(frozen=True, kw_only=True)
class DataReaping:
    """When old records are removed."""

    reaper_interval: float = setting(
        0.25, number(0.001), "Days between two runs that remove old records."
    )
    task_status_history: float = setting(7.0, number(), "Days for which ended tasks are kept.")


@dataclass(frozen=True, kw_only=True)
class Listeners:
    """How listeners are told of events: when they are tried again, how many at a time."""

    timeout: float = setting(15.0, number(0.1), "Seconds that one attempt may take.")
    retry_hours: float = setting(
        28.0,
        number(),
        "Hours over which a delivery that fails is tried again, less and less often; 0 tries once.",
    )
    disable_days: float = setting(
        5.0,
        number(),
        "Days of failures alone after which a listener is disabled; 0 never does that.",
    )
    concurrency: int = setting(64, integer(1, 1024), "Deliveries at a time, to all listeners.")
    per_listener: int = setting(8, integer(1, 1024), "Deliveries at a time to one listener.")
    rate: float = setting(
        0.0, number(), "Deliveries a second to one listener at the most; 0 is no limit."
    )
    history_days: float = setting(
        7.0, number(), "Days for which deliveries that are over are kept, to be seen and resent."
    )
    allow_networks: tuple[Network, ...] = setting(
        (),
        NETWORKS,
        "Networks that listeners of type http may be in although they are not public, such as "
        "127.0.0.0/8 or 10.0.0.0/8.",
    )


@dataclass(frozen=True, kw_only=True)
class Email:
    """The mail server that listeners of type email use."""

    enabled: bool = setting(False, BOOLEAN, "Whether mails are sent at all.")
    host: str = setting("localhost", HOST, "Mail server.")
    port: int = setting(25, integer(1, 65535), "Its port.")
    sender: str = setting("no-reply@localhost", TEXT, "Address that mails come from.", key="from")
    starttls: StartTls = setting(
        StartTls.OFFERED,
        choice(StartTls),
        "Whether mails go by TLS: `off`, where it is `offered` (by whomever, unless `cacert` is "
        "set or a password goes to another machine), or always (`required`).",
    )
    user: str | None = setting(
        None, TEXT, "Login at the mail server; it is shown by TLS, or to this machine, alone."
    )
    password: str | None = setting(None, TEXT, "Password of that login.", secret=True)
    cacert: Path | None = setting(
        None, PATH, "PEM file of the authorities that vouch for the mail server; else the system's."
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set, as it holds for this process."""

    server: Server = field(default_factory=Server)
    security: Security = field(default_factory=Security)
    database: Database = field(default_factory=Database)
    storage: Storage = field(default_factory=Storage)
    tasks: Tasks = field(default_factory=Tasks)
    messaging: Messaging = field(default_factory=Messaging)
    door: Door = field(default_factory=Door)
    events: Events = field(default_factory=Events)
    feeds: Feeds = field(default_factory=Feeds)
    uploads: Uploads = field(default_factory=Uploads)
    data_reaping: DataReaping = field(default_factory=DataReaping)
    listeners: Listeners = field(default_factory=Listeners)
    email: Email = field(default_factory=Email)
    #: Keys of Pulp 2 that were set and have no use here, such as ``[database] name``.
    ignored: tuple[str, ...] = ()
    #: What the log should say once about values that were read in another sense than written.
    notes: tuple[str, ...] = ()
    #: (section, key) to where the value comes from; a key that is absent has its default.
    origins: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def work_folder(self) -> Path:
        """The folder for the files of running tasks."""
        return self.server.working_directory or self.storage.data / "work"

    @property
    def event_source(self) -> str:
        """The URL of this server in events."""
        server = self.server
        return self.events.source or f"{server.scheme}://{server.server_name}:{server.port}"

    def value(self, setting: Setting) -> object:
        """Return the value that a row of the table has here."""
        return getattr(getattr(self, setting.section), setting.attribute)


#: Section to its class; the names are those in the file.
SECTIONS: Mapping[str, type[Any]] = {
    "server": Server,
    "security": Security,
    "database": Database,
    "storage": Storage,
    "tasks": Tasks,
    "messaging": Messaging,
    "door": Door,
    "events": Events,
    "feeds": Feeds,
    "uploads": Uploads,
    "data_reaping": DataReaping,
    "listeners": Listeners,
    "email": Email,
}


def all_settings() -> tuple[Setting, ...]:
    """Return the table of settings, in the order of the example file."""
    return tuple(
        row for section, kind in SECTIONS.items() for row in section_settings(section, kind)
    )

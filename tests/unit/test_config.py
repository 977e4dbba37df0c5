"""What holds when the file, the environment and the command line are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pulpit import config
from pulpit.config import Address, Anonymous, LogLevel, LogType, Settings
from pulpit.errors import ConfigurationError

Write = Callable[[str], Path]

#: A file as an installation of Pulp 2 has it.
PULP2_FILE = """\
# an upgraded installation

[database]
name: pulp_database
seeds: localhost:27017
# username: pulp
password: Secret%with%percent
verify_ssl: true
unsafe_autoretry: false
write_concern: majority

[server]
server_name: pulp.example.com
key_url: /pulp/gpg
ks_url: /pulp/ks
default_login: admin
default_password: admin
debugging_mode: false
log_level: info
log_type: syslog
working_directory: /var/cache/pulp

[authentication]
rsa_key: /etc/pki/pulp/rsa.key
rsa_pub: /etc/pki/pulp/rsa_pub.key

[security]
cacert: /etc/pki/pulp/ca.crt
cakey: /etc/pki/pulp/ca.key
user_cert_expiration: 7

[consumer_history]
lifetime: 180

[data_reaping]
reaper_interval: 0.25
consumer_history: 60
task_status_history: 7
task_result_history: 3

[ldap]
enabled: false
uri: ldap://localhost
filter: (gidNumber=200)

[oauth]
enabled: false
oauth_key:
oauth_secret:

[messaging]
url: tcp://broker.example.com:5672
transport: qpid
auth_enabled: true
cacert: /etc/pki/pulp/qpid/ca.crt
clientcert: /etc/pki/pulp/qpid/client.crt
topic_exchange: 'amq.topic'
event_notifications_enabled: true
event_notification_url: qpid://broker.example.com:5672/

[tasks]
broker_url: qpid://broker.example.com/
celery_require_ssl: false
worker_timeout: 30

[email]
host = localhost
port = 25
from = no-reply@your.domain
enabled = false

[lazy]
redirect_host = cdn.example.com
https_retrieval = true
download_concurrency = 5

[profiling]
enabled: false
directory: /var/lib/pulp/c_profiles
"""


#: Every section and key of Pulp 2.21.
PULP2_KEYS = {
    "authentication": "rsa_key rsa_pub",
    "consumer_history": "lifetime",
    "data_reaping": "reaper_interval consumer_history repo_sync_history repo_publish_history "
    "repo_group_publish_history task_status_history task_result_history",
    "database": "name seeds username password replica_set ssl ssl_keyfile ssl_certfile verify_ssl "
    "ca_path unsafe_autoretry write_concern x509_auth",
    "email": "host port from enabled",
    "lazy": "redirect_host redirect_port redirect_path https_retrieval download_interval "
    "download_concurrency",
    "ldap": "enabled uri base tls default_role filter",
    "messaging": "url transport auth_enabled cacert clientcert topic_exchange "
    "event_notifications_enabled event_notification_url",
    "oauth": "enabled oauth_key oauth_secret",
    "profiling": "enabled directory",
    "security": "cacert cakey ssl_ca_certificate user_cert_expiration consumer_cert_expiration",
    "server": "server_name key_url ks_url default_login default_password debugging_mode log_level "
    "log_type working_directory",
    "tasks": "broker_url celery_require_ssl cacert keyfile certfile login_method worker_timeout",
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration file."""

    def _write(text: str) -> Path:
        path = tmp_path / "server.conf"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def load(path: Path | None = None, **variables: str) -> Settings:
    """Read *path* and the variables, nothing of this process."""
    return config.load(path, environ=variables)


def refused(path: Path, **variables: str) -> ConfigurationError:
    """Return the error that reading raises."""
    with pytest.raises(ConfigurationError) as caught:
        load(path, **variables)
    return caught.value


def test_a_file_of_pulp2_loads(write: Write) -> None:
    """A server.conf of Pulp 2 loads unchanged; what has a use here is used."""
    settings = load(write(PULP2_FILE))
    assert settings.server.server_name == "pulp.example.com"
    assert (settings.server.default_login, settings.server.default_password) == ("admin", "admin")
    assert settings.server.log_level is LogLevel.INFO
    assert settings.server.log_type is LogType.SYSLOG
    assert settings.work_folder == Path("/var/cache/pulp")
    assert settings.messaging.topic_exchange == "amq.topic"
    assert settings.messaging.event_notifications_enabled is True
    assert settings.messaging.cacert == Path("/etc/pki/pulp/qpid/ca.crt")
    assert settings.email.sender == "no-reply@your.domain"


def test_keys_of_pulp2_without_a_use_are_collected_once(write: Write) -> None:
    """Keys of Pulp 2 that have no use here are named, each once, and never their values."""
    ignored = load(write(PULP2_FILE)).ignored
    assert {"[database] name", "[lazy] download_concurrency", "[tasks] broker_url"} < set(ignored)
    assert len(ignored) == len(set(ignored))
    assert "[messaging] event_notification_url" not in ignored
    assert "Secret" not in str(ignored)


@pytest.mark.parametrize("section", PULP2_KEYS)
def test_every_key_of_pulp2_is_known(write: Write, section: str) -> None:
    """No key of Pulp 2.21 is unknown, with or without a value."""
    keys = PULP2_KEYS[section].split()
    load(write(f"[{section}]\n" + "".join(f"{key}:\n" for key in keys)))
    used = {row.key for row in config.all_settings() if row.section == section}
    without_use = [key for key in keys if key not in used]
    settings = load(write(f"[{section}]\n" + "".join(f"{key} = x\n" for key in without_use)))
    assert settings.ignored == tuple(f"[{section}] {key}" for key in without_use)


@pytest.mark.parametrize("level", ["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET"])
def test_the_log_levels_of_pulp2(write: Write, level: str) -> None:
    """Every level that Pulp 2 knew is one here."""
    assert load(write(f"[server]\nlog_level: {level}\n")).server.log_level == level


def test_pulp2_spellings_of_a_broker_are_read_as_amqp(write: Write) -> None:
    """qpid, tcp and ssl become amqp and amqps, with one note for each."""
    settings = load(
        write("[messaging]\nevent_notification_url: qpid://a/; tcp://b:1 ; ssl://c;tcp://d\n")
    )
    assert settings.messaging.broker_urls == ("amqp://a/", "amqp://b:1", "amqps://c", "amqp://d")
    assert [note.partition(": ")[2] for note in settings.notes] == [
        "qpid:// is read as amqp://",
        "tcp:// is read as amqp://",
        "ssl:// is read as amqps://",
    ]


def test_without_a_url_the_broker_is_the_local_one(write: Write) -> None:
    """An absent or empty URL means the local notification server, and can be told apart."""
    settings = load(write("[messaging]\nevent_notification_url:\n"))
    assert settings.messaging.event_notification_url is None
    assert settings.messaging.broker_urls == (config.LOCAL_BROKER_URL,)
    assert settings.messaging.event_notifications_enabled is False


def test_inline_comments_are_those_of_pulp2(write: Write) -> None:
    """A semicolon after a space begins a comment; a # and a semicolon without space do not."""
    text = '[server]\nport: 81 ; the port\ndefault_login: a;b#c ; d\ndefault_password: ""\n'
    server = load(write(text)).server
    assert (server.port, server.default_login, server.default_password) == (81, "a;b#c", None)


def test_later_sources_win(write: Write) -> None:
    """The environment wins over the file and the command line over both; None is no value."""
    path = write("[server]\nport: 1\nhost: 10.0.0.1\n[tasks]\nworkers: 3\n[email]\nenabled: on\n")
    settings = config.load(
        path,
        environ={"PULPIT_SERVER_PORT": "2", "PULPIT_SERVER_HOST": "10.0.0.2"},
        overrides={
            ("server", "port"): 3,
            ("server", "host"): None,
            ("email", "enabled"): False,
        },
    )
    assert (settings.server.host, settings.server.port) == ("10.0.0.2", 3)
    assert (settings.tasks.workers, settings.email.enabled) == (3, False)
    assert settings.origins == {
        ("server", "port"): "command line",
        ("server", "host"): "variable PULPIT_SERVER_HOST",
        ("tasks", "workers"): str(path),
        ("email", "enabled"): "command line",
    }


def test_the_last_of_equal_keys_wins(write: Write) -> None:
    """Sections and keys may be repeated, as Pulp 2 allowed."""
    assert load(write("[server]\nport: 1\n[door]\n[server]\nPORT = 2\n")).server.port == 2


def test_a_bom_and_crlf_are_no_trouble(tmp_path: Path) -> None:
    """A file saved by an editor of another system is read."""
    path = tmp_path / "server.conf"
    path.write_bytes(b"\xef\xbb\xbf[server]\r\nport: 99\r\n")
    assert load(path).server.port == 99


def test_the_door(write: Write) -> None:
    """The door's address and its anonymous readers are set by their names."""
    door = load(write("[door]\naddress: [::1]:0\nanonymous: loopback\n")).door
    assert (door.address, door.anonymous) == (Address("::1", 0), Anonymous.LOOPBACK)
    assert str(door.address) == "[::1]:0"


@pytest.mark.parametrize(
    ("text", "section", "key", "nearest"),
    [
        ("[server]\nprot: 1\n", "server", "prot", "[server] port"),
        (
            "[mesaging]\nevent_notification_url: amqp://a\n",
            "mesaging",
            "event_notification_url",
            "[messaging] event_notification_url",
        ),
        ("[server]\nworkers: 1\n", "server", "workers", "[tasks] workers"),
        ("[DEFAULT]\nport: 1\n", "DEFAULT", "port", "[server] port"),
        ("[door]\nadress: 1\n", "door", "adress", "[door] address"),
    ],
)
def test_an_unknown_key_is_an_error(
    write: Write, text: str, section: str, key: str, nearest: str
) -> None:
    """The error names file, section, key and the nearest known key."""
    path = write(text)
    error = refused(path)
    assert (error.source, error.section, error.key) == (str(path), section, key)
    assert nearest in error.message
    assert f"[{section}]" in error.message


def test_an_unknown_section_without_keys_is_an_error(write: Write) -> None:
    """Even an empty section is refused, as it is most likely a slip."""
    assert refused(write("[servr]\n")).section == "servr"


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("server", "port: 65536"),
        ("server", "port: -1"),
        ("server", "port: 8o80"),
        ("server", "port: ٨"),
        ("server", "host: a b"),
        ("server", "log_level: loud"),
        ("server", "working_directory: relative"),
        ("server", "default_login: a\n  host: b"),
        ("messaging", "event_notifications_enabled: maybe"),
        ("messaging", "event_notification_url: http://a"),
        ("messaging", "event_notification_url: amqp://"),
        ("messaging", "event_notification_url: amqp://a:99999"),
        ("messaging", "event_notification_url: amqp://a:b"),
        ("messaging", "event_notification_url: amqp://a;;b"),
        ("messaging", "topic_exchange: ''"),
        ("door", "address: 5672"),
        ("door", "address: ::1:5672"),
        ("door", "anonymous: yes"),
        ("tasks", "workers: 0"),
        ("tasks", "max_memory: 2 potatoes"),
        ("tasks", "worker_timeout: nan"),
        ("events", "progress_rate: inf"),
        ("events", "status_days: -1"),
        ("events", "source: nowhere"),
        ("feeds", "checksum_types: sha256, rot13"),
    ],
)
def test_a_bad_value_is_an_error(write: Write, section: str, line: str) -> None:
    """The error names file, section and key, and says what is wrong with the value."""
    path = write(f"[{section}]\n{line}\n")
    error = refused(path)
    assert (error.source, error.section) == (str(path), section)
    assert error.key == line.partition(":")[0]
    assert len(error.message) > len(f"{path} [{section}] {error.key}: ")
    assert "\n" not in error.message


def test_a_bad_variable_is_named(write: Write) -> None:
    """A value or key from the environment is an error that names the variable."""
    path = write("")
    assert "variable PULPIT_SERVER_PORT" in refused(path, PULPIT_SERVER_PORT="x").message
    assert "[door] address" in refused(path, PULPIT_DOOR_ADRESS="x").message


def test_variables_of_others_are_left_alone(write: Write) -> None:
    """Variables of the client, of orchestrators and of other programs are no settings."""
    others = {"PULPIT_URL": "http://a", "PULPIT_SERVICE_HOST": "10.0.0.1", "PATH": "/bin"}
    assert load(write(""), **others).origins == {}


def test_an_empty_variable_is_none(write: Write) -> None:
    """An empty variable leaves what the file says."""
    assert load(write("[server]\nport: 7\n"), PULPIT_SERVER_PORT=" ").server.port == 7


@pytest.mark.parametrize("content", [b"port: 1\n", b"[server]\nnonsense\n", b"[server]\n\xff: 1\n"])
def test_what_is_not_an_ini_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    """A line before the first section, one without a key or one not in UTF-8 is told."""
    path = tmp_path / "server.conf"
    path.write_bytes(content)
    assert str(path) in refused(path).message


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    """An absent file, or a folder in its place, is an error that names it."""
    assert "no such file" in refused(tmp_path / "absent.conf").message
    assert str(tmp_path) in refused(tmp_path).message


def test_the_data_folder_follows_the_environment() -> None:
    """The default data folder is absolute, whoever runs the server."""
    folder = load(XDG_DATA_HOME="relative").storage.data
    assert folder.is_absolute()
    assert folder.name == "pulpit"
    assert load(PULPIT_STORAGE_DATA="/srv/pulpit").work_folder == Path("/srv/pulpit/work")


def test_secrets_are_never_shown(write: Write) -> None:
    """Neither a report nor a repr nor an error shows a password."""
    path = write(
        "[server]\ndefault_password: hunter2\n"
        "[messaging]\nevent_notification_url: amqp://u:hunter2@h ; amqp://u:hunter2@@h2\n"
        "[database]\nurl: postgresql://u:hunter2@a,b:5/d?sslpassword=hunter2&password=hunter2\n"
    )
    settings = load(path)
    shown = {row.key: row.value for row in config.describe(settings)}
    assert "hunter2" not in str(shown) + repr(settings)
    assert shown["default_password"] == "********"
    assert shown["url"] == "postgresql://u:***@a,b:5/d?sslpassword=***&password=***"
    assert shown["event_notification_url"] == "amqp://u:***@h; amqp://u:***@h2"
    for bad in (
        "[messaging]\nevent_notification_url: http://u:hunter2@h\n",
        "[messaging]\nevent_notification_url: amqp://u:hunter2/@h\n",
        "[messaging]\nevent_notification_url: amqp://u:hunter2@h:x\n",
        "[server]\ndefault_password: hunter2\n line\n",
        "[database]\nurl: mysql://u:hunter2@h/d?password=hunter2\n",
        "[database]\nurl: postgresql://u:hunter2@h/d ?password=hunter2\n",
        "[server]\nhunter2\n",
    ):
        assert "hunter2" not in refused(write(bad)).message


def test_a_space_in_a_password_is_told_apart_from_no_url(write: Write) -> None:
    """The message says how to write it."""
    told = refused(write("[database]\nurl: postgresql://u:choose one@h/d\n")).message
    assert "%20" in told
    assert "choose" not in told


def test_describe_tells_value_and_origin(write: Write) -> None:
    """Every setting is described with its value now and the place it comes from."""
    path = write("[tasks]\nmax_memory: 1024 MiB\n")
    described = {(row.section, row.key): row for row in config.describe(load(path))}
    memory = described["tasks", "max_memory"]
    assert (memory.value, memory.origin, memory.default) == ("1 GiB", str(path), "2 GiB")
    assert described["email", "from"].origin == "default"
    assert all(row.meaning.endswith(".") and row.type for row in described.values())


def test_the_example_is_a_file_that_loads(write: Write) -> None:
    """The example loads as it is, and with every key uncommented gives the defaults."""
    text = config.example()
    assert load(write(text)).origins == {}
    lines = [line.removeprefix("# ") for line in text.splitlines() if not line.startswith("##")]
    uncommented = load(write("\n".join(lines[1:])))
    defaults = load()
    assert all(uncommented.value(row) == defaults.value(row) for row in config.all_settings())


def test_no_variable_stands_for_two_settings() -> None:
    """Sections and keys join to variables without a clash."""
    variables = [row.variable for row in config.all_settings()]
    assert len(variables) == len(set(variables))


def test_the_default_url_is_where_the_server_listens() -> None:
    """The client's default address is the server's own."""
    server = load().server
    assert f"http://{server.host}:{server.port}" == config.DEFAULT_URL


def test_certificate_and_key_go_together(write: Write) -> None:
    """One without the other is refused, and so is TLS at the door without them."""
    both = "certificate: /etc/tls/a.pem\nprivate_key: /etc/tls/a.key\n"
    settings = load(write(f"[server]\nserver_name: a\n{both}[door]\ntls: on\n"))
    assert settings.door.tls
    assert settings.event_source == "https://a:8080"
    for line in both.splitlines():
        assert "set " in refused(write(f"[server]\n{line}\n")).message
    assert refused(write("[door]\ntls: on\n")).key == "tls"


def test_an_authority_has_a_certificate_and_a_key(write: Write) -> None:
    """One without the other is refused."""
    both = "cacert: /etc/pki/ca.pem\ncakey: /etc/pki/ca.key\n"
    assert load(write(f"[security]\n{both}")).security.cakey == Path("/etc/pki/ca.key")
    for line in both.splitlines():
        error = refused(write(f"[security]\n{line}\n"))
        assert (error.section, "set " in error.message) == ("security", True)


def test_trusted_proxies(write: Write) -> None:
    """Addresses and networks of both kinds; names and half-written networks are refused."""
    path = write("[server]\ntrusted_proxies: 127.0.0.1, ::1 192.0.2.0/24, fd00::/8, ::1\n")
    (row,) = [row for row in config.all_settings() if row.key == "trusted_proxies"]
    settings = load(path)
    assert row.shown(settings.server.trusted_proxies) == "127.0.0.1, ::1, 192.0.2.0/24, fd00::/8"
    for bad in ("proxy.example.com", "192.0.2.7/24", "*", "127.0.0.1:80", "unix:"):
        assert "192.0.2.0/24" in refused(write(f"[server]\ntrusted_proxies: {bad}\n")).message
    assert load().server.trusted_proxies == ()

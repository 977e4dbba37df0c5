"""The API as clients find it: reachable, ready, with the right clock and a login that works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from pulpit.app.certificates import trusting
from pulpit.app.doctor.findings import Check, Note, Problem, Skip
from pulpit.client.connection import Auth, authorities, http_auth, secure_error

__all__ = ["Api", "Web"]

#: Seconds by which clocks may differ: worth a word; to be mended.
_SKEW, _TOO_MUCH_SKEW = 5.0, 60.0
_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Where the API is looked for, and as whom."""

    #: None: nobody knows, since the server takes a free port.
    url: str | None
    #: Login and password; None for none.
    #: Login and password, or a token.
    login: Auth = field(default=None, repr=False)
    #: Why no login can be read; empty if one can.
    login_problem: str = ""
    #: File of the authorities that clients trust; None for the system's.
    cafile: str | None = None
    #: The server's own certificate, which is trusted under any name: its address may be that of
    #: this machine. None where the user has named the address.
    certificate: Path | None = None
    #: Carries the requests; None for the network.
    transport: httpx.BaseTransport | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(slots=True)
class Web:
    """One server's API.

    Args:
        api: where it is.
        server: returns the process that should answer, None if none runs.
    """

    api: Api
    server: Callable[[], int | None]

    def checks(self) -> Sequence[Check]:
        """Return what there is to look at."""
        return (
            Check(name="api", title="API", answer=self.check_reach),
            Check(name="ready", title="Ready", answer=self.check_ready, needs=("api",)),
            Check(name="clock", title="Clock", answer=self.check_clock, needs=("api",)),
            Check(name="login", title="Login", answer=self.check_login, needs=("api",)),
        )

    def check_reach(self) -> str:
        """Look whether a server answers at the address."""
        if self.api.url is None:
            raise Skip("the server takes a free port", "name its address with --url")
        try:
            answer = self._get("/live")
        except OSError as error:
            # of the network, httpx raises errors of its own
            raise Skip("the server's certificate can't be used, as said above") from error
        except httpx.HTTPError as error:
            if trouble := secure_error(self.api.url, error):
                raise Problem(
                    f"what answers at {self.api.url} is not to be trusted: {trouble.reason}",
                    "a running server shows a new certificate once it gets SIGHUP; for another "
                    "address, name the file of its authority with --cafile",
                ) from error
            if self.server() is None:
                raise Skip(f"no server runs, and nothing answers at {self.api.url}") from error
            raise Problem(
                f"the server runs, but nothing answers at {self.api.url} ({error})",
                "name its address with --url, or look at host and port in [server]",
            ) from error
        try:
            known = answer.json()["status"]
        except (ValueError, KeyError, TypeError) as error:
            raise Problem(
                f"what answers at {self.api.url} is no Pulpit server of this version",
                "stop what listens there, or choose another port in [server]",
            ) from error
        if answer.status_code != HTTPStatus.OK:
            raise Problem(f"{self.api.url} says that it is not live", "restart the server")
        return f"{self.api.url} answers: {known}"

    def check_ready(self) -> str:
        """Look whether the server wants requests."""
        document = self._get("/ready").json()
        others = [check for check in document["checks"] if check["status"] != "ok"]
        unwell = [f"{check['name']}: {check['reason']}" for check in others]
        if document["status"] == "failed":
            raise Problem("; ".join(unwell), "see the checks above and the server's log")
        if unwell:
            is_broker = all(check["name"] == "broker" for check in others)
            where = "the broker below" if is_broker else "the checks above and the server's log"
            raise Note("; ".join(unwell), f"see {where}")
        return "requests are welcome"

    def check_clock(self) -> str:
        """Look whether the clocks here and there agree; a broker does not tell its own."""
        before = self.api.now()
        date = self._get("/live").headers.get("date")
        after = self.api.now()
        if date is None:
            raise Skip("the server told no date")
        # the header has whole seconds
        middle = before + (after - before) / 2
        skew = abs((parsedate_to_datetime(date) - middle).total_seconds() + 0.5)
        words = f"{skew:.0f} s between this clock and the server's"
        if skew > _TOO_MUCH_SKEW:
            raise Problem(words, "let both machines take their time by NTP: certificates need it")
        if skew > _SKEW:
            raise Note(words, "let both machines take their time by NTP")
        return "this one and the server's agree; a broker does not tell its own"

    def check_login(self) -> str:
        """Look whether the saved login is one of the server's users."""
        if self.api.login_problem:
            raise Problem(self.api.login_problem, "mend the credentials file, or remove it")
        if self.api.login is None:
            raise Skip("no login is known", "run `pulpit login`, or set PULPIT_USER")
        login = self.api.login
        who = "the user of the token" if isinstance(login, str) else login[0]
        answer = self._get("/pulp/api/v2/plugins/types/", auth=login)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise Problem(
                f"the server does not let {who} in",
                "run `pulpit login`, or correct PULPIT_USER and PULPIT_PASSWORD, or PULPIT_TOKEN",
            )
        return f"{who} is let in"

    def _get(self, path: str, *, auth: Auth = None) -> httpx.Response:
        """Ask the server."""
        options: dict[str, Any] = {"base_url": self.api.url or "", "timeout": _SECONDS}
        if (self.api.url or "").startswith("https"):
            own = self.api.certificate
            options["verify"] = trusting(own) if own else authorities(self.api.cafile)
        with httpx.Client(transport=self.api.transport, trust_env=False, **options) as client:
            return client.get(path, auth=http_auth(auth)) if auth else client.get(path)

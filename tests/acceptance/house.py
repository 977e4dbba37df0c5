"""A server and a feed, with what tests of repositories do with them over REST."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pulpit.client import CallReport, Client, TaskReport
from tests.acceptance.server import PulpitServer
from tests.services.http import FeedServer

__all__ = ["House"]


@dataclass(frozen=True, kw_only=True)
class House:
    """A server with its client, and the feed that its repositories sync."""

    server: PulpitServer
    client: Client
    feed: FeedServer

    def create(self, repo_id: str, **importer_config: object) -> str:
        """Create a repository of the feed with distributor ``web``; return its published URL."""
        self.client.create_repository(
            {
                "id": repo_id,
                "importer_type_id": "yum_importer",
                "importer_config": {"feed": self.feed.url, **importer_config},
                "distributors": [
                    {
                        "distributor_id": "web",
                        "distributor_type_id": "yum_distributor",
                        "auto_publish": False,
                        "distributor_config": {
                            "relative_url": f"chapel/{repo_id}",
                            "http": True,
                            "https": False,
                        },
                    }
                ],
            }
        )
        return f"{self.server.url}/pulp/repos/chapel/{repo_id}/"

    def sync(self, repo_id: str) -> TaskReport:
        """Return the report of a sync that is over, well or not."""
        return self.over(self.client.sync(repo_id))

    def publish(self, repo_id: str) -> TaskReport:
        """Return the report of a publish that is over, well or not."""
        return self.over(self.client.publish(repo_id, "web"))

    def renew(self, repo_id: str) -> None:
        """Sync and publish; both must finish."""
        for report in (self.sync(repo_id), self.publish(repo_id)):
            assert report.state == "finished", report.error

    def ended(self, task_id: str) -> TaskReport | None:
        """Return the report of a task if it is complete."""
        report = self.client.task(task_id)
        return report if report.state.is_complete else None

    def over(self, call: CallReport, *, seconds: float = 60.0) -> TaskReport:
        """Return the report of the call's task once it is complete.

        Raises:
            TimeoutError: it is not complete after that time.
        """
        (task_id,) = call.spawned
        deadline = time.monotonic() + seconds
        while not (report := self.client.task(task_id)).state.is_complete:
            if time.monotonic() > deadline:
                raise TimeoutError(f"task {task_id} is still {report.state} after {seconds} s")
            time.sleep(0.02)
        return report

"""What the core needs from outside, as Protocols; each docstring states its obligations.

Implementations are called from many threads at once unless a docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pulpit.domain.associations import Association, UnitCriteria
from pulpit.domain.copies import CopyOrder
from pulpit.domain.criteria import Criteria, Selection
from pulpit.domain.deliveries import Delivery, DeliveryState, Parcel, Receipt
from pulpit.domain.events import Event, NewEvent
from pulpit.domain.listeners import Health, Listener, OpenListener, Secrets
from pulpit.domain.messages import Message
from pulpit.domain.orphans import Orphan
from pulpit.domain.outcomes import Update
from pulpit.domain.permissions import Grant, Operation
from pulpit.domain.published import Root
from pulpit.domain.repo_groups import RepoGroup
from pulpit.domain.repositories import Distributor, Importer, Publication, Repository
from pulpit.domain.roles import Role
from pulpit.domain.schedules import Schedule, Scheduled
from pulpit.domain.tasks import Task, TaskState
from pulpit.domain.tokens import Token
from pulpit.domain.units import Unit, UnitFile
from pulpit.domain.uploads import Upload, Uploaded
from pulpit.domain.users import Identity, User
from pulpit.domain.workers import Vacancy, Worker

__all__ = [
    "CertificateAuthority",
    "Clock",
    "ContentStore",
    "ContentTypes",
    "CursorStore",
    "DeliveryStore",
    "DistributorType",
    "Downloader",
    "Engine",
    "EventHistory",
    "EventSource",
    "FileStore",
    "ImporterType",
    "JobStore",
    "JournalStore",
    "LeaseStore",
    "ListenerStore",
    "Notifier",
    "PermissionStore",
    "PublicationStore",
    "RepoGroupStore",
    "RepositoryStore",
    "RoleStore",
    "ScheduleStore",
    "SharedCursorStore",
    "Storage",
    "TaskContext",
    "TaskLifecycle",
    "TaskStore",
    "TokenStore",
    "ToldBefore",
    "Transaction",
    "UploadStore",
    "UserStore",
    "Vault",
    "WorkerStore",
]

#: Returns the present time, aware, in UTC.
Clock = Callable[[], datetime]


class TaskStore(Protocol):
    """The tasks, and the queue of those who want a resource."""

    def add(self, task: Task) -> Task:
        """Keep a new task and queue it for each of its resources; return it with its number."""

    def add_all(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """Do the same with many, whose numbers are in their order."""

    def get(self, task_id: str) -> Task:
        """Return the task.

        Raises:
            MissingResource: there is none of that id.
        """

    def find(self, task_ids: Collection[str]) -> Mapping[str, Task]:
        """Return those of the tasks that exist, by id."""

    def arguments(self, task_ids: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the arguments of those of the tasks that exist, by id; reads nothing else."""

    def update(self, tasks: Sequence[Task]) -> None:
        """Write state, times, progress, result, error, spawned, revision and attempt of each."""

    def fence(self, task_id: str, attempt: int) -> None:
        """Make sure that the task runs in this attempt.

        Raises:
            Fenced: it does not; the caller must change nothing.
        """

    def grantable(self, limit: int, *, among: Collection[str] | None = None) -> Sequence[Task]:
        """Return waiting tasks that are first in the queue of each of their resources.

        Higher priority first, then in order of submission; a blocked task holds up only later
        ones that share a resource.

        Args:
            limit: how many at the most.
            among: of the tasks with these ids (None: of all).
        """

    def release(self, task_ids: Collection[str]) -> None:
        """Take the tasks out of the queues, so that whoever is next may run."""

    def holding(self, states: Collection[TaskState] | None = None) -> Sequence[Task]:
        """Return the tasks (in these states) that stand in the queue of a resource, by number."""

    def in_states(self, states: Collection[TaskState]) -> Sequence[Task]:
        """Return the tasks in these states, in order of submission."""

    def with_tags(self, tags: Collection[str]) -> Sequence[Task]:
        """Return the tasks that have all of the tags (all tasks for none), as submitted."""

    def page(
        self,
        *,
        task_ids: Collection[str],
        tags: Collection[str],
        states: Collection[TaskState],
        after: int,
        limit: int,
    ) -> Sequence[Task]:
        """Return at most *limit* tasks with a number above *after*, in order of submission.

        Args:
            task_ids: those of these ids; any for none.
            tags: those that have all of these tags.
            states: those in one of these states.
            after: the number of the last task of the page before, or 0.
            limit: at least 1.
        """

    def search(self, criteria: Criteria) -> Sequence[Task]:
        """Return what the criteria select, sorted, skipped and limited as they say."""

    def states_of_group(self, group_id: str) -> Mapping[TaskState, int]:
        """Return how many tasks of a group there are in each state; no zeros."""

    def purge(self, states: Collection[TaskState], *, before: datetime | None = None) -> int:
        """Delete tasks in these states (that finished before the time); return how many."""


class JournalStore(Protocol):
    """Writing the journal; a transaction's last act, so that order of commit is order of number."""

    def append(self, events: Sequence[NewEvent]) -> Sequence[int]:
        """Write the events in order; return their sequence numbers, which only grow."""

    def head(self) -> int:
        """Return the newest number that this transaction sees (0 for an empty journal).

        All that the transaction reads is as it was after that event and before the next.
        """

    def compact(
        self,
        *,
        now: datetime,
        status_days: float,
        status_rows: int,
        progress_hours: float,
        progress_rows: int,
        keep_after: int | None,
        keep_bytes: int,
        limit: int,
    ) -> int:
        """Delete what is past retention, about *limit* rows at the most; return how many.

        Compacted progress is told by the next event of the task (its ``previous``); the number of
        a deleted status row becomes the floor below which reading raises EventsGone.

        Args:
            now: the present time.
            status_days: age at which status rows go.
            status_rows: how many status rows are kept at the most.
            progress_hours: age at which progress of ended tasks goes.
            progress_rows: how many progress rows of one task are kept at the most, the newest.
            keep_after: status rows with a number above it stay though they are past retention
                (None: none)
            keep_bytes: as long as their bodies take no more bytes than this.
            limit: bounds the time that the transaction takes; call again while rows go.
        """


class EventSource(Protocol):
    """Reading the journal; what every channel is fed from."""

    def read(self, after: int, limit: int, *, most_bytes: int | None = None) -> Sequence[Event]:
        """Return the next events after number *after*, in order.

        Args:
            after: the number to go on from.
            limit: how many events at the most.
            most_bytes: the event whose body brings the bytes of all to so many is the last one.

        Raises:
            EventsGone: status changes after *after* are past retention, or it is ahead of the head.
        """

    def head(self) -> int:
        """Return the newest number (0 for an empty journal)."""

    def oldest(self) -> int:
        """Return the number after which reading loses nothing (0 when nothing was ever deleted)."""

    def wait(self, after: int, timeout: float | None) -> bool:
        """Block until there is something after *after* (True), or time is up or closed (False)."""

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call *wake* after each commit that wrote events; return what ends that.

        *wake* is called from the committing thread and must return at once.
        """


class ToldBefore(NamedTuple):
    """A task's progress after its last change of status, up to a number of the journal."""

    #: The revision that it follows.
    previous: int
    #: The newest revision of it.
    revision: int


class EventHistory(EventSource, Protocol):
    """The journal for those who resume, and may want the events of some tasks alone."""

    def read_tasks(
        self, after: int, limit: int, task_ids: Collection[str], *, most_bytes: int | None = None
    ) -> Sequence[Event]:
        """Return the next events of these tasks after a number, however far they are apart.

        As ``read``, which it raises the same as; its cost does not grow with others' events.
        """

    def progress_before(self, after: int) -> Mapping[str, ToldBefore]:
        """Return the tasks whose newest event up to a number is progress, with what there is."""


class CursorStore(Protocol):
    """Where channels keep how far they came."""

    def load(self, name: str) -> int | None:
        """Return the saved number, or None for a channel that never saved one."""

    def save(self, name: str, sequence: int) -> None:
        """Keep the number, in a transaction of its own."""

    def drop(self, name: str) -> None:
        """Forget the channel."""


class SharedCursorStore(CursorStore, Protocol):
    """The cursors of channels that one process at a time feeds."""

    def fenced(self, lease: str, holder: str) -> CursorStore:
        """Return the same cursors for one who writes them only while it holds a lease.

        Else its ``save`` and ``drop`` change nothing and raise Fenced.
        """


class LeaseStore(Protocol):
    """What one process at a time may do, and until when if it is not heard of.

    Every call is a transaction of its own, and nobody waits for a process that is frozen in one.
    Times are by the database's clock.
    """

    def take(self, name: str, holder: str, *, seconds: float) -> bool:
        """Take the lease, or renew it, for so many seconds; False while it is another holder's.

        Who takes it is sure of it for that long from before the call.
        """

    def release(self, name: str, holder: str) -> None:
        """Give the lease back, if it is this holder's, and tell those who wait for it."""

    def remaining(self, name: str) -> float:
        """Return for how many seconds its holder has it; 0.0 if anybody may take it."""


class RepositoryStore(Protocol):
    """Repositories with their importers and distributors."""

    def add(self, repository: Repository) -> None:
        """Keep a new repository.

        Raises:
            DuplicateResource: there is one of that id.
        """

    def get(self, repo_id: str) -> Repository:
        """Return the repository, or raise MissingResource(repo_id=…)."""

    def notes(self, repo_ids: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the notes of those of the repositories that exist, by id."""

    def list(self) -> Sequence[Repository]:
        """Return all, sorted by id."""

    def search(self, criteria: Criteria) -> Sequence[Repository]:
        """Return what the criteria select."""

    def update(self, repository: Repository) -> None:
        """Write display name, description, notes and scratchpad."""

    def remove(self, repo_id: str) -> None:
        """Delete it with importers, distributors, schedules, associations and publications."""

    def importers(self, repo_ids: Collection[str]) -> Sequence[Importer]:
        """Return the importers of these repositories."""

    def set_importer(self, importer: Importer) -> None:
        """Keep the importer in the place of the one that the repository has."""

    def remove_importer(self, repo_id: str) -> None:
        """Delete the repository's importer."""

    def distributors(self, repo_ids: Collection[str]) -> Sequence[Distributor]:
        """Return the distributors of these repositories, sorted by id."""

    def search_distributors(self, criteria: Criteria) -> Sequence[Distributor]:
        """Return the distributors that match, of any repository; secrets match as their mask.

        Without a sort they come by repository and id, joined by a slash.
        """

    def set_distributor(self, distributor: Distributor) -> None:
        """Keep a new distributor, or the new values of one."""

    def remove_distributor(self, repo_id: str, distributor_id: str) -> None:
        """Delete the distributor with its publications."""


class RepoGroupStore(Protocol):
    """Groups of repositories; one that is deleted leaves its groups."""

    def add(self, group: RepoGroup) -> None:
        """Keep a new group, with its repositories.

        Raises:
            DuplicateResource: there is one of that id.
        """

    def get(self, group_id: str) -> RepoGroup:
        """Return the group, or raise MissingResource(repo_group=…)."""

    def list(self) -> Sequence[RepoGroup]:
        """Return all, sorted by id."""

    def update(self, group: RepoGroup) -> None:
        """Write display name, description and notes."""

    def remove(self, group_id: str) -> None:
        """Forget the group."""

    def add_members(self, group_id: str, repo_ids: Collection[str]) -> None:
        """Put repositories into the group, which may be in it already."""

    def remove_members(self, group_id: str, repo_ids: Collection[str]) -> None:
        """Take repositories out of it, which need not be in it."""


class ContentStore(Protocol):
    """Units, which repositories they are in, and the files they name."""

    def known(self, type_id: str, digests: Collection[bytes]) -> Mapping[bytes, int]:
        """Return which of these key digests are stored, with the unit's id; any number."""

    def add(self, units: Sequence[Unit]) -> Mapping[bytes, int]:
        """Keep units that are not there yet; return key digest to unit id for all of them.

        A unit that is there keeps its uid; it gets the artifact if it had none.
        """

    def replace(self, units: Sequence[Unit]) -> Mapping[bytes, int]:
        """Like add, but metadata and chunks of a unit that is there become the new ones.

        Where chunks change, the content_revision of the repositories that hold the unit grows.
        """

    def members(self, repo_id: str, type_id: str | None = None) -> Mapping[int, bytes]:
        """Return unit id to key digest of the repository's units (of one type)."""

    def revisions(self, repo_id: str, type_ids: Collection[str]) -> Mapping[int, int]:
        """Return unit id to how often ``replace`` gave it other chunks, of units of these types."""

    def units(self, repo_id: str, type_ids: Collection[str]) -> Iterator[Unit]:
        """Yield the repository's units with chunks, packages sorted by name, arch, version."""

    def packages(self, repo_id: str, *, name: str | None = None) -> Iterator[Unit]:
        """Yield the repository's packages (of one name) without metadata and chunks, unordered."""

    def package_chunks(self, repo_id: str, type_ids: Collection[str]) -> Iterator[Unit]:
        """Yield packages of these types with chunks and without metadata, sorted as units are.

        Holds few at a time, however large the repository is.
        """

    def locally_stored(self, repo_id: str) -> int:
        """Return how many of the repository's units have their files here, or need none."""

    def associate(self, repo_id: str, unit_ids: Collection[int], *, now: datetime) -> int:
        """Put units into the repository; return how many were not in it.

        Updates content_unit_counts, last_unit_added and content_revision if any.
        """

    def unassociate(self, repo_id: str, unit_ids: Collection[int], *, now: datetime) -> int:
        """Take units out of the repository; return how many were in it (updates alike)."""

    def touch(self, repo_id: str, *, now: datetime) -> None:
        """Keep that units of the repository have new content: as if they were added now.

        Updates last_unit_added and content_revision.
        """

    def set_sources(self, repo_id: str, sources: Mapping[int, str]) -> None:
        """Keep where units can be downloaded from: unit id to URL without credentials.

        The credentials are those of the repository's importer.
        """

    def sources(self, unit_id: int) -> Sequence[tuple[str, str]]:
        """Return (repo_id, url) of every place that offers the unit's file."""

    def unit(self, unit_id: int) -> Unit:
        """Return one unit without chunks, or raise MissingResource."""

    def by_uid(self, type_id: str, uid: str) -> Unit:
        """Return the unit of the type that clients know by this id, without chunks.

        Raises:
            MissingResource: there is none.
        """

    def search(self, type_ids: Collection[str], criteria: Selection) -> Sequence[Unit]:
        """Return the units, of these types or of all, that match, without chunks.

        Their fields are those of ``unit_values``; what the criteria do not tell apart comes in the
        order in which it was added. A type that is not known has no units.
        """

    def search_associations(self, repo_id: str, criteria: UnitCriteria) -> Sequence[Association]:
        """Return the repository's associations that match, with their units; see ``search``.

        What the criteria do not tell apart comes in the order in which the units were added.
        """

    def memberships(self, unit_ids: Collection[int]) -> Mapping[int, Sequence[str]]:
        """Return unit id to the sorted ids of the repositories that it is in, for each unit."""

    def chunks(self, unit_ids: Collection[int]) -> Mapping[int, tuple[bytes, ...]]:
        """Return the chunks of those of the units that have some."""

    def select_members(self, repo_id: str, criteria: UnitCriteria) -> Sequence[int]:
        """Return the ids of the units that ``search_associations`` would find, in its order."""

    def unit_keys(self, unit_ids: Collection[int]) -> Mapping[int, tuple[str, Mapping[str, Any]]]:
        """Return content type and unit key of those of the units that there are, by id."""

    def package_metadata(self, repo_id: str, chunk: int) -> Iterator[tuple[int, bytes]]:
        """Yield unit id and one chunk of each of the repository's binary packages, by id.

        Holds few at a time. Of packages whose chunk is not known there is nothing.

        Args:
            repo_id: which repository.
            chunk: 0 for primary, 1 for filelists, 2 for other.
        """

    def signing_keys(self, repo_id: str) -> Mapping[int, str | None]:
        """Return unit id to ``signing_key`` of the repository's packages of all types."""

    def set_user_metadata(self, unit_id: int, metadata: Mapping[str, Any]) -> None:
        """Keep a JSON object as the unit's ``pulp_user_metadata``, in place of the former one."""

    def set_unit_files(self, unit_id: int, files: Sequence[UnitFile]) -> None:
        """Keep which files a unit of several has, each path once, in the place of those it had.

        A file that it had, with the same path and checksum, stays known as stored. Sources of such
        units are the URL below which the paths lie.
        """

    def unit_files(self, unit_id: int) -> Sequence[UnitFile]:
        """Return the files of a unit of several, by path; none of a package."""

    def unit_file(self, unit_id: int, path: str) -> UnitFile | None:
        """Return one of them."""

    def add_artifacts(self, artifacts: Mapping[str, int]) -> None:
        """Keep that files are in the file store: SHA-256 to size; those there already are fine."""

    def has_artifacts(self, digests: Collection[str]) -> Collection[str]:
        """Return which of these SHA-256 digests are in the file store."""

    def artifacts_by_checksum(
        self, checksums: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], str]:
        """Return (checksum type, checksum) of packages to the SHA-256 of their stored file."""

    def set_artifact(self, unit_id: int, digest: str, size: int, *, path: str = "") -> None:
        """Keep that the unit's file is stored now; of a unit of several, that of the path."""

    def set_signing_keys(self, keys: Mapping[int, str | None]) -> None:
        """Keep in ``signing_key`` of their metadata by which key units' files are signed.

        Args:
            keys: unit id to 8 lower-case hexadecimal digits, or None for a file that is unsigned.
        """

    def claim_download(
        self, unit_id: int, owner: str, *, now: datetime, seconds: float, path: str = ""
    ) -> bool:
        """Lease the download of a unit's file; False while another owner's lease holds.

        Args:
            unit_id: whose.
            owner: a name that nobody else has; who has the lease may renew it.
            now: the present time.
            seconds: for how long.
            path: of a unit of several, which file; False also if it has no such file.
        """

    def release_download(self, unit_id: int, owner: str, *, path: str = "") -> None:
        """Give the lease back."""

    def remove_orphans(self, unit_ids: Collection[int] | None = None) -> tuple[int, Sequence[str]]:
        """Delete units (of these, or all) that are in no repository and no kept publication.

        Returns the number of units and the digests of artifacts that no unit names any longer;
        their files may go once this is committed, see ``drop_artifacts``.
        """

    def orphan_counts(self) -> Mapping[str, int]:
        """Return content type to the number of units that ``remove_orphans`` would delete."""

    def orphans(
        self,
        *,
        type_id: str | None = None,
        uids: Collection[str] | None = None,
        after: int = 0,
        limit: int,
    ) -> Sequence[Orphan]:
        """Return units that ``remove_orphans`` would delete, by id.

        Args:
            type_id: of this type alone (None: of any).
            uids: those of these (None: all).
            after: the id of the last one of the page before.
            limit: how many at the most.
        """

    def nameless_artifacts(self, *, after: str, limit: int) -> Sequence[str]:
        """Return digests of artifacts that no unit names, by digest; *after* a digest."""

    def drop_artifacts(self, digests: Collection[str]) -> Collection[str]:
        """Return which of these files nothing names, to be deleted before the transaction ends.

        Artifacts of them that no unit names are forgotten. Until the end of the transaction nobody
        else adds artifacts: who adds some looks within the transaction, after its first statement
        on content, whether the files are there. It must be the first on content here.
        """


class PublicationStore(Protocol):
    """What is published where."""

    def add(self, publication: Publication) -> Publication:
        """Keep a publication that is not live yet; return it with its id."""

    def add_files(
        self, publication_id: int, units: Mapping[str, int], files: Collection[str]
    ) -> None:
        """Keep its paths below its URL: of units (path to unit id) and of generated files."""

    def copy_units(self, source_id: int, target_id: int, type_ids: Collection[str]) -> None:
        """Keep all paths of units of these types that another publication has, too.

        None of them is there already.
        """

    def unit_paths(self, publication_id: int) -> Mapping[str, int]:
        """Return its paths that are of units, with the unit's id."""

    def set_reusable(self, publication_id: int, reusable: Mapping[str, Any]) -> None:
        """Keep what the distributor's next publication may take over of it."""

    def live(self, repo_id: str, distributor_id: str) -> Publication | None:
        """Return the live publication of the distributor."""

    def switch(self, publication_id: int, *, now: datetime) -> None:
        """Make it the live one of its distributor; the one before is superseded.

        Raises:
            InvalidValue: another distributor has come to publish where this one wants to.
        """

    def conflicting(self, relative_url: str, root: Root = Root.REPOS) -> Sequence[tuple[str, str]]:
        """Return (repo_id, distributor_id) whose live relative_url is, contains or lies in it."""

    def resolve(
        self, path: str, root: Root = Root.REPOS
    ) -> tuple[Publication, str, Unit | None] | None:
        """Find a path below a root: its publication, the path in it, and its unit.

        The live publication is asked first, then superseded ones, the newest first, so that a
        reader of an older repomd.xml finishes. None for the unit: a generated file. None: nothing.
        """

    def listing(self, path: str, root: Root = Root.REPOS) -> Sequence[str] | None:
        """Return the names in a folder below a root (folders end in a slash), or None."""

    def leading(self, path: str, root: Root = Root.REPOS) -> Sequence[str] | None:
        """Return the names in a folder above publications, as listing; None within one."""

    def folders(self) -> Collection[str]:
        """Return the folder names of all publications there are."""

    def expired(self, *, before: datetime) -> Sequence[Publication]:
        """Return publications superseded before the time, and those never switched to."""

    def remove(self, publication_ids: Collection[int]) -> None:
        """Forget the publications."""


class UploadStore(Protocol):
    """Uploads that clients have begun; their bytes are in the file store."""

    def add(self, upload: Upload) -> None:
        """Keep a new one."""

    def get(self, upload_id: str) -> Upload:
        """Return the upload.

        Raises:
            MissingResource: there is none of that id.
        """

    def receive(self, upload_id: str, start: int, end: int, *, now: datetime) -> Upload:
        """Keep that these bytes came; return the upload after that.

        What others write at the same time is not lost. To be called once the bytes are durable.

        Raises:
            MissingResource: there is none of that id.
        """

    def list(self) -> Sequence[Upload]:
        """Return all, in order of creation."""

    def count(self) -> int:
        """Return how many there are."""

    def idle(self, *, before: datetime) -> Sequence[str]:
        """Return the ids of those that were last touched before the time."""

    def remove(self, upload_id: str) -> None:
        """Forget the upload, or raise MissingResource."""


class UserStore(Protocol):
    """The users of the API."""

    def get(self, login: str) -> User | None:
        """Return the user, or None."""

    def set(self, user: User) -> None:
        """Keep the user."""

    def count(self) -> int:
        """Return how many there are."""

    def list(self) -> Sequence[User]:
        """Return all of them, by login."""

    def search(self, criteria: Criteria) -> Sequence[User]:
        """Return those that the criteria select, in their order, else by login."""

    def with_role(self, role_id: str) -> Sequence[User]:
        """Return those who have the role, by login."""

    def remove(self, login: str) -> None:
        """Forget the user, with all that was granted to them and their tokens."""


class RoleStore(Protocol):
    """Roles, but for that of super-users, which is always there."""

    def add(self, role: Role) -> None:
        """Keep a new role.

        Raises:
            DuplicateResource: there is one of that id.
        """

    def get(self, role_id: str) -> Role | None:
        """Return the role, or None."""

    def list(self) -> Sequence[Role]:
        """Return all of them, by id."""

    def update(self, role: Role) -> None:
        """Write all of a role but its id and when it was created."""

    def remove(self, role_id: str) -> None:
        """Forget the role; users may still name it, unless the caller takes that away."""


class PermissionStore(Protocol):
    """What was granted to users, one by one."""

    def revision(self) -> str:
        """Return what names the present state of users, roles, grants and tokens.

        Whatever changes one of them, in any store and on any machine, changes it in the same
        transaction, to what it never was before; only the use of a token does not.
        """

    def of_user(self, login: str) -> Mapping[str, Collection[Operation]]:
        """Return resource to operations that were granted to the user."""

    def list(self, resource: str | None = None) -> Sequence[Grant]:
        """Return what was granted on that very resource, or on all, by resource and login."""

    def set(self, grant: Grant) -> None:
        """Keep the grant in the place of the one to this user on this resource; none if empty."""

    def any_below(self, resource: str) -> bool:
        """Tell whether anything was granted on the resource or below it."""

    def remove_below(self, resource: str) -> None:
        """Forget what was granted on the resource and all below it."""


class TokenStore(Protocol):
    """Tokens of users."""

    def add(self, token: Token) -> None:
        """Keep a new token of a user who is there.

        Raises:
            DuplicateResource: the user has one of that name.
        """

    def list(self, login: str) -> Sequence[Token]:
        """Return the user's tokens, by name."""

    def with_digest(self, digest: str) -> Token | None:
        """Return the token whose secret has that digest, or None."""

    def remove(self, login: str, token_id: str) -> bool:
        """Forget the user's token of that id; return whether there was one."""

    def used(self, token_id: str, *, now: datetime) -> None:
        """Keep when the token was used last."""


class CertificateAuthority(Protocol):
    """Makes and knows the client certificates of users."""

    def issue(self, subject: Identity, *, now: datetime, days: int) -> tuple[str, str]:
        """Return a new certificate and its private key, both as PEM.

        Raises:
            Unavailable: the authority's own certificate or key can't be used.
        """

    def identify(self, certificate: bytes, *, now: datetime) -> Identity | None:
        """Return whom a certificate (DER) is for; None if it is none of ours, or is not valid now.

        The bytes may be anybody's.
        """


class JobStore(Protocol):
    """The distributed engine's jobs: each lets some worker look at one task.

    A job is a hint and no more: that its task may run is decided when a worker begins it. It wakes
    a worker that has a free slot. One whose slot becomes free looks for the next task by itself
    (``take``); hence there are only as many jobs as there are slots that nothing runs in.
    """

    def offer(self) -> int:
        """Give jobs to tasks that may run, for the slots that are free; return to how many.

        Tasks that may run are the ones that this transaction or an earlier one has added, or that
        came to be the first of a queue by its release, and that wait. Those of the highest priority
        get jobs, and of equal ones those that came first, until there is a job for each free slot
        or each such task. To be called once the changes of this transaction are written.
        """

    def take(self, vacancy: Vacancy, *, ending: int) -> Sequence[Task]:
        """Return the tasks that the worker is to begin now, the next ones of those that may run.

        Their jobs go, but for those that somebody has fetched, who will find that the task runs.
        There are none for a worker that is not known, by name and incarnation. ``offer`` must come
        after the change of the tasks, and counts what it was told here.

        Args:
            vacancy: the worker, and how many tasks at the most.
            ending: how many tasks this transaction lets end that still run for the store.
        """

    def cancel(self, task_id: str) -> None:
        """Tell all workers after the commit that the process of the task is to end."""

    def astray(self, *, seconds: float, all_tasks: bool) -> bool:
        """Tell whether ``recover`` has something to do; changes nothing.

        It has if somebody had a job and is gone, or a slot is free and lacks a job that it could
        have.

        Args:
            seconds: without a sign of the engine's own process that has a job, after which it is
                given up.
            all_tasks: look for tasks without a job too, which takes a while where many wait.
        """

    def recover(self, *, seconds: float) -> int:
        """Delete jobs that nobody will do, and give others to tasks that may run; return how many.

        Arguments are as for ``astray``; for how many there are jobs ``offer`` says.
        """


class WorkerStore(Protocol):
    """The processes that run tasks for the distributed engine; times by the database's clock."""

    def add(self, worker: Worker) -> bool:
        """Keep a worker, as of now whatever its times say; False if there is one of its name."""

    def beat(self, name: str, incarnation: str) -> bool:
        """Note that the worker is there now; False if it is not known any more."""

    def fence(self, name: str, incarnation: str) -> None:
        """Make sure that the worker is known until the transaction ends.

        Raises:
            Fenced: it is not; what runs there is given up.
        """

    def list(self) -> Sequence[Worker]:
        """Return all, sorted by name."""

    def silent(self) -> Sequence[Worker]:
        """Return those that were not heard of for longer than their timeout, sorted by name."""

    def remove_silent(self, names: Collection[str] | None = None) -> Sequence[Worker]:
        """Forget those of these names (None: of any) that are silent; return them, sorted by name.

        A worker whose heartbeat comes first stays, and one that is gone beats no more.
        """

    def remove(self, name: str, incarnation: str) -> bool:
        """Forget the worker; False if it is not known."""


class ListenerStore(Protocol):
    """Who is told of events.

    A transaction that writes listeners and deliveries writes the listeners first.
    """

    def add(self, listener: Listener) -> None:
        """Keep a new listener."""

    def get(self, listener_id: str) -> Listener:
        """Return the listener, or raise MissingResource(event_listener_id=…)."""

    def list(self) -> Sequence[Listener]:
        """Return all, by the time they were created, then by id."""

    def update(self, listener: Listener) -> None:
        """Write all of it but its health, which ``set_health`` does; one that is gone stays so."""

    def set_health(self, healths: Mapping[str, Health]) -> None:
        """Write how deliveries go, by id of the listener; those that are gone are left out."""

    def remove(self, listener_id: str) -> None:
        """Delete it with its deliveries; one that is not there is fine."""


class DeliveryStore(Protocol):
    """What listeners are still to be told, and were told."""

    def add(self, wanted: Sequence[tuple[Message, Collection[str]]], *, now: datetime) -> int:
        """Keep messages with a delivery, due now, for each of the listeners named beside them.

        Numbers follow the order given. A message of the same sequence and event type that is there
        already is left as it is, with its deliveries; so one event may be given again after a lost
        answer. Listeners that are gone, and messages that nobody wants, are left out.

        Returns: how many deliveries are new.
        """

    def pending(
        self, listener_id: str, *, after: int, limit: int, lane: str | None = None
    ) -> Sequence[Delivery]:
        """Return the next pending deliveries with a number above *after* (of a lane), by number."""

    def messages(self, numbers: Collection[int]) -> Mapping[int, Message]:
        """Return those of the messages that exist, by number."""

    def settle(self, tried: Sequence[Delivery]) -> Collection[str]:
        """Write what ``Delivery.tried`` returned; return the ids of those that were written.

        Not written is what somebody else has tried or resent meanwhile, or is gone.
        """

    def get(self, delivery_id: str) -> Delivery:
        """Return the delivery, or raise MissingResource(delivery_id=…)."""

    def page(
        self,
        *,
        listener_id: str,
        states: Collection[DeliveryState],
        since: datetime | None,
        before: int | None,
        limit: int,
    ) -> Sequence[Delivery]:
        """Return deliveries of a listener, the newest first.

        Args:
            listener_id: whose.
            states: those in one of these states; any for none.
            since: those created then or later.
            before: those with a number below it; for the next page, the last one's number.
            limit: at least 1.
        """

    def resend(
        self,
        listener_id: str,
        *,
        now: datetime,
        delivery_id: str | None = None,
        since: datetime | None = None,
        limit: int,
    ) -> int:
        """Make settled deliveries pending again, due now; return how many are due now.

        Args:
            listener_id: whose.
            now: the present time.
            delivery_id: this one, exhausted or delivered; one that is pending becomes due now.
            since: without an id: the exhausted ones created then or later (None: all).
            limit: how many at the most, the lowest numbers first; call again while it is reached.
        """

    def hurry(self, listener_id: str, *, now: datetime) -> int:
        """Make pending deliveries of a listener that are due later due now; return how many."""

    def counts(self) -> Mapping[str, Mapping[DeliveryState, int]]:
        """Return by listener how many deliveries are pending and exhausted; no zeros.

        Its cost does not grow with the deliveries that have succeeded.
        """

    def oldest_pending(self) -> Mapping[str, datetime]:
        """Return by listener when the first of its pending deliveries was created."""

    def discard(self, listener_id: str, *, limit: int) -> int:
        """Delete deliveries of a listener, whatever they are, and messages that no other names.

        Before a listener with many of them is removed: so nobody waits long for that.

        Args:
            listener_id: whose.
            limit: how many at the most; call again while it is reached.

        Returns: how many deliveries.
        """

    def purge(self, *, before: datetime, limit: int) -> int:
        """Delete deliveries settled before the time, and messages that no delivery names.

        Args:
            before: pending ones stay however old.
            limit: about how many of each at the most; call again while it is reached.

        Returns: how many of both.
        """


class ScheduleStore(Protocol):
    """When repositories are synced and published by themselves."""

    def add(self, schedule: Schedule) -> None:
        """Keep a new schedule, of a repository that is there."""

    def get(self, schedule_id: str) -> Schedule:
        """Return the schedule, or raise MissingResource(schedule_id=…)."""

    def find(self, schedule_id: str) -> Schedule | None:
        """Return the schedule, or None."""

    def list(self, of: Scheduled) -> Sequence[Schedule]:
        """Return the schedules of an importer or distributor, sorted by id."""

    def due(self, now: datetime) -> Sequence[Schedule]:
        """Return those that are enabled and whose next run is not after now, in its order."""

    def ran_after(self, now: datetime) -> Sequence[Schedule]:
        """Return those that are enabled and have run after now, by a clock that was ahead."""

    def update(self, schedule: Schedule) -> None:
        """Write all of it; one that is gone stays so."""

    def remove(self, schedule_id: str) -> None:
        """Delete it; one that is not there is fine."""

    def remove_of(self, of: Scheduled) -> None:
        """Delete the schedules of an importer or distributor."""


class Vault(Protocol):
    """Keeps what is secret so that who reads the database, or a copy of it, can't read that."""

    def seal(self, secrets: Secrets) -> bytes:
        """Return the secrets encrypted with a key that is kept outside of the database.

        Raises:
            SecretsUnreadable: there is no key that can be used; it says why.
        """

    def open(self, sealed: bytes) -> Secrets:
        """Return what was sealed.

        Raises:
            SecretsUnreadable: it was sealed with a key that is not here.
        """


class Notifier(Protocol):
    """Delivers to listeners of one type; used in one event loop."""

    async def deliver(
        self, listener: OpenListener, parcel: Parcel, *, trace: bool = False
    ) -> Receipt:
        """Try once to deliver the parcel, within a time; return what came of it.

        Whatever goes wrong is told in the receipt, never raised, but for being canceled; neither
        reason nor response nor exchange holds a secret.

        Args:
            listener: whom to tell.
            parcel: what.
            trace: whether the receipt is to have the exchange.
        """

    def check(self, config: Mapping[str, Any]) -> None:
        """Check a listener's configuration, without its secrets; resolves no names.

        Raises:
            InvalidValue, MissingValue, UnsupportedValue: it can't be used.
        """

    async def close(self) -> None:
        """Let go of connections."""


class Transaction(Protocol):
    """Everything that one transaction may read and write; not for use by several threads."""

    @property
    def tasks(self) -> TaskStore: ...
    @property
    def journal(self) -> JournalStore: ...
    @property
    def repositories(self) -> RepositoryStore: ...
    @property
    def content(self) -> ContentStore: ...
    @property
    def publications(self) -> PublicationStore: ...
    @property
    def users(self) -> UserStore: ...
    @property
    def uploads(self) -> UploadStore: ...
    @property
    def repo_groups(self) -> RepoGroupStore: ...
    @property
    def roles(self) -> RoleStore: ...
    @property
    def permissions(self) -> PermissionStore: ...
    @property
    def tokens(self) -> TokenStore: ...
    @property
    def jobs(self) -> JobStore: ...
    @property
    def workers(self) -> WorkerStore: ...
    @property
    def listeners(self) -> ListenerStore: ...
    @property
    def deliveries(self) -> DeliveryStore: ...
    @property
    def schedules(self) -> ScheduleStore: ...

    def after_commit(self, act: Callable[[], None]) -> None:
        """Call *act* once the transaction is committed (never after a rollback)."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what the block has done if it raises; the transaction may go on all the same.

        Acts that the block wanted after the commit are forgotten with it.

        Raises:
            DatabaseFailed: the database is at fault, not the block; let the transaction end.
        """


class Storage(Protocol):
    """The database."""

    def write(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that may write: commits at the end, rolls back on an exception.

        Writers are serialized, on all machines: what a transaction reads is what it writes on.
        """

    def write_beside(self) -> AbstractContextManager[Transaction]:
        """Open a writing transaction that waits for no other one's turn, nor has others wait.

        For content, publications that are not live yet, cursors, leases and heartbeats; what it
        reads may be changed by others meanwhile. Tasks and journal are written by ``write`` alone.
        """

    def read(self) -> AbstractContextManager[Transaction]:
        """Open a transaction that only reads, from one snapshot."""

    def get_setting(self, name: str) -> str | None:
        """Return a value that the server keeps about itself."""

    def settle(self, name: str, value: str) -> str:
        """Keep a value about the server itself unless there is one; return the one that is kept.

        Of several processes that settle it at once one wins.
        """


class FileStore(Protocol):
    """Files by their content, written once and never changed; shared by all who use a database.

    Object storage would join here: ``temporary`` stays a local file, ``keep`` uploads it under its
    digest, and ``path`` becomes a way to read from it, for those who send or link the file.
    """

    def path(self, digest: str) -> Path:
        """Return where the file of that SHA-256 is, whether it is there or not."""

    def temporary(self) -> Path:
        """Return a new path to write to, on the same file system."""

    def keep(self, temporary: Path, digest: str) -> Path:
        """Make the file durable (fsync) and move it to its place; return that.

        The caller has verified the digest, and names the file in a row only after the return.
        """

    def keep_many(self, temporaries: Mapping[str, Path]) -> None:
        """Keep many files, digest to path, in far less time than one by one."""

    def remove(self, digests: Collection[str], *, before: datetime | None = None) -> int:
        """Delete files that no row names, of those kept before the time; return how many."""

    def set_aside(
        self, digests: Collection[str], *, before: datetime | None = None
    ) -> Sequence[Path]:
        """Take files that no row names out of their places; return where they are now.

        For use within a transaction: it takes a fraction of the time that deleting them does, which
        ``discard`` is for. What nobody discards goes with the temporary files.

        Args:
            digests: which; those that are not there are fine.
            before: only those kept before the time.
        """

    def discard(self, paths: Collection[Path]) -> None:
        """Delete what was set aside, many files at a time."""

    def kept(self, *, before: datetime) -> Iterator[str]:
        """Yield the digests of files kept before the time, so that strays can be found."""

    def remove_temporary(self, *, before: datetime | None = None) -> int:
        """Delete temporary files last written before the time (None: all); return how many.

        Others may be writing theirs: without a time, only for who is sure to be alone.
        """

    def upload(self, upload_id: str) -> Path:
        """Return where the bytes of an upload are, at the offsets that they were sent with."""

    def begin_upload(self, upload_id: str) -> None:
        """Make the empty file of an upload, durable in its folder."""

    def uploads(self, *, before: datetime) -> Collection[str]:
        """Return the ids of uploads whose files were last written before the time."""

    def remove_upload(self, upload_id: str) -> None:
        """Delete the file of an upload; one that is not there is fine."""

    def publication_folder(self, name: str) -> Path:
        """Return the folder for a publication's generated files; not created."""

    def keep_publication(self, name: str) -> None:
        """Make the files of a publication's folder durable."""

    def publication_folders(self) -> Collection[str]:
        """Return the names of the publication folders that exist."""

    def remove_publication(self, name: str) -> None:
        """Delete a publication's folder; one that is not there is fine."""


class Downloader(Protocol):
    """Downloads single files for those who read published content; for use in one event loop."""

    def stream(
        self, importer: Importer, url: str, *, below: str = ""
    ) -> AsyncGenerator[bytes, None]:
        """Yield what is at *url*, or at the path *below* it, in one attempt and unverified.

        The importer's configuration says how: credentials, certificates, proxy, speed.

        Raises:
            DownloadFailed: it can't be had; the message shows no credentials.
        """

    async def close(self) -> None:
        """Let go of connections."""


class Engine(Protocol):
    """Who runs tasks."""

    def offer(self, transaction: Transaction) -> None:
        """Have the tasks run that the transaction has let become the first of their queues.

        To be called once all its changes of tasks and queues are made, of each writing transaction
        that hands in tasks or releases them.
        """

    def cancel(self, transaction: Transaction, task_id: str) -> None:
        """End the process of a task that the transaction cancels, within a second of its commit."""


class TaskLifecycle(Protocol):
    """What an engine tells about tasks; implemented by the lifecycle service.

    Every call is one transaction; a change of a task and its event are written together.
    """

    def recover(self, worker_names: Collection[str] | None = None) -> Sequence[Task]:
        """Cancel tasks that run on these workers (None: on any); return them.

        Their reservations are freed: call it only once their processes are gone.
        """

    def leave(self, worker: Worker) -> Sequence[Task]:
        """Cancel tasks that run on a worker of which no process is left; return them.

        Raises:
            Fenced: the worker was given up, and another one may have its name by now.
        """

    def claim(
        self, worker_name: str, limit: int, *, begun: Collection[str] | None = None
    ) -> Sequence[Task]:
        """Set up to *limit* tasks that may run to running, and return them.

        Args:
            worker_name: what they are told to run on.
            limit: how many at the most.
            begun: to be given after an error, which may have come of a lost answer: the tasks that
                the worker knows to run on it. If others do, these are returned instead.
        """

    def begin(self, worker: Worker, task_ids: Collection[str]) -> Sequence[Task]:
        """Set those of the tasks that may run to running; return them.

        With them come those that run on this worker already: the caller knows of no process of
        theirs, so an earlier call has begun them whose answer was lost.

        Raises:
            Fenced: the worker was given up; it must register anew.
        """

    def record(self, updates: Sequence[Update], vacancy: Vacancy | None = None) -> Sequence[Task]:
        """Keep what running attempts tell, in order; updates of old attempts change nothing.

        An outcome ends the task (if it is not canceled already) and frees its reservations: call
        it only once the process is gone. After an error, call it again with the same updates, and
        any others behind them: what was written all the same is not written twice. For use by one
        thread.

        Args:
            updates: what is told.
            vacancy: of the worker that tells it. The next tasks are set to running there, and
                returned; if the vacancy says what was begun, those that run there besides come
                first, and count. None is begun on a worker that was given up, which must register
                anew; what it tells is kept as ever.
        """

    def strays(self, attempts: Mapping[str, int]) -> Collection[str]:
        """Return which of these tasks, with the attempt that runs here, are to run no longer."""


class TaskContext(Protocol):
    """What the body of a task has of its surroundings."""

    @property
    def task(self) -> Task: ...
    @property
    def storage(self) -> Storage: ...
    @property
    def files(self) -> FileStore: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def settings(self) -> Any:
        """The server's ``Settings``."""

    def write(self) -> AbstractContextManager[Transaction]:
        """Open a writing transaction that is refused (Fenced) once this attempt is over."""

    def progress(self, report: Mapping[str, Any], *, boundary: bool = False) -> None:
        """Tell the whole progress report.

        Args:
            report: JSON object; not kept by reference.
            boundary: the first or last of a step, which is always kept.
        """


class ImporterType(Protocol):
    """A way to bring content into repositories."""

    @property
    def id(self) -> str: ...
    @property
    def display_name(self) -> str: ...
    @property
    def content_types(self) -> Sequence[str]: ...

    def normalize(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configuration as it is kept: the credentials of a feed's URL taken apart.

        Raises:
            InvalidValue: a key has a value that can't be used.
        """

    def sync(
        self,
        context: TaskContext,
        *,
        repository: Repository,
        importer: Importer,
        override: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        """Bring in what the feed has; return the ``repo_sync_results`` document.

        Raises:
            ContentError: the feed can't be used; nothing of the repository has changed.
        """

    def upload(
        self,
        context: TaskContext,
        *,
        repository: Repository,
        importer: Importer,
        uploaded: Uploaded,
        override: Mapping[str, Any],
    ) -> Sequence[Mapping[str, Any]]:
        """Make units of what was uploaded, and put them into the repository.

        The same twice adds nothing the second time. Units that are there get the new content.
        The importer may take the file away, into the file store.

        Returns ``{"type_id", "unit_key"}`` of each unit.

        Raises:
            ContentError: the file is not what it says; nothing of the repository has changed.
            RequestError: key or metadata can't be used; likewise.
        """

    def copy(
        self, context: TaskContext, *, importer: Importer, order: CopyOrder
    ) -> Mapping[str, Any]:
        """Copy units into repositories, that of the importer first; return the task's result.

        What is copied is decided in one snapshot. ``content.copying.copy_as_they_are`` does it for
        types whose units need nothing and are the same in all repositories.

        Args:
            context: of a task that reserves all repositories of the order.
            importer: of the destination.
            order: what is to be copied.

        Raises:
            TypesNotTaken: units are selected that repositories of this type can't hold.
            InvalidValue: a key of the configuration, overridden in parts, can't be used.
        """

    def companions(
        self, transaction: Transaction, repo_id: str, unit_ids: Collection[int]
    ) -> Collection[int]:
        """Return the ids of further units that leave a repository together with these."""


class DistributorType(Protocol):
    """A way to bring content out of repositories."""

    @property
    def id(self) -> str: ...
    @property
    def display_name(self) -> str: ...
    @property
    def content_types(self) -> Sequence[str]: ...

    def validate(self, config: Mapping[str, Any]) -> None:
        """Check a configuration.

        Raises:
            InvalidValue, MissingValue: it can't be used.
        """

    def publish(
        self,
        context: TaskContext,
        *,
        repository: Repository,
        distributor: Distributor,
        override: Mapping[str, Any],
    ) -> tuple[Mapping[str, Any], int | None]:
        """Write a publication, not live yet.

        Returns the ``repo_publish_results`` document and the id of the publication that is to go
        live with the end of the task (None when nothing had to be published).
        """


class ContentTypes(Protocol):
    """The registry of what this server can bring in and out."""

    @property
    def unit_types(self) -> Sequence[Mapping[str, Any]]:
        """Documents of ``GET plugins/types/``."""

    @property
    def importers(self) -> Mapping[str, ImporterType]: ...
    @property
    def distributors(self) -> Mapping[str, DistributorType]: ...

    def downloader(self, settings: Any) -> Downloader:
        """Return a new downloader, by the server's ``Settings``, for use in one event loop."""

    def made(self, unit: Unit, names: Collection[str]) -> Mapping[str, Any]:
        """Return those of these fields of ``MADE`` that the unit's chunks tell.

        Raises nothing: what can't be read is left out.
        """

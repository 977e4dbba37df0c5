"""What dnf makes of a published repository: the sample feed, synced and published over REST."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.acceptance.house import House
from tests.acceptance.server import PulpitServer
from tests.feeds import SAMPLE, Draft, variants
from tests.services import dnf as dnf_service
from tests.services import missing, signing, until
from tests.services.dnf import Dnf, DnfError
from tests.services.http import FeedServer
from tests.services.signing import SigningKey


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Yield a server and a feed for the tests of this module."""
    if not dnf_service.installed():
        missing("dnf (as root)")
    data = tmp_path_factory.mktemp("pulpit") / "data"
    with (
        FeedServer(SAMPLE) as feed,
        PulpitServer(data, door=False) as server,
        server.client() as client,
    ):
        yield House(server=server, client=client, feed=feed)


def publish(house: House, repo_id: str, **config: object) -> str:
    """Create, sync and publish a repository and return its URL."""
    url = house.create(repo_id, **config)
    house.renew(repo_id)
    return url


@pytest.fixture(scope="module")
def published(house: House) -> str:
    """Return the URL of the sample, published."""
    return publish(house, "sample")


@pytest.fixture
def dnf(published: str, tmp_path: Path) -> Dnf:
    """Return a machine that has the published sample configured."""
    return Dnf(tmp_path / "machine", published)


def test_the_same_packages_are_found(house: House, dnf: Dnf, tmp_path: Path) -> None:
    """The published repository lists what the feed lists, each with the same dependencies."""
    dnf.makecache()
    original = Dnf(tmp_path / "original", house.feed.url)
    assert len(dnf.repoquery()) == 42
    assert dnf.repoquery() == original.repoquery()
    for fields in (("requires", "provides", "recommends"), ("files", "summary"), ("sourcerpm",)):
        assert dnf.details("*", *fields) == original.details("*", *fields)


def test_packages_lie_under_their_first_letter(dnf: Dnf) -> None:
    """The locations are Packages/<letter>/<file>."""
    assert dnf.details("window", "location") == [["Packages/w/window-7.0-1.x86_64.rpm"]]


def test_packages_install_with_their_dependencies(dnf: Dnf) -> None:
    """A package and what it needs are installed, and its file has the right bytes."""
    assert dnf.install("steeple", "organ-3.2") == [
        "bell-0:2.0-1.noarch",
        "organ-0:3.2-1.x86_64",
        "organ-pipes-0:3.2-1.noarch",
        "steeple-0:1.0-1.x86_64",
    ]
    assert (dnf.system / "usr/share/chapel/bell/tone").read_text() == "ding 2.0-1\n"


def test_groups_and_modules_are_there(dnf: Dnf) -> None:
    """Comps and modules come through: ids, default streams, profiles, and both install."""
    assert dnf.groups() == ["chapel-environment", "furniture", "music", "tower"]
    assert dnf.modules() == [
        ("choir", "classical [d]", "common [d], minimal"),
        ("choir", "gospel", "common, minimal [d]"),
    ]
    assert dnf.install("@tower") == ["bell-0:2.0-1.noarch", "bell-rope-0:2.0-1.noarch"]
    dnf.enable("choir:gospel")
    assert "choir-0:2.0-1.module_gospel+1.noarch" in dnf.install("choir")


def test_errata_are_there(dnf: Dnf) -> None:
    """An erratum is told of to a machine that has the old package."""
    dnf.install("bell-1.0", "bell-rope-1.0")
    assert dnf.updates() == ["bell", "bell-rope"]
    assert ("CHAPEL-2025:001", "bell-1.1-1.noarch") in dnf.errata()


def test_on_demand_packages_install(house: House, tmp_path: Path) -> None:
    """Without a package on the server dnf still installs; only what was asked for is fetched."""
    url = publish(house, "lazy", download_policy="on_demand")
    house.feed.forget()
    machine = Dnf(tmp_path / "machine", url)
    assert "candlestick-0:2.0-1.noarch" in machine.install("candlestick")
    # what the other repository of this server has is not fetched again
    assert house.feed.count("*.rpm") == 0


def test_on_demand_is_fetched_once(house: House, tmp_path: Path) -> None:
    """A package that the server never had comes from the feed on the first request alone."""
    with FeedServer(variants.changed(tmp_path / "feed")) as feed:
        url = publish(house, "later", download_policy="on_demand", feed=feed.url)
        assert feed.count("*.rpm") == 0
        for machine in ("one", "two"):
            assert "bell-0:2.1-1.noarch" in Dnf(tmp_path / machine, url).install("bell")
        assert feed.count("*/bell-2.1-1.noarch.rpm") == 1
        assert feed.count("*.rpm") == 1


def test_background_packages_need_no_feed(house: House, tmp_path: Path) -> None:
    """Once the task that a sync in the background hands in is over, the feed may be gone."""
    with FeedServer(variants.changed(tmp_path / "feed")) as feed:
        url = house.create("quiet", feed=feed.url, download_policy="background")
        synced = house.sync("quiet")
        [download] = synced.spawned
        report = until(lambda: house.ended(download), "the download is over")
        assert (report.state, house.publish("quiet").state) == ("finished", "finished")
    assert "bell-0:2.1-1.noarch" in Dnf(tmp_path / "machine", url).install("bell")


def test_every_bit_comes_back(dnf: Dnf, tmp_path: Path) -> None:
    """A copy of the whole repository has the bytes of the feed."""
    originals = {path.name: path.read_bytes() for path in SAMPLE.rglob("*.rpm")}
    copies = {path.name: path.read_bytes() for path in dnf.reposync(tmp_path / "copy")}
    assert copies == originals


@pytest.mark.parametrize("suffix", [".xz", ".bz2", ".zst", ""])
def test_other_packings_of_the_metadata(house: House, tmp_path: Path, suffix: str) -> None:
    """A feed whose metadata is packed otherwise is published as the same repository."""
    with FeedServer(variants.repacked(tmp_path / "feed", suffix)) as feed:
        url = publish(house, f"packed{suffix}", download_policy="on_demand", feed=feed.url)
    assert len(Dnf(tmp_path / "machine", url).repoquery()) == 42


def test_a_change_of_the_feed_comes_through(house: House, tmp_path: Path) -> None:
    """After a second sync and publish dnf finds the new packages and not the removed ones."""
    with FeedServer(SAMPLE) as feed:
        url = publish(house, "moving", feed=feed.url, remove_missing=True)
        feed.folder = variants.changed(tmp_path / "changed")
        house.renew("moving")
    found = Dnf(tmp_path / "machine", url).repoquery()
    assert "bell-0:2.1-1.noarch" in found
    assert "candle-1:2.0-1.noarch" in found
    assert not {"bell-0:1.0-1.noarch", "window-0:7.0-1.x86_64"} & set(found)
    assert len(found) == 42


def test_metadata_that_nobody_knows_is_kept(published: str) -> None:
    """A list of an unknown type in the feed's repomd.xml is in the published one."""
    assert 'type="inventory"' in httpx.get(f"{published}repodata/repomd.xml").text


@pytest.fixture(scope="module")
def key() -> Iterator[SigningKey]:
    """Yield a key that packages are signed with."""
    if not signing.installed():
        missing("gpg or rpmsign")
    with TemporaryDirectory(prefix="key", dir="/tmp") as folder:
        made = SigningKey(Path(folder) / "home")
        yield made
        made.close()


def test_signed_packages_are_verified(house: House, key: SigningKey, tmp_path: Path) -> None:
    """With the published key signed packages install, on demand too, and unsigned ones do not."""
    draft = Draft(variants.reduced(tmp_path / "feed"), is_there=True)
    signed = [*draft.dest.glob("noarch/bell-*.rpm")]
    key.sign(signed)
    draft.list_packages()
    with FeedServer(draft.dest) as feed:
        url = house.create("signed", feed=feed.url, download_policy="on_demand")
        assert house.sync("signed").state == "finished"
        done = house.client.publish("signed", "web", override={"gpgkey": key.public})
        assert house.over(done).state == "finished"
        options = ("x.gpgcheck=1", f"x.gpgkey={url}pulp.key")
        machine = Dnf(tmp_path / "machine", url, options=options)
        assert machine.install("bell-rope") == ["bell-0:2.0-1.noarch", "bell-rope-0:2.0-1.noarch"]
        with pytest.raises(DnfError, match="not signed"):
            machine.install("candle")
    assert "candle" not in " ".join(machine.installed())


def test_fast_forward_is_as_good(house: House, tmp_path: Path) -> None:
    """What was taken over from the publication before is what dnf reads in the new one."""
    url = publish(house, "forward", download_policy="on_demand")
    folder = variants.with_tree(variants.with_deltas(tmp_path / "feed"), is_there=True)
    with FeedServer(folder) as feed:
        call = house.client.sync("forward", override={"feed": feed.url})
        assert house.over(call).state == "finished"
        done = house.over(
            house.client.publish("forward", "web", override={"use_fast_forward": True})
        )
        assert done.result["summary"]["copy_directory"] == "FINISHED"
        assert len(Dnf(tmp_path / "machine", url).repoquery()) == 42
        tree = httpx.get(f"{url}images/pxeboot/vmlinuz")
    assert tree.content == variants.TREE["images/pxeboot/vmlinuz"]
    assert 'type="prestodelta"' in httpx.get(f"{url}repodata/repomd.xml").text

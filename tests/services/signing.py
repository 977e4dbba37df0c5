"""A key that packages are signed with, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["SigningKey", "installed"]


def installed() -> bool:
    """Return whether packages can be signed here."""
    return all(shutil.which(name) for name in ("gpg", "gpg-agent", "rpmsign"))


class SigningKey:
    """A key pair of GnuPG, without a passphrase; close it to end its agent.

    Args:
        folder: new; its path must be short, as sockets lie in it.
        name: of the key's owner.
    """

    def __init__(self, folder: Path, name: str = "Chapel <sexton@chapel.example>") -> None:
        folder.mkdir(mode=0o700)
        self._home = folder
        self._name = name
        quick = ("--batch", "--passphrase", "", "--quick-generate-key")
        self._run("gpg", *quick, name, "rsa2048", "sign", "never")
        #: The public key as text.
        self.public = self._run("gpg", "--armor", "--export", name)

    def sign(self, packages: Sequence[Path]) -> None:
        """Sign the packages in their place."""
        names = map(str, packages)
        # the path that rpm has is that of another distribution
        macros = (f"_gpg_name {self._name}", f"__gpg {shutil.which('gpg')}")
        defined = [word for macro in macros for word in ("--define", macro)]
        self._run("rpmsign", *defined, "--addsign", *names)

    def close(self) -> None:
        """End the agent of the key."""
        self._run("gpgconf", "--kill", "gpg-agent")

    def _run(self, *command: str) -> str:
        """Run a command that uses the key; return what it printed."""
        done = subprocess.run(
            command,
            env={**os.environ, "GNUPGHOME": str(self._home), "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

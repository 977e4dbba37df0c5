"""The fork server, from which each task's process is forked with everything imported."""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

__all__ = ["start_fork_server"]


def start_fork_server(*modules: str) -> ForkServerContext:
    """Start this process's fork server if it does not run, and return what forks from it.

    Its imports take a second of their own: call it first, so that they go on meanwhile.

    Args:
        modules: imported once, for all who are forked; of a server that runs already, ignored.
    """
    context = multiprocessing.get_context("forkserver")
    # the main script is what each child would import else
    context.set_forkserver_preload(["__main__", *modules])
    forkserver.ensure_running()
    return context

"""The fork server, from which each task's process is forked with everything imported."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

__all__ = ["start_fork_server"]


def start_fork_server(*modules: str) -> ForkServerContext:
    """Start this process's fork server if it does not run, and return what forks from it.

    Its imports take a second of their own: call it first, so that they go on meanwhile. It and
    what it forks take no notice of SIGHUP, which a closed terminal, or whoever means the server,
    sends to all of them.

    Args:
        modules: imported once, for all who are forked; of a server that runs already, ignored.
    """
    context = multiprocessing.get_context("forkserver")
    # the main script is what each child would import else
    context.set_forkserver_preload(["__main__", *modules])
    # who is started inherits the mask, and so does who is forked from it
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return context

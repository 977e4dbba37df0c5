"""What others said, as one line that can't be anything else."""

from __future__ import annotations

__all__ = ["one_line"]


def one_line(text: str, most: int) -> str:
    """Return *text* without control characters and line ends, cut to *most* characters.

    What is not printable becomes a space: what ends lines, hides text or turns its direction, and
    what can't be encoded.
    """
    # a character may become a space, and spaces are joined: no more of a long text is looked at
    head = text[: most * 4]
    line = " ".join("".join(each if each.isprintable() else " " for each in head).split())
    return line if len(line) <= most and len(text) == len(head) else f"{line[: most - 1]}…"

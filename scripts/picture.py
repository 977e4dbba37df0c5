"""Take the picture of the demo for the README: the demo itself, in a real terminal (tmux)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "demo.svg"
WIDTH, HEIGHT = 100, 48
_SECONDS = 60.0


def screen(command: str) -> str:
    """Return what stands in a terminal after *command*, with its colours.

    Raises:
        RuntimeError: the command failed, or took too long.
    """
    with tempfile.TemporaryDirectory() as folder:
        socket, code = Path(folder) / "tmux", Path(folder) / "code"
        tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        shell = f"{command}; echo $? > {code}; exec sleep {_SECONDS}"
        size = ["-x", str(WIDTH), "-y", str(HEIGHT)]
        subprocess.run([*tmux, "new-session", "-d", *size, shell], cwd=ROOT, check=True)
        try:
            deadline = time.monotonic() + _SECONDS
            while not (code.exists() and code.read_text().strip()):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{command} took too long")
                time.sleep(0.05)
            captured = subprocess.run(
                [*tmux, "capture-pane", "-e", "-p"], check=True, capture_output=True, text=True
            ).stdout
            if code.read_text().strip() != "0":
                raise RuntimeError(f"{command} failed:\n{captured}")
        finally:
            subprocess.run([*tmux, "kill-server"], check=False)
    return captured.rstrip() + "\n"


def main() -> int:
    """Write the picture and return the exit code."""
    if shutil.which("tmux") is None:
        print("tmux is needed to take the picture")
        return 1
    text = Text.from_ansi(
        f"\x1b[1m$ make demo\x1b[0m\n{screen('.venv/bin/python scripts/demo.py')}"
    )
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(text, end="")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    svg = console.export_svg(title="make demo", unique_id="demo")
    # who looks at the picture need not fetch a font from elsewhere
    PICTURE.write_text(re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL), encoding="utf-8")
    print(PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())

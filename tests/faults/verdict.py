"""What the judges find."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["COUNTERS", "Verdict"]

#: What must be 0.
COUNTERS = (
    "lost",
    "duplicated",
    "reordered",
    "unmarked_gaps",
    "without_terminal",
    "foreign",
    "unequal",
    "overlapped",
    "ran_twice",
    "fenced_writes",
    "slow_takeovers",
    "slow_reaping",
)


@dataclass(kw_only=True)
class Verdict:
    """How often which promise was broken; a sentence for each."""

    #: Counter to what was found.
    found: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in COUNTERS})
    #: Events that came again under the same id with the same bytes, as they may.
    repeated: int = 0
    #: Of these, how often the second one stands for other revisions than the first.
    refolded: int = 0

    def add(self, counter: str, sentence: str) -> None:
        """Note one more."""
        self.found[counter].append(sentence)

    @property
    def counts(self) -> dict[str, int]:
        """Counter to how often."""
        return {name: len(found) for name, found in self.found.items()}

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not any(self.found.values())

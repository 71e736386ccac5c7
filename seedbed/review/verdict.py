"""What a review comes to, and what it is about: the types that its callers see."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a person has to do about a preview, from least to most."""

    NOTHING = "nothing"
    """Nothing would change."""
    SAFE = "safe"
    """Something would change, and none of it is a risk of any class."""
    NEEDS_EYES = "needs eyes"
    """Something would be removed, or is a risk: a person has to have read it."""
    REFUSED = "refused"
    """The preview failed: nothing can be applied."""


@dataclass(frozen=True)
class Facts:
    """What was previewed: the stack's name, the git commit (full or short), the files of the clone that differ from it, and
    the name of the stack's file, such as `Pulumi.prod.yaml`."""

    stack: str
    commit: str
    dirty: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Report:
    """`markdown` is made for a pull request; its first line has the verdict and stands alone in a terminal (`summary`)."""

    verdict: Verdict
    markdown: str

    @property
    def summary(self) -> str:
        """The verdict in one line without markup."""
        first = self.markdown.partition("\n")[0]
        return first.lstrip("# ").replace("**", "").replace("`", "").replace("\\", "")

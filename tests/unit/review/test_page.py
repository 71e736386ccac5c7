"""docs/reference/review.md says what the review does."""

from pathlib import Path

from seedbed.review import Verdict
from seedbed.review.findings import Class
from seedbed.review.money import THRESHOLD
from seedbed.review.network import WIDE

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "review.md").read_text()


def test_the_page_shows_the_report_that_the_golden_file_has():
    golden = (ROOT / "tests" / "engine" / "golden" / "review" / "server-replaced.md").read_text()
    assert f"```markdown\n{golden}```" in PAGE


def test_the_page_has_every_verdict_and_every_class_of_risk_in_their_order():
    cells = [line.split("|")[1].strip() for line in PAGE.splitlines() if line.startswith("| ")]
    assert [cell for cell in cells if cell in list(Verdict)] == list(Verdict)
    assert [cell for cell in cells if cell in list(Class)] == list(Class)


def test_the_page_names_the_thresholds():
    assert f"over {THRESHOLD} USD" in PAGE
    assert f"wider than /{WIDE}" in PAGE

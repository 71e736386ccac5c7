"""A preview, read for a person: pure functions from the engine's digest to a verdict and a report in Markdown."""

from seedbed.review.assessment import assess
from seedbed.review.verdict import Facts, Report, Verdict

__all__ = ["Facts", "Report", "Verdict", "assess"]

"""Measurements of seedbed's speed: ratios taken in one run, written to bench/results/ with their date and method."""

"""Drift: what machines are, compared with what they were paved as. Everything here only reads."""

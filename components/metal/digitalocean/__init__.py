"""Machines of DigitalOcean, and what they share."""

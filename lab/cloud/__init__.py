"""A cloud on one machine: an HTTP API as DigitalOcean's, and what makes it real."""

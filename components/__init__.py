"""Pulumi component resources. They take arguments and never read configuration, files of a lab, or the clock."""

"""The environment in which the command line and `pulumi`, started by it, work."""

"""The verbs. Each module has `NAME`, `HELP`, `configure(parser)` and `run(arguments)`, which gives the exit code."""

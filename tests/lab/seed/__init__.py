"""What a seeded stack must show: one stack for all of it, and beside it a cluster that was planted by hand."""

"""The checks of `seedbed doctor`: each a function of what it is given, returning findings and never raising."""

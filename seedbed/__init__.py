"""The command line of seedbed: `python -m seedbed`, or `seedbed` once `eval "$(make -s env)"` has run."""


class UserError(Exception):
    """Something the person at the keyboard can put right; the message names the place and the remedy."""

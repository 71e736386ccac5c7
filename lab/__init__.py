"""The lab: a small internet on one machine, whose hosts the program paves as it paves real ones."""


class LabError(Exception):
    """Something in the lab is not as asked; the message names the place and the remedy."""

"""The lab's git server, SSH only, and the repository there that drives the stack's cluster.

Import `asyncssh` in `server` alone: it takes half a second, and only the server's own process needs it.
"""

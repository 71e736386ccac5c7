"""A drop-in for the official `command` plugin 1.2.1, for machines that cannot download it.

It speaks Pulumi's provider protocol and knows the types `command:remote:Command`, `command:remote:CopyToRemote`
and `command:local:Command` and the function `command:local:run`, with the inputs, defaults, outputs, diffs and
replacement rules of the official plugin, so that a program and its state can go from one to the other. It is
never used where the official plugin can be had; `tests/engine/conformance/` holds both to one set of rules.

Where it differs on purpose, because the official 1.2.1 goes against its own documentation or hangs:
- `customTimeouts` and a cancelled update also end a running session, not the dial loop only. The command on the host
  is sent SIGTERM, which sshd passes on to other users' commands but not to those of root: a command that must not
  run on needs a `timeout` inside, with either plugin;
- `perDialTimeout` bounds the whole dial, handshake and login included, not the TCP connect only;
- a connection without an answer for a minute is given up (SSH keepalive), and every connection is closed after
  its command;
- an output line of any length is logged in pieces (one of more than 64 KiB hangs the official plugin);
- through a proxy, every further attempt opens a new channel;
- a secret `create`, `update` or `delete` is not repeated in the error of a failed command, and an input of the
  wrong form is named without its value.

Sources of facts: the Pulumi Registry's pages of the command package, and pulumi/pulumi-command's
`provider/pkg/provider/`, cited below by file name.
"""

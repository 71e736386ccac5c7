"""The section `seed`: the repository lets the deploy key in, and the identity opens what is sealed in the tree."""

import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from shutil import which

from seedbed import UserError, sealing
from seedbed.commands import unseal_check
from seedbed.findings import Finding, fail, ok, warn
from seedbed.stackfile import StackFile
from stacks.identity import Identity
from stacks.sealing import SealingError
from stacks.seed_settings import Repository, Seed

LIMIT_SECONDS = 15
CONNECT_SECONDS = 5

_COMMIT = re.compile(r"[0-9a-f]{40}")


def check_sealed(seed: Seed, identity: Identity, stack: StackFile) -> list[Finding]:
    """Every SealedSecret of the tree opens, and what everyone seals with is the newest certificate. Offline."""
    try:
        problems, tried = unseal_check.check(seed, identity, stack.name)
        stale = sealing.stale_certificate(sealing.certificate_file(stack), identity, stack.name)
    except (UserError, SealingError) as error:
        return [fail("sealed secrets: cannot be tried", str(error))]
    found = [fail("sealed secrets: one would not open", problem) for problem in problems] or [
        ok(f"sealed secrets: {tried}")
    ]
    return [*found, ok("sealing certificate: the newest") if stale is None else warn("sealing certificate: old", stale)]


def check_repository(
    repository: Repository, key: str, stack: str, alias: tuple[str, str] | None = None, limit: float = LIMIT_SECONDS
) -> Finding:
    """Reads the revision as ArgoCD will: with the deploy key (`key`, OpenSSH PEM), and no host key but the pinned ones.

    A repository that cannot be reached from this machine is no failure: the cluster reads it. `alias` is an address to go
    to and the name that its host key is known by; `limit` the seconds that git may take.
    """
    what = f"repository {repository.url}"
    if which("git") is None or which("ssh") is None:
        return warn(f"{what}: not tried, there is no git or no ssh on this machine", "apt install git openssh-client")
    with tempfile.TemporaryDirectory(prefix="seedbed-") as name:
        folder = Path(name)
        file = folder / "key"
        file.touch(0o600)
        file.write_text(key)
        (folder / "known_hosts").write_text(repository.known_hosts)
        references = [repository.revision, f"refs/heads/{repository.revision}", f"refs/tags/{repository.revision}"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "SSH_"))}
        environment |= {"GIT_SSH_COMMAND": _ssh(folder, alias), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        try:
            done = subprocess.run(
                ["git", "ls-remote", "--", repository.url, *references],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _out_of_reach(what, f"no answer within {limit:g} s")
    if done.returncode:
        return _explain(what, done.stderr, stack)
    revision = repository.revision
    commits = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines() if len(line.split()) == 2}
    commit = next((commits[reference] for reference in references if reference in commits), None)
    if commit is None and not _COMMIT.fullmatch(revision):
        return fail(
            f"{what}: lets the deploy key in, and has no branch or tag {revision}",
            "Push it, or correct seedbed:seed.repository.revision.",
        )
    return ok(f"{what}: lets deploy key {repository.deploy_key} in; {revision} is at {(commit or revision)[:7]}")


def _ssh(folder: Path, alias: tuple[str, str] | None) -> str:
    options = [
        "BatchMode=yes",
        f"ConnectTimeout={CONNECT_SECONDS}",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "GlobalKnownHostsFile=/dev/null",
        f"UserKnownHostsFile={folder / 'known_hosts'}",
        "StrictHostKeyChecking=yes",
    ]
    if alias is not None:
        options += [f"HostName={alias[0]}", f"HostKeyAlias={alias[1]}"]
    return shlex.join(["ssh", "-F", "none", "-i", str(folder / "key"), *(f"-o{option}" for option in options)])


def _explain(what: str, said: str, stack: str) -> Finding:
    last = next((line.strip() for line in said.splitlines() if line.strip()), "git says nothing")
    if "Host key verification failed" in said:
        return fail(
            f"{what}: shows another host key than the pinned ones",
            "Compare it with what the forge publishes, then correct seedbed:seed.repository.knownHosts. Do not go on "
            "before you know which is right.",
        )
    if "Permission denied" in said:
        return fail(
            f"{what}: does not let the deploy key in",
            f"Register what `seedbed deploy-key {stack}` prints as a read-only deploy key of the repository.",
        )
    if re.search("Could not resolve|Connection refused|timed out|unreachable|No route", said):
        return _out_of_reach(what, last)
    return fail(f"{what}: cannot be read ({last})", "Correct seedbed:seed.repository.url, or the key's rights there.")


def _out_of_reach(what: str, why: str) -> Finding:
    return warn(
        f"{what}: cannot be reached from this machine ({why})",
        "The cluster reads it, not this machine: make sure that the nodes reach it.",
    )

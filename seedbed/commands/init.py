"""Make the identity of a stack and store it, encrypted, in Pulumi.STACK.yaml.

The identity holds every key, certificate and token that outlives machines and state. It is encrypted with the
stack's passphrase on this machine, in Pulumi's own format; neither the CLI nor the state store is asked. Beside it the
public certificate is written with which everyone can seal secrets for the stack, TREE/sealing/STACK.pem.
An identity that is there is never overwritten.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from seedbed import UserError, identities, passphrase, stackfile
from seedbed.sealing import certificate_file
from seedbed.store import META, StoreError, open_store
from stacks.config import ROOT
from stacks.identity import Identity, generate
from stacks.model import PROJECT
from tools.files import write_all

NAME = "init"
HELP = "make a stack's identity and store it encrypted in Pulumi.STACK.yaml"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stack", metavar="STACK")


def run(arguments: argparse.Namespace) -> int:
    identity = initialise(arguments.stack, os.environ)
    makes_machines = f"{PROJECT}:digitalocean" in stackfile.load(arguments.stack).config
    print(next_steps(arguments.stack, identity, os.environ, makes_machines=makes_machines))
    return 0


def initialise(name: str, environment: Mapping[str, str], root: Path = ROOT) -> Identity:
    """Makes the stack's identity and writes it into its yaml, which is made where it is missing, and its certificate.

    Raises UserError, having changed nothing, where there is one already, where the stack lives on the lab, or where
    the passphrase is missing, empty, wrong or the published one.
    """
    path = stackfile.path_of(name, root)
    text = path.read_text() if path.exists() else ""
    stack = stackfile.load(name, root) if text else stackfile.StackFile(name, path, {}, None, None)
    if stack.identity_file is not None:
        raise UserError(
            f"stack {name} lives on the lab, which makes its identity itself, in "
            f"{stack.config[stackfile.IDENTITY_FILE]}: run `make up`"
        )
    if stack.config.get(stackfile.IDENTITY) is not None:
        raise UserError(
            f"{path.name} has an identity, and machines may carry its keys: it is not overwritten. To begin a new "
            f"cluster under this name, take {stackfile.IDENTITY} out of the file yourself"
        )
    identities.refuse_other_providers(stack)
    value = passphrase.from_environment(environment)
    if value == passphrase.public_passphrase(root):
        raise UserError(
            "this is the dev stack's passphrase, which .env.example publishes: everyone could open this stack's keys. "
            f"Export a {passphrase.VARIABLE} of your own, from the password manager"
        )
    crypter = passphrase.Crypter.new(value) if stack.salt is None else passphrase.Crypter.open(stack.salt, value)
    identity = generate()
    sealed = crypter.encrypt(identity.to_json())
    write_all(
        {
            path: stackfile.with_identity(text, sealed, crypter.salt if stack.salt is None else None),
            certificate_file(stack): identity.sealing_keys[-1].crt,
        }
    )
    if identities.read(stackfile.load(name, root), environment) != identity:
        raise UserError(f"what was written to {path.name} reads back as something else; restore the file and report it")
    return identity


def next_steps(name: str, identity: Identity, environment: Mapping[str, str], *, makes_machines: bool = False) -> str:
    """What to do after `initialise`; asks the store whether it is one, and makes none.

    A stack that makes its machines gives them their keys itself.
    """
    hosts = f"""\
Hosts that exist already need the operator's public key in their user's authorized_keys:
      {identity.operator_public_key}
    and their own host key; this prints both as cloud-init user data for one machine (it is secret):
      seedbed cloud-init {name} MACHINE"""
    forge = f"""\
Register at the forge, as a read-only deploy key of the repository, what this prints:
      seedbed deploy-key {name}"""
    return f"""\
Pulumi.{name}.yaml now holds the identity of stack {name}, encrypted, and sealing/{name}.pem in its tree the public
certificate to seal secrets with. Commit both files; keep the passphrase in the password manager. Git and that passphrase
are enough to rebuild the cluster.

Next:
 1. {forge if makes_machines else hosts}
 2. {_store_step(name, environment)}
 3. seedbed doctor {name}
 4. pulumi preview --stack {name}"""


def _store_step(name: str, environment: Mapping[str, str]) -> str:
    try:
        store = open_store(environment)
        known = META in store.list(META)
    except StoreError as error:
        return f"Put the state store right, then `pulumi stack init {name}`. Now: {error}"
    if known:
        return f"pulumi stack init {name}      (in {store.name}; not needed if the stack is there)"
    return (
        f"{store.name} is new, or its name is mistyped: nothing of Pulumi's is in it.\n"
        f"    If it is meant to be new: pulumi stack init {name}"
    )

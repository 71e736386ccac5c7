import os
import subprocess

import pytest

from seedbed import identities, stackfile
from seedbed.commands import init
from seedbed.passphrase import VARIABLE, Crypter
from stacks.identity import Identity
from tests.engine.harness import SYSTEM_PATH

PASSPHRASE = "of this test"


@pytest.fixture
def project(tmp_path, toolchain):
    """A project without a program, and the CLI to ask about it."""
    (tmp_path / "Pulumi.yaml").write_text("name: seedbed\nruntime: python\n")
    (tmp_path / "state").mkdir()
    environment = {
        "PATH": f"{toolchain.pulumi.parent}{os.pathsep}{SYSTEM_PATH}",
        "HOME": str(tmp_path),
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        VARIABLE: PASSPHRASE,
    }

    def pulumi(*arguments, stdin=""):
        argv = [str(toolchain.pulumi), *arguments, "--non-interactive"]
        done = subprocess.run(
            argv, cwd=tmp_path, env=environment, input=stdin, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return tmp_path, environment, pulumi


def test_pulumi_reads_the_identity_that_init_wrote_and_leaves_the_file_as_it_is(project):
    root, environment, pulumi = project
    identity = init.initialise("prod", environment, root)
    written = (root / "Pulumi.prod.yaml").read_text()
    pulumi("stack", "init", "prod")
    said = pulumi("config", "get", "seedbed:identity", "--stack", "prod")
    assert Identity.from_json(said, "pulumi") == identity
    assert (root / "Pulumi.prod.yaml").read_text() == written


def test_init_keeps_the_salt_and_the_secrets_of_a_stack_that_pulumi_made(project):
    root, environment, pulumi = project
    pulumi("stack", "init", "prod")
    pulumi("config", "set", "--secret", "seedbed:token", "--stack", "prod", stdin="said before")
    identity = init.initialise("prod", environment, root)
    assert pulumi("config", "get", "seedbed:token", "--stack", "prod").strip() == "said before"
    assert Identity.from_json(pulumi("config", "get", "seedbed:identity", "--stack", "prod"), "pulumi") == identity


def test_what_pulumi_encrypted_opens_without_pulumi(project):
    root, environment, pulumi = project
    pulumi("stack", "init", "prod")
    pulumi("config", "set", "--secret", "seedbed:token", "--stack", "prod", stdin="said by pulumi")
    stack = stackfile.load("prod", root)
    assert identities.crypter(stack, environment).decrypt(stack.config["seedbed:token"]["secure"]) == "said by pulumi"
    assert Crypter.open(stack.salt, PASSPHRASE).salt == stack.salt

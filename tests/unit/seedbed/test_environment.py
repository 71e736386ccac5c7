import json

import yaml

from lab.cloud import environment as cloud_environment
from seedbed import environment, stackfile

KEPT = {"port": 17070, "access_key": "AK", "secret_key": "SK", "bucket": "seedbed-dev"}


def dev_stack(root):
    (root / ".env.example").write_text("PULUMI_CONFIG_PASSPHRASE=known-to-all\n")
    (root / "requirements").mkdir()
    (root / "requirements" / "program.in").write_text(
        "pulumi-command==1.2.1\npulumi-digitalocean==4.84.1\npulumi-kubernetes==4.34.2\n"
    )
    config = {"config": {"seedbed:identityFile": ".lab/dev/identity.json"}}
    (root / "Pulumi.dev.yaml").write_text(yaml.safe_dump(config))
    (root / ".lab" / "dev").mkdir(parents=True)
    return stackfile.load("dev", root)


def test_a_stack_on_the_lab_gets_the_labs_store_and_the_published_passphrase(tmp_path):
    stack = dev_stack(tmp_path)
    (tmp_path / ".lab/dev/s3.json").write_text(json.dumps(KEPT))
    variables = environment.of(stack, {"PATH": "/usr/bin"}, tmp_path)
    assert variables["PULUMI_BACKEND_URL"].startswith("s3://seedbed-dev?endpoint=http://127.0.0.1:17070")
    assert variables["AWS_SECRET_ACCESS_KEY"] == "SK"
    assert variables["PULUMI_CONFIG_PASSPHRASE"] == "known-to-all"


def test_what_is_exported_is_kept_because_pulumi_would_use_it(tmp_path):
    stack = dev_stack(tmp_path)
    (tmp_path / ".lab/dev/s3.json").write_text(json.dumps(KEPT))
    exported = {"PATH": "/usr/bin", "PULUMI_BACKEND_URL": "s3://other", "PULUMI_CONFIG_PASSPHRASE": "own"}
    variables = environment.of(stack, exported, tmp_path)
    assert (variables["PULUMI_BACKEND_URL"], variables["PULUMI_CONFIG_PASSPHRASE"]) == ("s3://other", "own")


def test_without_a_lab_there_is_no_store(tmp_path):
    assert "PULUMI_BACKEND_URL" not in environment.of(dev_stack(tmp_path), {"PATH": "/usr/bin"}, tmp_path)


def rehearsal_of_prod(root, monkeypatch):
    """A rehearsed stack whose lab has a store and a cloud."""
    dev_stack(root)
    lab = root / ".lab" / "prod"
    lab.mkdir()
    (root / "Pulumi.prod.yaml").write_text("config: {}\n")
    (lab / "Pulumi.prod.yaml").write_text("config:\n  seedbed:identityFile: .lab/prod/identity.json\n")
    (lab / "passphrase").write_text("of the rehearsal")
    (lab / "s3.json").write_text(json.dumps(KEPT))
    cloud = {"DIGITALOCEAN_TOKEN": "of the lab", "DIGITALOCEAN_API_URL": "http://127.0.0.1:8"}
    monkeypatch.setattr(cloud_environment, "environment", lambda folder: cloud if folder == lab else {})
    return stackfile.rehearsal("prod", root)


def test_nothing_of_the_real_stack_that_is_exported_reaches_the_rehearsal(tmp_path, monkeypatch):
    stack = rehearsal_of_prod(tmp_path, monkeypatch)
    real = {
        "PULUMI_BACKEND_URL": "s3://real",
        "PULUMI_CONFIG_PASSPHRASE": "real",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_PROFILE": "real",
        "DIGITALOCEAN_TOKEN": "real",
    }
    variables = environment.of(stack, {"PATH": "/usr/bin", **real}, tmp_path)
    assert not [name for name in real if "real" in variables[name]]
    assert variables["PULUMI_CONFIG_PASSPHRASE"] == "of the rehearsal"
    assert variables["PULUMI_BACKEND_URL"].startswith("s3://seedbed-dev?endpoint=http://127.0.0.1:17070")
    assert variables["DIGITALOCEAN_TOKEN"] == "of the lab"


def test_the_shell_of_a_rehearsal_knows_the_file_that_pulumi_takes(tmp_path, monkeypatch):
    stack = rehearsal_of_prod(tmp_path, monkeypatch)
    variables = environment.of(stack, {"PATH": "/usr/bin"}, tmp_path)
    assert variables["SEEDBED_CONFIG_FILE"] == str(tmp_path / ".lab/prod/Pulumi.prod.yaml")
    assert stackfile.load("prod", tmp_path, variables).rehearsal


def test_a_stack_that_is_committed_makes_no_shell_a_rehearsals(tmp_path):
    assert "SEEDBED_CONFIG_FILE" not in environment.of(dev_stack(tmp_path), {"PATH": "/usr/bin"}, tmp_path)

import json

import yaml

from seedbed import environment, stackfile

KEPT = {"port": 17070, "access_key": "AK", "secret_key": "SK", "bucket": "seedbed-dev"}


def dev_stack(root):
    (root / ".env.example").write_text("PULUMI_CONFIG_PASSPHRASE=known-to-all\n")
    (root / "requirements").mkdir()
    (root / "requirements" / "program.in").write_text("pulumi-command==1.2.1\npulumi-kubernetes==4.34.2\n")
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

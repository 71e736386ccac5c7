"""What a machine is told at its first boot, so that it proves to be itself from the first byte."""

import yaml


def user_data(*, host_key_private: str, host_key_public: str) -> str:
    """The `#cloud-config` that gives a machine its SSH host key, and no other secret.

    Passwords are refused by the paving: `ssh_pwauth` here would restart sshd just after its first answer.
    Whoever is on the machine can read it from the cloud's metadata service for as long as the machine lives.
    `host_key_private` is OpenSSH's own PEM. Source: cloud-init's module ssh,
    https://docs.cloud-init.io/en/latest/reference/modules.html#ssh
    """
    data = {
        "ssh_deletekeys": True,
        "ssh_genkeytypes": [],
        "ssh_keys": {"ed25519_private": host_key_private, "ed25519_public": host_key_public},
    }
    return "#cloud-config\n" + yaml.safe_dump(data, sort_keys=True)

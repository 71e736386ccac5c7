"""What a newcomer would write first: as many resources of the same kinds as the dev stack has, and nothing of seedbed.

bench/preview.py copies this file into a project of its own as its `__main__.py`.
"""

import pulumi
from pulumi_command import remote

config = pulumi.Config()
STEPS = ("wait", "base", "docker", "k3s")


class Part(pulumi.ComponentResource):
    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"trivial:index:{kind}", name)


for host in config.require_object("hosts"):
    Part("Host", host["name"])
    node = Part("Node", host["name"])
    last: list[pulumi.Resource] = []
    for step in STEPS:
        command = remote.Command(
            f"{host['name']}-{step}",
            connection=remote.ConnectionArgs(
                host=host["address"],
                user="root",
                private_key=config.require_secret("privateKey"),
                host_key=host["hostKey"],
            ),
            create="true",
            opts=pulumi.ResourceOptions(parent=node, depends_on=last),
        )
        last = [command]
    pulumi.export(host["name"], command.stdout)

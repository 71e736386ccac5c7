"""The pages about settings and costs say what the program does."""

import re
from collections.abc import Iterator

import pytest
import yaml

from components.metal.digitalocean.cost import lines
from seedbed.commands.cost import table
from stacks.config import ROOT, from_file
from stacks.digitalocean_settings import (
    RESERVED,
    RESERVED_IN,
    DigitalOceanSettings,
    Dns,
    LoadBalancer,
    ReservedAddress,
    SnapshotSettings,
    Volume,
)
from stacks.machine_settings import MachineSettings
from stacks.model import Model
from stacks.pool_settings import PoolSettings
from stacks.settings import Cluster, K3s, Network, Ssh, Timeouts, parse

SETTINGS = (ROOT / "docs/reference/settings.md").read_text()
MODELS: dict[str, type[Model]] = {
    "cluster": Cluster,
    "network": Network,
    "machines.<name>": MachineSettings,
    "digitalocean": DigitalOceanSettings,
    "pools.<name>": PoolSettings,
    "k3s": K3s,
}
PARTS: dict[str, type[Model]] = {
    "dns": Dns,
    "loadBalancer": LoadBalancer,
    "snapshots": SnapshotSettings,
    "volumes": Volume,
    "reservedAddresses": ReservedAddress,
}


def section(title: str) -> str:
    return SETTINGS.partition(f"\n## `{title}`\n")[2].partition("\n## ")[0]


def keys(model: type[Model]) -> Iterator[str]:
    return (field.alias or name for name, field in model.model_fields.items())


@pytest.mark.parametrize("title", MODELS)
def test_every_key_of_a_section_is_in_its_table(title: str):
    text = section(title)
    for key in keys(MODELS[title]):
        assert re.search(rf"`(\w+)?\.?{key}[`.]", text), key


@pytest.mark.parametrize("part", PARTS)
def test_every_key_of_a_part_of_the_cloud_is_in_the_clouds_table(part: str):
    (row, *rows) = [line for line in section("digitalocean").splitlines() if line.startswith(f"| `{part}.")]
    for key in keys(PARTS[part]):
        assert f"{key}`" in "\n".join([row, *rows]), key


@pytest.mark.parametrize("model", [Ssh, Timeouts])
def test_every_key_of_the_small_sections_is_in_the_first_table(model: type[Model]):
    for key in keys(model):
        assert f"`{key}`" in SETTINGS.partition("\n## ")[0]


def test_the_ranges_that_the_cloud_keeps_are_named():
    for reserved in (*RESERVED, *(network for networks in RESERVED_IN.values() for network in networks)):
        assert str(reserved) in section("network")


def test_the_costs_that_the_page_shows_are_those_of_the_prod_stack():
    cloud = from_file("prod").digitalocean
    assert cloud is not None
    assert "\n".join(table(lines(cloud.order))) in (ROOT / "docs/reference/cost.md").read_text()


def test_the_example_of_machines_of_your_own_is_valid():
    page = (ROOT / "docs/how-to/machines-of-your-own.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    config = {key.removeprefix("seedbed:"): value for key, value in yaml.safe_load(example)["config"].items()}
    assert len(parse(config, "the example", ROOT).machines) == 4

from pathlib import Path

import pytest

from tools import ToolError
from tools.versions import BUILT, RELEASE, pinned, required, satisfies

RANGE = ">=3.232.0 <3.245.0 || >=3.257.0 <4.0.0"


@pytest.mark.parametrize("version", ["3.232.0", "v3.244.9", "3.257.0", "3.272.0", "3.260.0-dev.12+dirty"])
def test_versions_inside_a_range_satisfy_it(version: str):
    assert satisfies(version, RANGE)


@pytest.mark.parametrize("version", ["3.231.9", "3.245.0", "3.256.3", "4.0.0", "2.300.0"])
def test_versions_outside_a_range_do_not(version: str):
    assert not satisfies(version, RANGE)


@pytest.mark.parametrize(
    ("version", "condition", "holds"),
    [
        ("3.5.0", "3.5.0", True),
        ("3.5.1", "=3.5.0", False),
        ("3.5.0", "!3.5.0", False),
        ("3.5.1", "!=3.5.0", True),
        ("3.5.0", ">3.5.0", False),
        ("3.5.0", "<=3.5", True),
    ],
)
def test_every_operator_of_the_clis_ranges_is_understood(version: str, condition: str, holds: bool):
    assert satisfies(version, condition) is holds


def test_a_condition_that_cannot_be_read_is_named():
    with pytest.raises(ToolError, match=r"cannot read '\^3\.1' in a version range"):
        satisfies("3.1.0", "^3.1")


def test_the_range_is_the_one_of_pulumi_yaml(tmp_path: Path):
    (tmp_path / "Pulumi.yaml").write_text(f'name: x\nrequiredPulumiVersion: "{RANGE}"\nruntime: python\n')

    assert required(tmp_path) == RANGE


def test_a_pulumi_yaml_without_a_range_is_refused(tmp_path: Path):
    (tmp_path / "Pulumi.yaml").write_text("name: x\n")

    with pytest.raises(ToolError, match="has no requiredPulumiVersion"):
        required(tmp_path)


def test_a_plugins_version_is_the_pin_of_its_package(tmp_path: Path):
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "program.in").write_text("pulumi==3.272.0\npulumi-command==1.2.1\n")

    assert pinned(tmp_path, "pulumi-command") == "1.2.1"
    with pytest.raises(ToolError, match="pins no version of pulumi-random"):
        pinned(tmp_path, "pulumi-random")


def test_the_clone_pins_the_sdk_of_the_release_and_builds_the_module_that_it_names():
    clone = Path(__file__).parents[3]

    assert pinned(clone, "pulumi") == RELEASE
    assert f"github.com/pulumi/pulumi/pkg/v3 v{BUILT} " in (clone / "tools/pulumi/go.mod").read_text()
    assert satisfies(RELEASE, required(clone))
    assert satisfies(BUILT, required(clone))


def test_what_bootstraps_is_pinned_as_what_is_synchronised():
    requirements = Path(__file__).parents[3] / "requirements"
    pins = {line for line in (requirements / "bootstrap.txt").read_text().splitlines() if "==" in line}

    assert {pin.split("==")[0] for pin in pins} == {"pip", "uv"}
    assert pins <= set((requirements / "dev.txt").read_text().splitlines())

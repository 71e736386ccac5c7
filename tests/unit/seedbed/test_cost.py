"""`seedbed cost`: the table, and the difference to what is deployed or was committed."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from components.metal.digitalocean.catalogue import DATE
from components.metal.digitalocean.cost import Order, lines
from seedbed import UserError, cli, engine, environment, stackfile
from seedbed.commands import cost

CONFIG = {
    "seedbed:cluster": {"init": "server-a-1"},
    "seedbed:network": {"machines": "10.20.0.0/24"},
    "seedbed:k3s": {"version": "v1.34.2+k3s1"},
    "seedbed:digitalocean": {"region": "fra1", "image": "debian-12-x64", "operators": {"office": "203.0.113.0/24"}},
    "seedbed:pools": {"servers": {"role": "server", "size": "s-2vcpu-4gb", "machines": {"server-a": {}}}},
}
AGENTS = {"role": "agent", "size": "s-4vcpu-8gb", "machines": {"agent-a": {}}}


def git(root: Path, *words: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *words], cwd=root, check=True, capture_output=True)


def write(root: Path, pools: dict[str, object], name: str = "prod") -> None:
    config = CONFIG | {"seedbed:pools": pools}
    (root / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump({"config": config}))


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A clone whose prod stack had one server when it was committed, and has an agent now."""
    servers = CONFIG["seedbed:pools"]
    git(tmp_path, "init", "--quiet")
    write(tmp_path, servers)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message=one server")
    write(tmp_path, servers | {"agents": AGENTS})
    load = stackfile.load
    monkeypatch.setattr(stackfile, "load", lambda name: load(name, tmp_path, {}))
    monkeypatch.setattr(environment, "of", lambda *_: {})
    monkeypatch.delenv("SEEDBED_DEBUG", raising=False)
    return tmp_path


@pytest.fixture
def tells(monkeypatch):
    """What the stack's state tells of its output."""

    def tell(value):
        def output(stack, name, variables):
            assert (stack.name, name) == ("prod", "monthlyCost")
            if isinstance(value, Exception):
                raise value
            return value

        monkeypatch.setattr(engine, "output", output)

    return tell


def said(capsys, *words):
    code = cli.main(["cost", *words])
    out, err = capsys.readouterr()
    return code, out, err


def rows(out):
    return [line.rsplit(maxsplit=3) for line in out.splitlines()]


def test_the_table_has_a_line_for_each_thing_and_the_sum(root, tells, capsys):
    tells(UserError("no state"))
    code, out, _ = said(capsys, "prod")
    assert code == 0
    assert rows(out)[1:4] == [
        ["droplet s-2vcpu-4gb", "1", "24.00", "24.00"],
        ["droplet s-4vcpu-8gb", "1", "48.00", "48.00"],
        ["load balancer node", "1", "12.00", "12.00"],
    ]
    assert rows(out)[4] == ["total", "84.00"]
    assert f"by the prices of {DATE} (https://www.digitalocean.com/pricing)" in out


def test_the_difference_to_what_is_deployed_is_told(root, tells, capsys):
    tells(json.dumps({"USD": "36.00", "pricesOf": DATE}))
    _, out, _ = said(capsys, "prod")
    assert out.splitlines()[-1] == "Deployed: 36.00. With these settings: +48.00 a month."


def test_what_was_deployed_at_other_prices_is_told_with_their_day(root, tells, capsys):
    tells(json.dumps({"USD": "100.50", "pricesOf": "2022-07-01"}))
    _, out, _ = said(capsys, "prod")
    assert "Deployed: 100.50. With these settings: -16.50 a month. The former is by the prices of 2022-07-01." in out


@pytest.mark.parametrize(
    "value", ["", "12", "{}", '{"USD": "much", "pricesOf": "x"}', '{"USD": null, "pricesOf": "x"}']
)
def test_a_state_that_tells_something_else_is_no_reason_to_say_nothing(root, tells, capsys, value):
    tells(value)
    code, out, _ = said(capsys, "prod")
    assert code == 0
    assert "Deployed: not known. its output monthlyCost is not a sum" in out


def test_a_state_that_cannot_be_read_is_no_reason_to_say_nothing(root, tells, capsys):
    tells(UserError("the state store does not answer"))
    code, out, _ = said(capsys, "prod")
    assert code == 0
    assert out.splitlines()[-1] == "Deployed: not known. the state store does not answer"


def test_the_difference_to_a_revision_is_told_line_by_line_and_the_state_is_not_asked(root, tells, capsys):
    tells(AssertionError("asked"))
    code, out, _ = said(capsys, "prod", "--since", "HEAD")
    assert code == 0
    assert "\nSince HEAD:\n" in out
    assert out.splitlines()[-2].split() == ["droplet", "s-4vcpu-8gb", "0", "->", "1", "+48.00"]
    assert out.splitlines()[-1].split() == ["a", "month", "+48.00"]


def test_what_is_less_has_a_minus(root, capsys):
    git(root, "commit", "--quiet", "--all", "--message=an agent")
    write(root, CONFIG["seedbed:pools"])
    _, out, _ = said(capsys, "prod", "--since", "HEAD")
    assert out.splitlines()[-1].split() == ["a", "month", "-48.00"]


def test_a_revision_with_the_same_machines_changes_nothing(root, capsys):
    git(root, "commit", "--quiet", "--all", "--message=an agent")
    _, out, _ = said(capsys, "prod", "--since", "HEAD")
    assert out.splitlines()[-1] == "Since HEAD: no change."


@pytest.mark.parametrize("revision", ["nonesuch", "--all", "HEAD:x"])
def test_a_revision_that_is_none_is_named_and_nothing_else_is_said(root, capsys, revision):
    code, out, err = said(capsys, "prod", f"--since={revision}")
    assert code == 1
    assert out == ""
    assert err.startswith(f"error: --since {revision}: ")


def test_a_revision_whose_settings_are_bad_by_now_is_named(root, capsys):
    write(root, {"servers": {"role": "server", "size": "gone", "machines": {"server-a": {}}}})
    git(root, "commit", "--quiet", "--all", "--message=a size that is sold no more")
    write(root, CONFIG["seedbed:pools"])
    code, _, err = said(capsys, "prod", "--since", "HEAD")
    assert code == 1
    assert err.startswith("error: Pulumi.prod.yaml of HEAD cannot be used, 1 problem:")


def test_machines_that_exist_cost_nothing_and_did_so_before_they_were_droplets(root, capsys):
    config = {key: CONFIG[key] for key in ("seedbed:cluster", "seedbed:network", "seedbed:k3s")}
    config["seedbed:machines"] = {"server-a": {"role": "server", "address": "10.20.0.11"}}
    (root / "Pulumi.own.yaml").write_text(yaml.safe_dump({"config": config}))
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message=machines that exist")
    code, out, _ = said(capsys, "own")
    assert code == 0
    assert out == "Stack own is on machines that exist: nothing is bought for it.\n"
    write(root, CONFIG["seedbed:pools"], "own")
    assert said(capsys, "own", "--since=HEAD")[1].splitlines()[-1].split() == ["a", "month", "+36.00"]


def test_columns_are_aligned_whatever_is_in_them():
    order = Order(
        sizes={"a": "c-16"}, backups=frozenset(), balancer_nodes=10, volume_gib=1, reserved_addresses=0, bucket=True
    )
    assert len({len(line) for line in cost.table(lines(order))}) == 1

"""The rehearsal that these tests share."""

from collections.abc import Iterator

import pytest

from tests.lab.conftest import new_spec
from tests.lab.rehearsed import Prod, Rehearsed


@pytest.fixture(scope="package")
def rehearsed() -> Iterator[Prod]:
    """The prod stack, from nothing, by one `seedbed rehearse`."""
    stack = Rehearsed.new(new_spec().subnet)
    try:
        console = stack.rehearse().stdout
        environment = stack.environment()
        kubeconfig = stack.root / "kubeconfig"
        kubeconfig.touch(0o600)
        kubeconfig.write_text(stack.in_shell(environment, "seedbed", "kubeconfig", stack.name))
        yield Prod(stack, console, stack.outputs(), environment, kubeconfig)
    finally:
        stack.remove()

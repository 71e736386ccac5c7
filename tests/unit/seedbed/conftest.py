import pytest

from seedbed import passphrase
from seedbed.kube import Api
from stacks import identity as module
from stacks.identity import Identity, KeyPair, generate
from tests.unit.seedbed.fake_api import FakeApi


@pytest.fixture(scope="session")
def identity() -> Identity:
    """A real one but for its sealing key, whose 4096 bits take seconds and which nothing here looks at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_sealing_key", lambda: KeyPair(crt="certificate", key="key"))
        return generate()


@pytest.fixture(scope="package", autouse=True)
def _few_rounds():
    """Pulumi's million rounds take half a second each time; one test takes them, with what Pulumi itself wrote."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passphrase, "ROUNDS", 10)
        yield


@pytest.fixture
def fake(identity, tmp_path):
    """A Kubernetes API with nothing in it."""
    server = FakeApi(identity, tmp_path)
    yield server
    server.close()


@pytest.fixture
def api(fake, identity):
    return Api.of(identity, fake.url)

import pytest

from lab.plugins.digitalocean.settings import API_URL, Settings, from_variables
from lab.plugins.protocol import PluginError


def test_without_anything_the_official_defaults_hold() -> None:
    settings = from_variables({}, {})
    assert settings == Settings()
    assert settings.api_url == API_URL
    assert (settings.retries.most, settings.retries.wait_min, settings.retries.wait_max) == (4, 1.0, 30.0)
    assert settings.spaces_endpoint("FRA1") == "https://fra1.digitaloceanspaces.com"


@pytest.mark.parametrize(
    ("variables", "environment", "token"),
    [
        ({"digitalocean:config:token": "a"}, {"DIGITALOCEAN_TOKEN": "b"}, "a"),
        ({}, {"DIGITALOCEAN_TOKEN": "b", "DIGITALOCEAN_ACCESS_TOKEN": "c"}, "b"),
        ({}, {"DIGITALOCEAN_ACCESS_TOKEN": "c"}, "c"),
    ],
)
def test_the_token_is_the_configured_one_or_else_of_the_first_variable(
    variables: dict[str, str], environment: dict[str, str], token: str
) -> None:
    assert from_variables(variables, environment).token == token


def test_credentials_are_not_shown() -> None:
    names = ("DIGITALOCEAN_TOKEN", "SPACES_ACCESS_KEY_ID", "SPACES_SECRET_ACCESS_KEY")
    assert "hidden" not in repr(from_variables({}, dict.fromkeys(names, "hidden")))


def test_a_number_that_is_none_is_named() -> None:
    with pytest.raises(PluginError, match=r"httpRetryMax.*DIGITALOCEAN_HTTP_RETRY_MAX"):
        from_variables({}, {"DIGITALOCEAN_HTTP_RETRY_MAX": "many"})


@pytest.mark.parametrize(
    ("url", "local"), [("http://127.0.0.1:8080", True), ("http://localhost", True), (API_URL, False)]
)
def test_an_api_on_this_machine_is_reached_without_a_proxy(url: str, local: bool) -> None:
    assert from_variables({"digitalocean:config:apiEndpoint": url}, {}).is_local is local

"""What the provider is configured with. Source: `provider.go` (its defaults and variables), `config/config.go`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from lab.plugins.protocol import PluginError

from .retry import Retries

API_URL = "https://api.digitalocean.com"
SPACES_URL = "https://{{.Region}}.digitaloceanspaces.com"


@dataclass(frozen=True)
class Settings:
    """All settings; credentials are empty where they were given nowhere. `requests_per_second` of 0 is the API's own."""

    api_url: str = API_URL
    token: str = field(default="", repr=False)
    retries: Retries = field(default_factory=Retries)
    requests_per_second: float = 0.0
    spaces_url: str = SPACES_URL
    spaces_id: str = field(default="", repr=False)
    spaces_secret: str = field(default="", repr=False)

    @property
    def is_local(self) -> bool:
        """Whether the API is on this machine, to which no proxy leads."""
        return loopback(self.api_url)

    def spaces_endpoint(self, region: str) -> str:
        """Where the buckets of the region are."""
        return self.spaces_url.replace("{{.Region}}", region.lower())


def loopback(url: str) -> bool:
    """Whether the URL leads to this machine itself."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def from_variables(variables: Mapping[str, str], environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in the variables of a Configure request; an environment variable counts where one is missing.

    Raises PluginError for a number that is none.
    """
    given = {key.removeprefix("digitalocean:config:"): value for key, value in variables.items()}
    around = os.environ if environment is None else environment

    def text(name: str, *places: str, otherwise: str = "") -> str:
        return given.get(name) or next((around[place] for place in places if around.get(place)), otherwise)

    def number(name: str, place: str, otherwise: float) -> float:
        value = text(name, place, otherwise=str(otherwise))
        try:
            return float(value)
        except ValueError:
            raise PluginError(f"digitalocean:{name} (or {place}) is not a number: {value!r}") from None

    return Settings(
        api_url=text("apiEndpoint", "DIGITALOCEAN_API_URL", otherwise=API_URL).rstrip("/"),
        token=text("token", "DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"),
        retries=Retries(
            most=int(number("httpRetryMax", "DIGITALOCEAN_HTTP_RETRY_MAX", 4)),
            wait_min=number("httpRetryWaitMin", "DIGITALOCEAN_HTTP_RETRY_WAIT_MIN", 1.0),
            wait_max=number("httpRetryWaitMax", "DIGITALOCEAN_HTTP_RETRY_WAIT_MAX", 30.0),
        ),
        requests_per_second=number("requestsPerSecond", "DIGITALOCEAN_REQUESTS_PER_SECOND", 0.0),
        spaces_url=text("spacesEndpoint", "SPACES_ENDPOINT_URL", otherwise=SPACES_URL),
        spaces_id=text("spacesAccessId", "SPACES_ACCESS_KEY_ID"),
        spaces_secret=text("spacesSecretKey", "SPACES_SECRET_ACCESS_KEY"),
    )

"""Connections by a kubeconfig, read by the official Python client.

It is imported when the first request is made, and a preview makes none. Only its reader of kubeconfigs is: with the
classes for every kind of the API, `import kubernetes` takes more than a second.
"""

import ssl
import sys
import tempfile
from typing import Any
from urllib.parse import urlsplit

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.packages import skip_package_code
from lab.plugins.protocol.values import Value

from .settings import Kubeconfig

_CONNECTIONS = 32


class KubeconfigError(PluginError):
    """The kubeconfig cannot be used; the message has nothing of its secrets."""


def connect(kubeconfig: Kubeconfig) -> tuple[Value, Value]:
    """A urllib3 pool for the server, and the client's configuration, which knows the server's URL and the credentials.

    Nothing is sent. Raises KubeconfigError.
    """
    if kubeconfig.reason:
        raise KubeconfigError(kubeconfig.reason)
    kube_config = _reader()
    import urllib3

    configuration = sys.modules["kubernetes.client"].Configuration()
    # The client wants certificates in files; they are read at once and removed.
    with tempfile.TemporaryDirectory(prefix="seedbed-kubernetes-") as folder:
        try:
            kube_config.load_kube_config_from_dict(
                _of_one_cluster(kubeconfig),
                client_configuration=configuration,
                persist_config=False,
                temp_file_path=folder,
            )
            context = _ssl_context(configuration)
        except (kube_config.ConfigException, OSError, ValueError) as error:
            what = f"the kubeconfig for {kubeconfig.server} cannot be used: {type(error).__name__}"
            raise KubeconfigError(what) from None
    settings: dict[str, Any] = {"maxsize": _CONNECTIONS, "ssl_context": context}
    if configuration.tls_server_name:
        settings["server_hostname"] = configuration.tls_server_name
    proxy = _proxy(kubeconfig)
    return urllib3.ProxyManager(proxy, **settings) if proxy else urllib3.PoolManager(**settings), configuration


def _reader() -> Value:
    if "kubernetes" not in sys.modules:
        skip_package_code("kubernetes", "kubernetes.client")
        package = sys.modules["kubernetes.client"]
        from kubernetes.client.configuration import Configuration  # type: ignore[import-untyped]

        package.__dict__.update(Configuration=Configuration, ApiClient=object)
    from kubernetes.config import kube_config  # type: ignore[import-untyped]

    return kube_config


def _of_one_cluster(kubeconfig: Kubeconfig) -> dict[str, Any]:
    """The kubeconfig with the chosen context only, and in it the chosen cluster."""
    context = {**kubeconfig.context_settings}
    if kubeconfig.cluster:
        context["cluster"] = kubeconfig.cluster
    content = {key: value for key, value in kubeconfig.content.items() if key != "contexts"}
    return {**content, "current-context": "chosen", "contexts": [{"name": "chosen", "context": context}]}


def _ssl_context(configuration: Value) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    # Python 3.13 asks more of an authority's certificate than Go's client does.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context


def _proxy(kubeconfig: Kubeconfig) -> str:
    """The proxy of the kubeconfig or the environment; as in Go, none to this machine itself."""
    if given := kubeconfig.cluster_settings.get("proxy-url"):
        return str(given)
    from requests.utils import get_environ_proxies

    host = urlsplit(kubeconfig.server).hostname or ""
    if host == "localhost" or host.startswith("127.") or host == "::1":
        return ""
    return str(get_environ_proxies(kubeconfig.server).get("https") or "")

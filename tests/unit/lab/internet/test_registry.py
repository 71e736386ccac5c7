import json
from pathlib import Path

import pytest

from lab.internet.archives import INDEX, MANIFEST, Archives, Repository, parse_reference

from .conftest import Lab, write_archive

REDIS = "docker.io/library/redis:7"
PAUSE = "registry.k8s.io/pause:3.10"


@pytest.mark.parametrize(
    ("reference", "registry", "path", "tag"),
    [
        ("redis", "docker.io", "library/redis", "latest"),
        ("redis:7", "docker.io", "library/redis", "7"),
        ("docker.io/redis:7", "docker.io", "library/redis", "7"),
        ("index.docker.io/library/redis:7", "docker.io", "library/redis", "7"),
        ("rancher/pause:3", "docker.io", "rancher/pause", "3"),
        ("quay.io/argoproj/argocd:v3", "quay.io", "argoproj/argocd", "v3"),
        ("localhost/a:1", "localhost", "a", "1"),
        ("host:5000/a/b", "host:5000", "a/b", "latest"),
        ("quay.io/a/b@sha256:00", "quay.io", "a/b", None),
        ("quay.io/a/b:1@sha256:00", "quay.io", "a/b", "1"),
    ],
)
def test_a_reference_means_what_docker_takes_it_for(reference: str, registry: str, path: str, tag: str | None) -> None:
    assert parse_reference(reference) == (Repository(registry, path), tag)


def test_the_api_answers_without_a_token(lab: Lab) -> None:
    reply = lab.client.ask("registry-1.docker.io", "/v2/")
    assert (reply.status, reply.body) == (200, b"{}")
    assert reply.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


def test_an_image_is_pulled_by_tag_then_manifest_digest_then_blobs(lab: Lab) -> None:
    image = write_archive(lab.archive, [PAUSE])
    host = "registry.k8s.io"
    head = lab.client.ask(host, "/v2/pause/manifests/3.10", "HEAD")
    assert (head.status, head.headers["Docker-Content-Digest"]) == (200, image.manifest)
    assert head.headers["Content-Type"] == MANIFEST
    manifest = lab.client.ask(host, f"/v2/pause/manifests/{image.manifest}")
    assert manifest.headers["Content-Type"] == MANIFEST
    assert head.headers["Content-Length"] == str(len(manifest.body))
    facts = json.loads(manifest.body)
    assert facts["config"]["digest"] == image.config
    layer = lab.client.ask(host, f"/v2/pause/blobs/{facts['layers'][0]['digest']}")
    assert (layer.body, layer.headers["Docker-Content-Digest"]) == (image.layer, image.layer_digest)


def test_a_layer_can_be_continued(lab: Lab) -> None:
    image = write_archive(lab.archive, [PAUSE])
    path = f"/v2/pause/blobs/{image.layer_digest}"
    reply = lab.client.ask("registry.k8s.io", path, headers={"Range": "bytes=100-"})
    assert (reply.status, reply.body) == (206, image.layer[100:])


@pytest.mark.parametrize("host", ["docker.io", "registry-1.docker.io", "index.docker.io"])
@pytest.mark.parametrize("path", ["library/redis", "redis"])
def test_docker_hub_is_one_registry_under_each_of_its_names(lab: Lab, host: str, path: str) -> None:
    image = write_archive(lab.archive, [REDIS])
    reply = lab.client.ask(host, f"/v2/{path}/manifests/7")
    assert (reply.status, reply.headers["Docker-Content-Digest"]) == (200, image.manifest)


def test_a_mirror_client_names_the_registry_in_ns(lab: Lab) -> None:
    write_archive(lab.archive, [PAUSE])
    assert lab.client.ask("10.77.0.2", "/v2/pause/manifests/3.10?ns=registry.k8s.io").status == 200
    assert lab.client.ask("10.77.0.2", "/v2/pause/manifests/3.10").status == 404


def test_an_image_of_one_registry_is_not_one_of_another(lab: Lab) -> None:
    write_archive(lab.archive, [PAUSE])
    assert lab.client.ask("quay.io", "/v2/pause/manifests/3.10").status == 404


def test_an_index_leads_to_the_manifest_of_a_platform(lab: Lab) -> None:
    image = write_archive(lab.archive, [PAUSE], nested=True)
    top = lab.client.ask("registry.k8s.io", "/v2/pause/manifests/3.10")
    assert top.headers["Content-Type"] == INDEX
    below = json.loads(top.body)["manifests"][0]["digest"]
    assert below == image.manifest
    reply = lab.client.ask("registry.k8s.io", f"/v2/pause/manifests/{below}")
    assert (reply.status, reply.headers["Content-Type"]) == (200, MANIFEST)


def test_tags_are_listed_in_pages(lab: Lab) -> None:
    write_archive(lab.archive, [f"quay.io/a/b:{tag}" for tag in ("v2", "v1", "v3")])
    whole = lab.client.ask("quay.io", "/v2/a/b/tags/list")
    assert json.loads(whole.body) == {"name": "a/b", "tags": ["v1", "v2", "v3"]}
    page = lab.client.ask("quay.io", "/v2/a/b/tags/list?n=2")
    assert json.loads(page.body)["tags"] == ["v1", "v2"]
    assert page.headers["Link"] == '</v2/a/b/tags/list?n=2&last=v2>; rel="next"'
    rest = lab.client.ask("quay.io", "/v2/a/b/tags/list?n=2&last=v2")
    assert (json.loads(rest.body)["tags"], rest.headers["Link"]) == (["v3"], None)


def test_the_catalog_lists_a_registrys_repositories(lab: Lab) -> None:
    write_archive(lab.archive, [REDIS, PAUSE])
    reply = lab.client.ask("docker.io", "/v2/_catalog")
    assert json.loads(reply.body) == {"repositories": ["library/redis"]}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/a/b/manifests/none", "MANIFEST_UNKNOWN"),
        (f"/v2/a/b/manifests/sha256:{'0' * 64}", "MANIFEST_UNKNOWN"),
        (f"/v2/a/b/blobs/sha256:{'0' * 64}", "BLOB_UNKNOWN"),
        ("/v2/a/b/tags/list", "NAME_UNKNOWN"),
        ("/v2/A/b/manifests/x", "NAME_INVALID"),
        ("/v2/a/../b/manifests/x", "NAME_INVALID"),
    ],
)
def test_an_error_has_the_code_that_the_specification_gives_it(lab: Lab, path: str, code: str) -> None:
    write_archive(lab.archive, [REDIS])
    reply = lab.client.ask("quay.io", path)
    assert (reply.status, json.loads(reply.body)["errors"][0]["code"]) == (404, code)


def test_a_missing_image_is_said_to_be_missing_and_its_registry_unreachable(lab: Lab) -> None:
    reply = lab.client.ask("docker.io", "/v2/library/redis/manifests/7")
    message = json.loads(reply.body)["errors"][0]["message"]
    assert message.startswith(
        "the lab does not have docker.io/library/redis:7 and registry-1.docker.io cannot be reached from here"
    )


def test_a_layers_digest_is_no_manifest(lab: Lab) -> None:
    image = write_archive(lab.archive, [PAUSE])
    assert lab.client.ask("registry.k8s.io", f"/v2/pause/manifests/{image.layer_digest}").status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_pushing_is_refused(lab: Lab, method: str) -> None:
    reply = lab.client.ask("quay.io", "/v2/a/b/blobs/uploads/", method)
    assert (reply.status, json.loads(reply.body)["errors"][0]["code"]) == (405, "UNSUPPORTED")


def test_a_replaced_archive_is_seen_without_a_restart(lab: Lab) -> None:
    assert lab.client.ask("quay.io", "/v2/a/b/manifests/1").status == 404
    write_archive(lab.archive, ["quay.io/a/b:1"])
    assert lab.client.ask("quay.io", "/v2/a/b/manifests/1").status == 200
    write_archive(lab.archive, ["quay.io/a/b:2"], b"other")
    assert lab.client.ask("quay.io", "/v2/a/b/manifests/1").status == 404
    assert lab.client.ask("quay.io", "/v2/a/b/manifests/2").status == 200


def test_a_broken_archive_is_reported_and_the_others_still_serve(tmp_path: Path) -> None:
    broken, good, absent = tmp_path / "broken.tar", tmp_path / "good.tar", tmp_path / "absent.tar"
    broken.write_bytes(b"no tar at all" * 100)
    write_archive(good, [PAUSE])
    archives = Archives([broken, absent, good])
    assert archives.tag(Repository("registry.k8s.io", "pause"), "3.10") is not None
    assert [line.split(": ")[0] for line in archives.problems()] == [
        f"{broken} is not an OCI-layout tar",
        f"{absent} does not exist",
    ]

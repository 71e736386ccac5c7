"""Every version that seedbed installs, in one place, with the digest that a download must have."""

K3S_RELEASES: dict[str, dict[str, str]] = {
    # The binaries `k3s` and `k3s-arm64` of the release, as its sha256sum-ARCH.txt has them; checked against two published
    # copies of those files.
    "v1.34.2+k3s1": {
        "amd64": "15811d34187e03fe29d0e46108c42cc33e62cec1b3d9d80f50944536ebcad40a",
        "arm64": "2e1db0e54a8b0d0ab8a264a119c9c617561f9290e7bb2722d795f8bc91b24cf8",
    },
}
"""k3s version -> architecture as Go names it -> sha256 of the binary, in hex."""

K3S_RELEASE_URL = "https://github.com/k3s-io/k3s/releases/download"

"""The language host that stands in for `pulumi-language-python` where that cannot be had; see host.py."""

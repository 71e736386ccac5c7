"""What the drop-in provider plugins have in common: Pulumi's provider protocol below the operations of any one plugin.

Written on the gRPC service itself and not on the SDK's `pulumi.provider.experimental`, whose server puts a
traceback into every error, cannot write to the engine's log, and loads the whole SDK before it serves.
Source: pulumi/pulumi `proto/pulumi/provider.proto`.
"""


class PluginError(Exception):
    """What the engine shows to the user when an operation fails; never holds a secret input."""

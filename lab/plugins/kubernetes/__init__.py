"""A drop-in for the official `kubernetes` plugin 4.34.2, for machines that cannot download it.

It speaks Pulumi's provider protocol and makes, changes, reads and deletes objects of every kind for which the official
plugin does no more than that: Namespace, Secret, ConfigMap, custom resources (with `pulumi.com/waitFor`), roles and
the like. Inputs, outputs, diffs, replacement rules, field managers and errors are those of the official plugin, so that
a program and its state can go from one to the other. It is never used where the official plugin can be had;
`tests/engine/conformance/` holds both to one set of rules.

Where it differs:
- the cluster is asked for the first time when something is created, updated, read or deleted, not when the provider is
  configured. A preview asks nobody: it shows what the state and the inputs say, without a dry run on the server, the
  server's schema, or warnings about old API versions, and has no fields that the server sets. A program that needs the provider to wait for the cluster must
  say so (`depends_on`), or it fails with the official plugin;
- for the same reason a custom resource without a namespace gets the provider's in its inputs even if its kind turns out
  to have none; it is then left out;
- kinds that the official plugin waits for in a way of their own (Deployment, Pod, Service, … in `objects.AWAITED`),
  patches, lists, Helm, Kustomize and YAML are refused with a sentence that says so, and so are client-side apply and
  rendering to files;
- inputs are not sent through the typed schema first: an unknown field is not dropped from the inputs, and the
  `x_kubernetes_…` names of definitions are not translated;
- waiting asks again every half second instead of watching; `pulumi.com/waitFor` is checked before anything is created;
- while the kind of a custom resource is missing, creation is tried at the official times (0, 1, 3, 7, 15, 31 s) but
  without the last sleep after which nothing is tried, and not longer than `customTimeouts` says;
- automatic names have the official form, not the official random digits;
- an object that the server forbids to delete stays, and the deletion fails;
- the values of secret inputs are not repeated in errors, and a kubeconfig that cannot be read is named without a piece
  of its text.

Sources of facts: pulumi/pulumi-kubernetes, `provider/pkg/`, cited below by file name, and the pages of the
Pulumi Registry about the kubernetes package.
"""

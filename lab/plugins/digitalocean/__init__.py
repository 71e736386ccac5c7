"""A drop-in for the official `digitalocean` plugin 4.84.1, for machines that cannot download it.

It speaks Pulumi's provider protocol, and to DigitalOcean's API by the official Python client (`pydo`; Spaces by boto3).
It knows the resources of `kinds.KINDS`, with the official inputs, outputs, defaults, replacement rules and import IDs,
so that a program and its state can go from one to the other. It is never used where the official plugin can be had;
`tests/engine/conformance/` says which rules it keeps.

Where it differs:
- a create whose answer is lost, or that fails with a 5xx, is not blindly sent again, which makes a second one (the
  official plugin does: go-retryablehttp in godo's `WithRetryAndBackoffs` repeats every request). What was
  created is looked for, and is adopted when it can only be ours; see `creating.py`;
- what exists and is not ready, or is changed in part, is kept in the state with an error, and the next `up` goes on
  with it; a half-made one is never lost and never made twice;
- waiting asks sooner than the official 10 s, but with many waiting no oftener than `waiting.POLLS_PER_MINUTE` in all;
- requests keep below the API's limit by the minute by themselves (official: no limit unless `requestsPerSecond` is
  set), and a wait for the limit by the hour that is longer than `retry.LONGEST_PAUSE` is an error that says until when;
- `customTimeouts` bounds every operation; where there is none, the official times hold;
- what is to be deleted and is gone already is fine for every resource; load balancers are waited for until they are
  gone, since they hold their VPC;
- a droplet that is locked is asked to go all the same, so that one that never got active can be removed;
- a project waits until it shows what was put into it; its environment may be written in any case;
- a reserved IP whose droplet is gone can be unassigned; a droplet's volumes are detached as the API has them, not as
  the state has them;
- what is gone before it is ready is not in the state, so that the next `up` makes it anew; a project that is to give up
  what is gone already gives it up;
- a Spaces bucket of another name is another bucket: it is replaced (officially the name alone is changed in the state);
- inputs of global load balancers, certificates, and CORS rules are refused with a sentence that says so;
- inputs that are not known to a resource are refused; officially the SDK's types leave none;
- there are no functions (`getDroplet` and the like), and no other resources;
- in a detailed diff the elements of sets are numbered by their places in the lists; `__meta` holds the schema's version
  only.

Sources of facts: digitalocean/terraform-provider-digitalocean, `digitalocean/`, cited below by file name;
pulumi/pulumi-digitalocean `provider/resources.go`; pulumi/pulumi-terraform-bridge `pkg/tfbridge`; DigitalOcean's API
reference.
"""

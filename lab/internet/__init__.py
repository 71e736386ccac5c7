"""The small internet that a lab's hosts see: names, a release mirror, an image registry; and the state's S3 server.

Everything listens in the lab's own network namespace, except the S3 server, which listens on loopback.
"""

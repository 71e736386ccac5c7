"""What the seed runs, made where it cannot be pulled: Argo CD, sealed-secrets and what these two need."""

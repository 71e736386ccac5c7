#!/bin/bash
# What git drives, by hand: manifests that are rendered already, applied in one go, and the wait until all of it runs, as
# ArgoCD would call it healthy. bench/seed.py measures `pulumi up` against it.
#
#   seed_by_hand.sh FOLDER      of manifests; applied in the order of their names
#
# In the environment: KUBECONFIG.
set -euo pipefail
folder=$1
said=$folder/../said
done_with() { echo "done: $* after $SECONDS s"; }
all_are() { kubectl wait --all --all-namespaces --timeout 300s --for "condition=$1" "$2" >/dev/null; }

# A SealedSecret cannot be applied before its definition is established: then once more.
tries=0
until kubectl apply --server-side --force-conflicts --field-manager argocd-controller --filename "$folder" >/dev/null 2>"$said"; do
  [ $((++tries)) -lt 20 ] || { cat "$said"; exit 1; }
  sleep 1
done
done_with applied
# As ArgoCD 3.5 judges them (gitops-engine, pkg/health, and its customization for SealedSecret).
all_are Synced sealedsecrets.bitnami.com
all_are Available deployments.apps
kubectl --namespace argocd rollout status --timeout 300s statefulset/argocd-application-controller >/dev/null
done_with running
all_are ScalingActive horizontalpodautoscalers.autoscaling
all_are Available apiservices.apiregistration.k8s.io
done_with healthy

"""The shop on Kubernetes: manifests (docs/deployment.md) and the job that makes the broker's topology."""

"""The target that runs services as workloads of a Kubernetes cluster."""

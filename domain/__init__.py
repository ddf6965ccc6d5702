"""Facts, wishes and rules of pipelines and deployments: pure functions over frozen structs, nothing else."""

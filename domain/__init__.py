"""The domain: events, commands and rules of pipelines and deployments, as pure functions over frozen structs."""

"""Pipeline documents: a pipeline in YAML or JSON."""

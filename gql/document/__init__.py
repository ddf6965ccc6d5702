"""The pipeline as a YAML or JSON document."""

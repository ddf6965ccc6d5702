"""The target that runs services as containers of a Docker engine."""

"""The target that runs services as processes of this machine."""

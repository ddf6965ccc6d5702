"""The runner: engines that run deployments, and the targets that their steps run on."""

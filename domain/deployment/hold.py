"""Holding a deployment: nothing new starts until it is released."""

from msgspec import Struct


class DeploymentHeld(Struct, frozen=True, kw_only=True, gc=False):
    """No stage and no step starts from now on; running steps are finished."""


class DeploymentReleased(Struct, frozen=True, kw_only=True, gc=False):
    """The deployment goes on where it was held."""


HoldEvent = DeploymentHeld | DeploymentReleased


class HoldDeployment(Struct, frozen=True, kw_only=True, gc=False): ...


class ReleaseDeployment(Struct, frozen=True, kw_only=True, gc=False): ...


HoldCommand = HoldDeployment | ReleaseDeployment

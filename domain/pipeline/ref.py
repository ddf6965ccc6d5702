"""Ids of stages and services. A reference is an id or a name."""

from typing import NewType
from uuid import UUID

StageId = NewType("StageId", UUID)

StageRef = StageId | str


ServiceId = NewType("ServiceId", UUID)

ServiceRef = ServiceId | str

"""
Modules that a command loads when it first needs them, so that the others start without them.

Without any of them a command starts in 0.14 s of CPU time. httpx costs 0.08 s more, websockets 0.03 s, psutil and
importlib.metadata 0.01 s each, rich.cells 0.03 s, imports 0.02 s, and the server 0.75 s. To load one at once, import it
directly.

This is also the one door from the command line to other rooms. It leads to the server, which `cli.serve` starts, to
`store.audit` and `store.head`, with which `cli.verify` checks an export, to `domain.name`, which compares names, and to
`gql.document`, with which `cli.importer` writes a pipeline document as the server would. All but the first need no
database and no server.
"""

import gc
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib import metadata as metadata
    from types import ModuleType

    import httpx as httpx
    import psutil as psutil
    import websockets as websockets
    from rich import cells as cells
    from websockets.sync import client as client

    from cli import qovery as qovery
    from cli.compose import importing as importing
    from domain import errors as errors
    from domain import name as name
    from gql.document import format as format
    from gql.document import pipeline as pipeline
    from server import address as address
    from server import archive as archive
    from server import backup as backup
    from server import collector as collector
    from server import cors as cors
    from server import fsck as fsck
    from server import main as main
    from server import move as move
    from server import restored as restored
    from server import retention as retention
    from server import root_path as root_path
    from server import settings as settings
    from server import worker as worker
    from server.oidc import configuration as configuration
    from server.oidc import inspection as inspection
    from store import audit as audit
    from store import head as head
else:
    PATHS = {
        "metadata": "importlib.metadata",
        "cells": "rich.cells",
        "httpx": "httpx",
        "psutil": "psutil",
        "websockets": "websockets",
        "client": "websockets.sync.client",
        "importing": "cli.compose.importing",
        "qovery": "cli.qovery",
        "errors": "domain.errors",
        "name": "domain.name",
        "address": "server.address",
        "format": "gql.document.format",
        "pipeline": "gql.document.pipeline",
        "archive": "server.archive",
        "backup": "server.backup",
        "collector": "server.collector",
        "cors": "server.cors",
        "fsck": "server.fsck",
        "main": "server.main",
        "move": "server.move",
        "restored": "server.restored",
        "configuration": "server.oidc.configuration",
        "inspection": "server.oidc.inspection",
        "retention": "server.retention",
        "root_path": "server.root_path",
        "settings": "server.settings",
        "worker": "server.worker",
        "audit": "store.audit",
        "head": "store.head",
    }

    def __getattr__(name: str) -> "ModuleType":
        """Load the module with that name, once."""
        if name not in PATHS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        is_enabled = gc.isenabled()
        gc.disable()  # a sixth of the server's start: modules stay
        try:
            module = globals()[name] = import_module(PATHS[name])
        finally:
            if is_enabled:
                gc.enable()
        return module

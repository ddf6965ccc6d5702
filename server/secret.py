"""
The secrets in the variables of this process, which its steps must not see.

Steps get no such variable (see `runner.targets.process.executor`). But the system shows the variables that a process
was started with to its user, in /proc/PID/environ, whatever the process unsets later. So they are overwritten there.
"""

import ctypes
import os

SECRET_VARIABLES = ("DATABASE_URL", "STAGELINE_DATABASE", "STAGELINE_TOKEN", "PGPASSWORD", "PGSSLPASSWORD")


def hide() -> None:
    """Overwrite the secrets in the memory that the process was started with; `os.environ` still has them."""
    library = ctypes.CDLL(None)
    library.getenv.restype = ctypes.c_void_p
    for name in SECRET_VARIABLES:
        value = library.getenv(os.fsencode(name))
        if value:
            ctypes.memset(value, 0, len(ctypes.string_at(value)))

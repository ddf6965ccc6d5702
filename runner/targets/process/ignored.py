"""
Signals that this process ignores.

A process ignores what its parent ignored: HUP below nohup, INT and QUIT in the background of a script. A shell can't
trap such a signal, so a service would never get it as its stop signal.
"""

import signal
import threading
from types import FrameType

KEPT = {signal.SIGPIPE, signal.SIGXFSZ}
"""Signals that Python ignores by itself, and gives back to the processes that it starts."""


def restore() -> None:
    """Let new processes have the default of ignored signals. This process goes on to ignore them.

    Only the main thread can do it; in another one it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in signal.valid_signals() - KEPT:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _do_nothing)  # an own handler does not outlive exec


def _do_nothing(number: int, frame: FrameType | None) -> None: ...

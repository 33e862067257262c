"""The watchdog: a module that keeps the event loop to itself is named, interrupted, and at last moved away.

`warden.py` is the way in. Nothing is imported here: where it is off it costs no memory.
"""

"""Who signed a command, by the operators of a site file. What an AppManager asks before it begins anything."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

from appmanager.operators.deciding import decide
from appmanager.operators.genuine import genuine
from appmanager.operators.signed import Signable, Target
from appmanager.orders import Signature
from appmanager.provisioning.blocking import in_own_thread
from gridlink.proxies.site import Operator


async def operator_of(
    operators: Iterable[Operator], type: str, command: Signable, signature: Signature | None, target: Target
) -> str:
    """The name of the operator who signed a command to this machine; empty where the site lists none.

    Raises AccessDenied: not signed, by nobody who is listed, for another machine, expired, changed. Refused: PyNaCl is
    missing here. Cancelling it waits for the check.
    """
    listed = {one.nkey: one.name for one in operators}
    if not listed:
        return ""
    return await in_own_thread(partial(decide, listed, type, command, signature, target, time.time(), genuine))

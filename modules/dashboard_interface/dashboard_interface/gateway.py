"""The site as the endpoints see it, over the bus; the bus's errors become problem documents here alone."""

from typing import Any, Protocol

from dashboard_interface.api import GuardStatus, Measurements, MeasurementsQuery, ModuleEntry, TapRequest, TapState
from dashboard_interface.problem import ProblemError
from gridlink import GridlinkError, Refused

# By the code of a GridlinkError; any other code is a defect of the other side: 502.
_STATUS = {409: 409, 429: 503, 503: 503, 504: 504}


class Asking(Protocol):
    """What is used of a module's bus."""

    async def request(
        self,
        to: str,
        type: str,
        payload: Any = None,
        *,
        reply: Any = ...,
        timeout_s: float = ...,
    ) -> Any:
        """Asks one module of the role."""


class Reading(Protocol):
    """What is used of a module's registry."""

    def instances(self) -> list[Any]:
        """All entries."""


class Telling(Protocol):
    """What is used of a module's clock."""

    def now(self) -> float:
        """Site time in Unix seconds."""


class BusSite:
    """Asks the roles `storage`, `oltc` and `voltage_guard`, each request with `timeout_s` of real time."""

    def __init__(self, bus: Asking, registry: Reading, clock: Telling, timeout_s: float) -> None:
        self._bus, self._registry, self._clock = bus, registry, clock
        self._timeout_s = timeout_s

    def now(self) -> float:
        """Site time in Unix seconds."""
        return self._clock.now()

    def modules(self) -> list[ModuleEntry]:
        """The registry's entries, by instance."""
        return sorted(map(_entry, self._registry.instances()), key=lambda each: each.instance)

    async def measurements(self, query: MeasurementsQuery) -> Measurements:
        """Stored values; storage's refusal is ProblemError 404: the rest was checked before."""
        reply: Measurements = await self._ask("storage", "getMeasurements", query, Measurements, refusal=404)
        return reply

    async def tap(self) -> TapState:
        """Where the tap changer is."""
        reply: TapState = await self._ask("oltc", "getTapPosition", None, TapState)
        return reply

    async def problems(self) -> GuardStatus:
        """What is outside a limit."""
        reply: GuardStatus = await self._ask("voltage_guard", "status", None, GuardStatus)
        return reply

    async def set_tap(self, wanted: TapRequest) -> TapState:
        """Moves the tap changer; a lock-out or a position out of range is ProblemError 409, oltc's words."""
        reply: TapState = await self._ask("oltc", "setTapPosition", wanted, TapState)
        return reply

    async def _ask(self, role: str, type_: str, payload: Any, reply: Any, refusal: int = 409) -> Any:
        try:
            return await self._bus.request(role, type_, payload, reply=reply, timeout_s=self._timeout_s)
        except Refused as error:
            do = "read what was expected and ask for that"
            raise ProblemError(refusal, expected=f"what role {role} accepts", came=str(error), do=do) from error
        except GridlinkError as error:
            status = _STATUS.get(error.code, 502)
            retry = (("Retry-After", "5"),) if status == 503 else ()
            raise ProblemError(
                status,
                expected=f"an answer of role {role} to {type_}",
                came=f"{type(error).__name__}: {error}",
                do=f"see in /api/modules whether a module with role {role} runs; then read before you repeat",
                headers=retry,
            ) from error


def _entry(entry: Any) -> ModuleEntry:
    return ModuleEntry(
        instance=str(entry.instance),
        name=str(entry.name),
        node=str(entry.node),
        machine=str(entry.machine),
        mode=str(entry.mode),
        version=str(entry.version),
        state=str(entry.state),
        reason=str(entry.reason or ""),
        roles=sorted(map(str, entry.roles)),
        topics=sorted(map(str, entry.topics)),
    )

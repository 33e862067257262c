"""The OLTC controller: drives the tap changer step by step. The pure core decides.

What the grid says of its position holds; the kept one only fills in until the grid has answered. One drive
runs at a time, and it alone moves the grid.
"""

from __future__ import annotations

import asyncio

from msgspec import Struct

from gridlink import GridlinkError, Module, Refused, Topic, every, request
from oltc_controller import mechanism
from oltc_controller.api import GridTap, LockOut, TapChanged, TapPosition, TapState
from oltc_controller.keeping import KeptUnreadable, decode, encode, read_kept, write_kept
from oltc_controller.mechanism import Limits, Mechanism, MechanismRefused


class Config(Struct, frozen=True):
    """The mechanism: end positions, seconds of site time a step takes, operations an hour before it locks
    itself out.
    """

    min_position: int = -4
    max_position: int = 4
    step_time_s: float = 5.0
    max_operations_per_hour: int = 12

    def __post_init__(self) -> None:
        """Raises ValueError, naming the field, for a mechanism that can't be."""
        if not 0.0 <= self.step_time_s <= 600.0:
            raise ValueError(f"step_time_s: expected 0 to 600 s, came {self.step_time_s}; correct the configuration")
        self.limits()

    def limits(self) -> Limits:
        """What the mechanism may do."""
        return Limits(self.min_position, self.max_position, self.max_operations_per_hour)


class OltcController(Module[Config]):
    """Moves the on-load tap changer one step at a time, counts, and locks out what moves too often."""

    roles = ("oltc",)
    publishes = (Topic("tap_position", tapChanged=TapChanged),)

    async def start(self) -> None:
        """Take up the kept counter and lock-out, and the position the grid tells."""
        self._limits = self.config.limits()
        self._keeping, self._stepping = asyncio.Lock(), asyncio.Lock()
        self._driving = self._ending = False
        self._confirmed = False
        self._unanswered: int | None = None  # a step the grid did not answer: made or not
        self._state = self._kept()
        try:
            await self._confirm()
        except GridlinkError as error:
            self.log.warning("role grid does not tell its tap position, kept is %s: %s", self._state.position, error)

    async def stop(self) -> None:
        """Have a step that the grid is making finished, and counted; no other is begun."""
        self._ending = True
        async with self._stepping:
            pass

    async def busy(self) -> str | None:
        """A drive to a target: whoever ends the module now leaves the tap changer on the way there."""
        return f"the tap changer moves from {self._state.position} to {self._state.target}" if self._driving else None

    async def configure(self, old: Config, new: Config) -> None:
        """Take other limits; they hold from the next command on."""
        self._limits = new.limits()

    @request("setTapPosition")
    async def set_tap_position(self, wanted: TapPosition) -> TapState:
        """Aim for a position; answered at once, the steps follow and are published."""
        if not self._confirmed:
            await self._confirm_or_refuse()
        try:
            self._state = mechanism.command(self._state, self._limits, wanted.position)
        except MechanismRefused as error:
            raise Refused(str(error)) from error
        if not self._driving and mechanism.next_position(self._state) is not None:
            self._driving = True
            self.tasks.spawn(self._drive(), name="drive")
        return self._told()

    @request("getTapPosition")
    async def get_tap_position(self) -> TapState:
        """Where the mechanism stands."""
        return self._told()

    @request("lockOut")
    async def lock_out(self, command: LockOut) -> TapState:
        """Forbid movement until released; a step under way is finished."""
        self._state = mechanism.lock_out(self._state, command.reason)
        self.log.warning("locked out: %s", self._state.lock_out_reason)
        await self._keep()
        return self._told()

    @request("release")
    async def release(self) -> TapState:
        """Allow movement again."""
        self._state = mechanism.release(self._state)
        await self._keep()
        return self._told()

    @every(seconds=300)
    async def reconcile(self) -> None:
        """Ask the grid where it stands: somebody may have turned the crank, or it came back with another
        position.
        """
        if self._driving:
            return
        try:
            await self._confirm()
        except GridlinkError as error:
            self.log.debug("role grid does not answer: %s", error)

    async def _drive(self) -> None:
        """Make the steps to the target, one after the other; a command meanwhile changes the target."""
        try:
            while (position := mechanism.next_position(self._state)) is not None:
                await self.clock.sleep(self.config.step_time_s)
                async with self._stepping:
                    if self._ending:
                        return
                    await self._step(position)
        finally:
            self._driving = False

    async def _step(self, position: int) -> None:
        try:
            grid = await self.bus.request("grid", "setTapPosition", TapPosition(position), reply=GridTap)
        except GridlinkError as error:
            self.log.error("the step to %s failed, the drive stops: %s", position, error)  # noqa: TRY400
            self._state = mechanism.stopped_at(self._state, self._state.position)
            self._confirmed, self._unanswered = False, position
            return
        await self._made(grid.tapPosition)

    async def _made(self, position: int) -> None:
        """Count a step and tell it; the lock-out it may have caused is reported."""
        before = self._state
        self._state = mechanism.stepped(before, self._limits, position, self.clock.now())
        if self._state.lock_out_reason is not None and before.lock_out_reason is None:
            self.log.error("locked out: %s", self._state.lock_out_reason)
        await self._keep()
        await self._tell(before.position)

    async def _confirm(self) -> None:
        """Take the grid's position for ours. Raises GridlinkError when the grid does not tell it."""
        before = self._state
        grid = await self.bus.request("grid", "getState", reply=GridTap)
        if self._driving or self._state is not before:
            return  # something moved meanwhile: the answer may be from before
        previous, unanswered = before.position, self._unanswered
        self._confirmed, self._unanswered = True, None
        if grid.tapPosition == previous:
            return
        if grid.tapPosition == unanswered:
            await self._made(grid.tapPosition)
            return
        self.log.info("the grid stands at %s, not at %s", grid.tapPosition, previous)
        self._state = mechanism.stopped_at(self._state, grid.tapPosition)
        await self._keep()
        await self._tell(previous)

    async def _confirm_or_refuse(self) -> None:
        try:
            await self._confirm()
        except GridlinkError as error:
            raise Refused(
                f"expected role grid to tell its tap position, came {error}; start the data generator, then try again"
            ) from error

    async def _tell(self, previous: int) -> None:
        changed = TapChanged(self._state.position, previous, self._state.operations, self.clock.now())
        try:
            await self.bus.publish("tap_position", "tapChanged", changed)
        except GridlinkError as error:
            self.log.warning("tap position %s can't be published: %s", changed.position, error)

    def _told(self) -> TapState:
        state = self._state
        return TapState(
            position=state.position,
            target=state.target,
            min=self._limits.min_position,
            max=self._limits.max_position,
            moving=self._driving,
            operations=state.operations,
            lockedOut=state.lock_out_reason is not None,
            lockOutReason=state.lock_out_reason,
        )

    def _kept(self) -> Mechanism:
        try:
            text = read_kept(self.data_dir / "mechanism.json")
            return mechanism.at_rest(0) if text is None else decode(text)
        except (KeptUnreadable, OSError) as error:
            self.log.error("counter and lock-out begin anew, what was kept can't be used: %s", error)  # noqa: TRY400
            return mechanism.at_rest(0)

    async def _keep(self) -> None:
        """Write the state. A disk that fails is reported; the mechanism goes on."""
        async with self._keeping:
            try:
                await asyncio.to_thread(write_kept, self.data_dir / "mechanism.json", encode(self._state))
            except OSError as error:
                self.log.error("the mechanism's state can't be kept: %s", error)  # noqa: TRY400

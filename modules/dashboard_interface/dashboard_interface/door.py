"""From a whole request to its answer: checks, route, endpoint, in this order. Every refusal is a problem."""

import logging
from asyncio import timeout
from collections.abc import Collection, Sequence

from dashboard_interface import guard
from dashboard_interface.endpoints import ROUTES, Endpoints
from dashboard_interface.problem import ProblemError
from dashboard_interface.request import Request, split_target
from dashboard_interface.response import Answer, of_problem
from dashboard_interface.route import Match, Route, decode, find


class Door:
    """Answers requests; never raises but when cancelled. An endpoint has `answer_timeout_s` (real)."""

    def __init__(
        self,
        endpoints: Endpoints,
        log: logging.Logger | logging.LoggerAdapter[logging.Logger],
        *,
        allowed_hosts: Collection[str] = (),
        answer_timeout_s: float = 10.0,
        routes: Sequence[Route] = ROUTES,
    ) -> None:
        self._endpoints = endpoints
        self._log = log
        self._allowed_hosts = frozenset(allowed_hosts)
        self._answer_timeout_s = answer_timeout_s
        self._routes = routes

    async def answer(self, request: Request) -> Answer:
        """The answer to a request, or the problem document of its refusal."""
        try:
            async with timeout(self._answer_timeout_s):
                return await self._answer(request)
        except ProblemError as error:
            return of_problem(error)
        except TimeoutError:
            return of_problem(self._late())
        except Exception:  # noqa: BLE001 - a defect of one endpoint must not end the connection without an answer
            self._log.exception("%s %s failed", request.method, request.target[:200])
            return of_problem(_defect())

    async def _answer(self, request: Request) -> Answer:
        target = split_target(request.target)
        guard.check_host(request, target.authority, self._allowed_hosts)
        match: Match = find(self._routes, request.method, target.segments)
        if match.route.guarded:
            guard.check_site(request)
        if match.route.body is not None:
            guard.check_json(request)
        return await match.route.handler(self._endpoints, decode(match, request, target.query))

    def _late(self) -> ProblemError:
        return ProblemError(
            504,
            expected=f"an answer within {self._answer_timeout_s} s",
            came="none",
            do="try again; what was asked for may still be done",
        )


def _defect() -> ProblemError:
    return ProblemError(500, expected="an answer", came="a defect of this module", do="see the module's log, report it")

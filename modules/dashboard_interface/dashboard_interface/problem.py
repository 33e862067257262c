"""Errors of the door as RFC 9457 problem details: a ProblemError always says expected, came and do."""

from http import HTTPStatus

from dashboard_interface.api import ProblemDetails


class ProblemError(Exception):
    """What a request is refused with; `headers` go into the response beside the problem document."""

    def __init__(
        self, status: int, *, expected: str, came: str, do: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(f"{status}: expected {expected}; came {came}; {do}")
        self.status = status
        self.expected = expected
        self.came = came
        self.do = do
        self.headers = headers

    def details(self) -> ProblemDetails:
        """The document; `type` is about:blank since the status code says all that a program needs."""
        return ProblemDetails(
            type="about:blank",
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=f"Expected {self.expected}; came {self.came}.",
            expected=self.expected,
            came=self.came,
            do=self.do,
        )


def shown(text: str, limit: int = 80) -> str:
    """Foreign text as it may stand in an error: quoted, printable, at most `limit` characters of it."""
    return ascii(text if len(text) <= limit else text[:limit] + "...")

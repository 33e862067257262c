"""Findings in sentences: a misfit says what doesn't fit, here it is said what was changed, and whom it hits. Pure."""

from __future__ import annotations

from gridlink.compatibility.finding import Concerns
from gridlink.compatibility.misfit import Kind, Misfit

_GET = {Concerns.READERS: "readers", Concerns.SUBSCRIBERS: "subscribers"}


def broken(misfit: Misfit, concerns: Concerns) -> str:
    """Why a misfit breaks those it concerns."""
    if misfit.kind is Kind.UNJUDGED:
        return f"{misfit.sent} can't be followed: taken as a break, leave it as it was or compare by hand"
    return _for_callers(misfit) if concerns is Concerns.CALLERS else _for_readers(misfit, _GET[concerns])


def _for_callers(misfit: Misfit) -> str:
    where = _value(misfit.path)
    match misfit.kind:
        case Kind.MISSING if misfit.declared:
            return f"the field {misfit.field!r} became required: callers that leave it out are refused"
        case Kind.MISSING:
            return f"the required field {misfit.field!r} was added: callers that don't send it are refused"
        case Kind.UNKNOWN:
            return f"the field {misfit.field!r} is no longer known: callers that send it are refused"
        case Kind.VALUE:
            return f"{where} no longer takes {misfit.sent}, only {misfit.read}: callers that send it are refused"
        case Kind.BOUND:
            return f"{where} was narrowed from {misfit.sent} to {misfit.read}: callers that send more are refused"
    return f"{where} took {misfit.sent}, now takes {misfit.read}: callers that send the former are refused"


def _for_readers(misfit: Misfit, readers: str) -> str:
    where = _value(misfit.path)
    match misfit.kind:
        case Kind.MISSING if misfit.declared:
            return f"the field {misfit.field!r} may be left out now: {readers} that need it refuse the message"
        case Kind.MISSING:
            return f"the field {misfit.field!r} was removed: {readers} that need it refuse the message"
        case Kind.UNKNOWN:
            return f"the field {misfit.field!r} was added, and the old schema refuses fields it doesn't name"
        case Kind.VALUE:
            return f"{where} may now be {misfit.sent}, which {readers} don't know: they expect {misfit.read}"
        case Kind.BOUND:
            return f"{where} was widened from {misfit.read} to {misfit.sent}: {readers} refuse what is beyond"
    return f"{where} may now be {misfit.sent}, {readers} expect {misfit.read}"


def _value(path: str) -> str:
    return repr(path.removeprefix("$.")) if path.startswith("$.") else "the payload" if path == "$" else repr(path)

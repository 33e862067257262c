"""The OpenAPI 3.1 document, made from the route table and its types, so that it says what the door does."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from dashboard_interface.api import ProblemDetails
from dashboard_interface.response import PROBLEM
from dashboard_interface.route import Route

_REF = "#/components/schemas/{name}"


def document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The document for these routes, as plain JSON types."""
    types = _types(routes)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = {id(type_): schema for type_, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of, components)
    for type_ in [route.parameters for route in routes if route.parameters]:
        components.pop(type_.__name__, None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Gridlink dashboard interface",
            "version": version,
            "description": "The HTTP door of a substation, on loopback. Times are Unix seconds of site time.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {"Problem": _reply("What went wrong (RFC 9457)", PROBLEM, schema_of[id(ProblemDetails)])},
        },
    }


def _types(routes: Sequence[Route]) -> list[Any]:
    found: list[Any] = [ProblemDetails]
    for route in routes:
        events = [type_ for _, type_ in route.events]
        found += [each for each in (route.reply, route.parameters, route.body, *events) if each is not None]
    return list({id(each): each for each in found}.values())


def _operation(route: Route, schema_of: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    schema = schema_of[id(route.reply)] if route.reply is not None else {"type": "string"}
    responses: dict[str, Any] = {"200": _reply(route.summary, route.content_type, schema)}
    for status in route.errors:
        responses[str(status)] = {
            "$ref": "#/components/responses/Problem",
            "description": HTTPStatus(status).phrase,
        }
    responses["default"] = {"$ref": "#/components/responses/Problem"}
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.summary,
        "responses": responses,
    }
    if route.parameters is not None:
        operation["parameters"] = _parameters(route, route.parameters, components[route.parameters.__name__])
    if route.body is not None:
        body = {"application/json": {"schema": schema_of[id(route.body)]}}
        operation["requestBody"] = {"required": True, "content": body}
    if route.events:
        operation["x-server-sent-events"] = {name: schema_of[id(type_)] for name, type_ in route.events}
        operation["parameters"] = [
            {"name": "Last-Event-ID", "in": "header", "required": False, "schema": {"type": "string"}}
        ]
    return operation


def _parameters(route: Route, type_: type[msgspec.Struct], schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "path" if f"{{{name}}}" in route.path else "query",
            "required": name in required,
            "schema": schema["properties"][name],
        }
        for name in type_.__struct_fields__
    ]


def _reply(description: str, content_type: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {content_type.partition(";")[0]: {"schema": schema}}}

"""The facts of a protocol file as plain values, so that two of them can be compared across processes."""

from typing import Any


def facts(*files: Any) -> dict[str, Any]:
    """Messages with their fields, enums with their numbers, services with their methods, by full name."""
    found: dict[str, Any] = {}
    for file in files:
        for message in file.message_types_by_name.values():
            _message(message, found)
        for enum in file.enum_types_by_name.values():
            found[enum.full_name] = {value.name: value.number for value in enum.values}
        for service in file.services_by_name.values():
            found[service.full_name] = {method.name: _method(method) for method in service.methods}
    return found


def _message(message: Any, found: dict[str, Any]) -> None:
    found[message.full_name] = {field.name: _field(field) for field in message.fields}
    for nested in message.nested_types:
        _message(nested, found)
    for enum in message.enum_types:
        found[enum.full_name] = {value.name: value.number for value in enum.values}


def _field(field: Any) -> tuple[Any, ...]:
    inner = field.message_type or field.enum_type
    oneof = field.containing_oneof.name if field.containing_oneof else ""
    return field.number, field.type, field.is_repeated, inner.full_name if inner else "", oneof


def _method(method: Any) -> tuple[Any, ...]:
    return (
        method.input_type.full_name,
        method.output_type.full_name,
        method.client_streaming,
        method.server_streaming,
    )

"""Runs a function of triton_calls by name, so that the caller never imports tritonclient itself."""

from typing import Any


def run(function: str, *args: Any, **kwargs: Any) -> Any:
    from tests.service import triton_calls

    return getattr(triton_calls, function)(*args, **kwargs)

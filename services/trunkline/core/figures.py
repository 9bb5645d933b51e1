"""Numbers as people read them."""


def number(value: float) -> str:
    """Four digits that count, all of them before the point; an exponent only far from 1."""
    return f"{value:.1f}" if 1e3 <= abs(value) < 1e9 else f"{value:.4g}"


def measure(value: float, unit: str) -> str:
    """A value with its unit, such as "12.5 mm" or "12.5°"."""
    return f"{number(value)}{'' if unit in ('', '°') else ' '}{unit}"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"

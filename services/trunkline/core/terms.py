"""What a head may be used for."""

from typing import Literal, TypeAlias, get_args

# As the terms of its weights, and of what they were trained on, allow; the freest first.
Terms: TypeAlias = Literal["any", "non-commercial", "research"]
TERMS: tuple[Terms, ...] = get_args(Terms)
UNKNOWN = "unknown"  # where nobody has said it, as in manifests from before terms were stated
COMMERCIAL = "commercial"  # a use that needs `any`
# Licences by which data or weights may be used for anything, if only under conditions such as naming the authors.
_FREE = (
    *("mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "isc", "unlicense", "cc0", "cc0-1.0", "public domain"),
    *(f"cc-by{share}-{version}" for share in ("", "-sa") for version in ("2.0", "2.5", "3.0", "4.0")),
)
_NO_COMMERCE = "cc-by-nc"


def terms_of(text: str | None) -> Terms | None:
    """A text from outside as terms; None for what is none of them, such as those of a newer version."""
    return text if text in TERMS else None


def terms_of_licence(licence: str) -> Terms | None:
    """What a licence allows that is named as SPDX does, or as "CC BY 4.0"; None for any other text."""
    name = licence.strip().lower().replace("cc ", "cc-").replace(" ", "-")
    if name in _FREE or name.replace("-", " ") in _FREE:
        return "any"
    return "non-commercial" if name.startswith(_NO_COMMERCE) else None


def terms_text(terms: Terms | None) -> str:
    """For people and messages: unknown is said, and is not `any`."""
    return terms or UNKNOWN


def bar_text(terms: Terms | None) -> str:
    """Why a head of these terms is not served where the use is commercial, in a few words."""
    return f"its terms are {terms_text(terms)!r}: not for commercial use"


def allows_commerce(terms: Terms | None) -> bool:
    """Whether a head may be used commercially; not where nobody knows."""
    return terms == "any"

"""Everything that can go wrong and be said to a caller.

TrunklineError
├── InvalidRequestError       the request itself is wrong
│   ├── InvalidImageError     bytes that are no picture we read
│   └── ImageTooLargeError    over the limit on bytes or pixels
├── DataInvalidError          a data set that nothing can be trained on
├── DataForbiddenError        data that may not be read
├── NotFoundError             no such head, version or job
├── WrongTaskError            the head does something else
├── BackboneMismatchError     the head was trained on another backbone than those that are served
├── SpaceMismatchError        vectors of different embedding spaces
├── ModelInvalidError         a bundle on disk is broken or fails its golden check
├── TermsError                a head that may not be used as this service is
├── AlreadyExistsError        something else has this name
├── GalleryStateError         a gallery cannot do that as it is now
├── JobStateError             a job cannot do that as it is now
├── GateFailedError           a version is not good enough to become the default
├── StorageError              the model folder cannot be written
├── ConfigurationError        settings with which nothing can start
├── UnauthenticatedError      nobody knows who asks
├── PermissionDeniedError     who asks may not do that
├── UnsupportedError          a call of a protocol that has no meaning here
├── QueueFullError            too much work is waiting
│   ├── MemoryFullError       requests hold as much memory as they may
│   └── QuotaError            as much is kept as may be
├── ServiceUnavailableError   a service that is needed does not answer
│   └── FeaturesGoneError     features in shared memory that cannot be read, or no longer
└── DeadlineError             the deadline of the request has passed

The core knows no transport: serving maps these to gRPC codes in one table.
"""

from collections.abc import Mapping
from typing import ClassVar, Self

from trunkline.core.text import shown_path

_MOST_DIGESTS = 3  # in one error


class TrunklineError(Exception):
    """An error whose text is meant for the caller.

    `reason` is a stable constant for programs; `metadata` holds the values that the text speaks of.
    """

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: Mapping[str, str] = {key: str(value) for key, value in metadata.items()}


class InvalidRequestError(TrunklineError):
    """A parameter is wrong, or a list or a text exceeds its limit."""

    reason = "INVALID_REQUEST"


class InvalidImageError(InvalidRequestError):
    """The bytes are not an image, or the image is damaged or cut off."""

    reason = "INVALID_IMAGE"


class ImageTooLargeError(InvalidRequestError):
    """The image exceeds the limit on bytes or pixels, which the message names."""

    reason = "IMAGE_TOO_LARGE"


class DataInvalidError(TrunklineError):
    """Nothing can be trained on the data set; the message names file and line."""

    reason = "DATA_INVALID"

    @classmethod
    def at(cls, file: object, reason: str, line: int | None = None) -> Self:
        """The error for `reason` in a file or folder of the data set, on the line counted from 1."""
        name = shown_path(file)
        if line is None:
            return cls(f"{name}: {reason}", file=name)
        return cls(f"{name}, line {line}: {reason}", file=name, line=line)


class DataForbiddenError(TrunklineError):
    """The service may not read this data for this caller; it reads only below its data roots."""

    reason = "DATA_FORBIDDEN"


class NotFoundError(TrunklineError):
    """No head, version, gallery, job or backbone has this name."""

    reason = "NOT_FOUND"


class WrongTaskError(TrunklineError):
    """The head does another task; the message names the call for it."""

    reason = "WRONG_TASK"


class BackboneMismatchError(TrunklineError):
    """The head was trained on another backbone; serve that one, or train the head again."""

    reason = "BACKBONE_MISMATCH"

    @classmethod
    def between(cls, head: str, backbone: str, head_digest: str, served_digest: str) -> Self:
        """The error for a head trained on `backbone` (name/version) when another one is served."""
        return cls(
            f"head {head!r} was trained on backbone {backbone} with digest {head_digest}; the backbone that is "
            f"served has {served_digest}: serve that backbone, or train the head again on this one",
            head_backbone_digest=head_digest,
            served_backbone_digest=served_digest,
        )

    @classmethod
    def unserved(cls, head: str, backbone: str, digest: str, served: Mapping[str, str]) -> Self:
        """The error for a head whose backbone (name/version) nobody serves. served: digests by name/version."""
        known = ", ".join(f"{name} (digest {other})" for name, other in list(served.items())[:_MOST_DIGESTS])
        who = f"head {head!r}" if head else "a head"
        which = f"backbone {backbone}" if backbone else "a backbone"
        return cls(
            f"{who} needs {which} with digest {digest}, which is not served: copy it into the model "
            "repository, name it in TRUNKLINE_BACKBONES where that is set, or train the head again on one that is "
            f"served: {known or 'none is'}",
            head=head,
            backbone=backbone,
            head_backbone_digest=digest,
            served_backbone_digest=",".join(list(served.values())[:_MOST_DIGESTS]),
        )


class SpaceMismatchError(TrunklineError):
    """The vectors are of different embedding spaces; embed both images by one version of a head."""

    reason = "SPACE_MISMATCH"

    @classmethod
    def between(cls, first: str, second: str) -> Self:
        """The error for vectors of two spaces that were to be compared."""
        return cls(
            f"the vectors are of different embedding spaces, {first!r} and {second!r}: embed both pictures by the "
            "same version of a head",
            first_space=first,
            second_space=second,
        )


class ModelInvalidError(TrunklineError):
    """A bundle is damaged, or does not reproduce its golden outputs."""

    reason = "MODEL_INVALID"


class TermsError(TrunklineError):
    """The head may not be used commercially, and this service is for commercial use (TRUNKLINE_TERMS)."""

    reason = "TERMS"

    @classmethod
    def barred(cls, head: str, terms: str) -> Self:
        """The error for a head of these terms ("unknown" where none are stated) in a service for commercial use."""
        return cls(
            f"head {head!r} is not served: its terms are {terms!r}, and this service is for commercial use "
            "(TRUNKLINE_TERMS), which needs 'any'",
            head=head,
            terms=terms,
        )


class GateFailedError(TrunklineError):
    """The version is worse than the default, or was not measured on the same samples."""

    reason = "GATE_FAILED"


class StorageError(TrunklineError):
    """The model folder cannot be written, or the object store cannot be used."""

    reason = "STORAGE"


class ConfigurationError(TrunklineError):
    """Nothing can start with these settings."""

    reason = "CONFIGURATION"


class UnauthenticatedError(TrunklineError):
    """No key, token or certificate came with the call, or none that is valid."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(TrunklineError):
    """The caller has none of the roles that the method needs, or no scope for what it names."""

    reason = "PERMISSION_DENIED"


class UnsupportedError(TrunklineError):
    """A call of a protocol that has no meaning here, such as unloading a model."""

    reason = "UNSUPPORTED"


class QueueFullError(TrunklineError):
    """Too much is waiting, or the work cannot be done within the deadline.

    `retry_after_s` is when a new try makes sense, in seconds.
    """

    reason = "QUEUE_FULL"

    def __init__(self, message: str, *, retry_after_s: float, **metadata: object) -> None:
        super().__init__(message, **metadata)
        self.retry_after_s = retry_after_s


class MemoryFullError(QueueFullError):
    """Requests hold as much memory as they may, or too many large ones come at once."""

    reason = "MEMORY"


class QuotaError(QueueFullError):
    """What the caller, or the service, may take is used up: calls, pixels, galleries, images, disk space or jobs.

    `retry_after_s` is long where somebody has to delete something first, or raise the limit that is named.
    """

    reason = "QUOTA"

    def __init__(self, message: str, *, retry_after_s: float = 60.0, **metadata: object) -> None:
        super().__init__(message, retry_after_s=retry_after_s, **metadata)


class ServiceUnavailableError(TrunklineError):
    """A service is down, starts or stops, or ended while it worked on a large image."""

    reason = "UNAVAILABLE"


class FeaturesGoneError(ServiceUnavailableError):
    """Features in shared memory were gone before a head had read them; ask again."""

    reason = "FEATURES_GONE"


class DeadlineError(TrunklineError):
    """The deadline of the call, the image or the head has passed."""

    reason = "DEADLINE_EXCEEDED"


class AlreadyExistsError(TrunklineError):
    """Something else has this name, such as a gallery with other settings."""

    reason = "ALREADY_EXISTS"


class GalleryStateError(TrunklineError):
    """The gallery cannot do that as it is now, such as re-embedding without kept images."""

    reason = "GALLERY_STATE"


class JobStateError(TrunklineError):
    """The job cannot do that as it is now, such as being deleted before it has ended."""

    reason = "JOB_STATE"

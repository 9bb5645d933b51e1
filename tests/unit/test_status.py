"""The table of errors: each class has its code, and comes back as the class it was."""

import pytest

from trunkline.core import errors
from trunkline.serving.status import code_of, error_info, retry_delay_s, to_head_error, to_status

TABLE = [
    (errors.InvalidImageError("x"), "INVALID_ARGUMENT", "INVALID_IMAGE"),
    (errors.ImageTooLargeError("x", limit_bytes=5), "INVALID_ARGUMENT", "IMAGE_TOO_LARGE"),
    (errors.InvalidRequestError("x"), "INVALID_ARGUMENT", "INVALID_REQUEST"),
    (errors.DataInvalidError.at("labels.csv", "x", 3), "INVALID_ARGUMENT", "DATA_INVALID"),
    (errors.DataForbiddenError("x"), "PERMISSION_DENIED", "DATA_FORBIDDEN"),
    (errors.UnauthenticatedError("x"), "UNAUTHENTICATED", "UNAUTHENTICATED"),
    (errors.PermissionDeniedError("x"), "PERMISSION_DENIED", "PERMISSION_DENIED"),
    (errors.WrongTaskError("x"), "INVALID_ARGUMENT", "WRONG_TASK"),
    (errors.NotFoundError("x"), "NOT_FOUND", "NOT_FOUND"),
    (errors.BackboneMismatchError("x"), "FAILED_PRECONDITION", "BACKBONE_MISMATCH"),
    (errors.SpaceMismatchError.between("a", "b"), "FAILED_PRECONDITION", "SPACE_MISMATCH"),
    (errors.ModelInvalidError("x"), "FAILED_PRECONDITION", "MODEL_INVALID"),
    (errors.TermsError.barred("x", "research"), "FAILED_PRECONDITION", "TERMS"),
    (errors.AlreadyExistsError("x"), "ALREADY_EXISTS", "ALREADY_EXISTS"),
    (errors.GalleryStateError("x"), "FAILED_PRECONDITION", "GALLERY_STATE"),
    (errors.JobStateError("x"), "FAILED_PRECONDITION", "JOB_STATE"),
    (errors.GateFailedError("x"), "FAILED_PRECONDITION", "GATE_FAILED"),
    (errors.StorageError("x"), "FAILED_PRECONDITION", "STORAGE"),
    (errors.UnsupportedError("x"), "UNIMPLEMENTED", "UNSUPPORTED"),
    (errors.QueueFullError("x", retry_after_s=1.5), "RESOURCE_EXHAUSTED", "QUEUE_FULL"),
    (errors.MemoryFullError("x", retry_after_s=0.5), "RESOURCE_EXHAUSTED", "MEMORY"),
    (errors.QuotaError("x", limit=3), "RESOURCE_EXHAUSTED", "QUOTA"),
    (errors.ServiceUnavailableError("x"), "UNAVAILABLE", "UNAVAILABLE"),
    (errors.FeaturesGoneError("x"), "UNAVAILABLE", "FEATURES_GONE"),
    (errors.DeadlineError("x"), "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"),
]


@pytest.mark.parametrize(("error", "code", "reason"), TABLE, ids=lambda value: str(value)[:20])
def test_each_error_has_its_code_and_reason(error, code, reason):
    status = to_status(error)
    info = error_info(status)
    assert code_of(error).name == code
    assert status.code == code_of(error).value[0]
    assert info is not None
    assert (info.reason, info.domain) == (reason, "trunkline")
    assert dict(info.metadata) == dict(error.metadata)
    assert to_head_error(error).reason == reason


@pytest.mark.parametrize("error", [RuntimeError("secret"), errors.ConfigurationError("secret"), KeyError("secret")])
def test_what_is_not_meant_for_callers_stays_here(error):
    status = to_status(error)
    assert status.message == "internal error"
    assert b"secret" not in status.SerializeToString()


def test_a_full_queue_says_when_to_try_again():
    error = errors.QueueFullError("x", retry_after_s=1.5)
    assert retry_delay_s(to_status(error)) == 1.5
    assert to_head_error(error).retry_after.ToMilliseconds() == 1500


def test_a_name_that_is_no_text_does_no_harm():
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    status = to_status(errors.DataInvalidError.at(name, "x"))
    assert status.message == "caf\\udce9.jpg: x"
    assert dict(error_info(status).metadata) == {"file": "caf\\udce9.jpg"}


def test_every_error_class_is_in_the_table():
    def leaves(cls: type) -> set[type]:
        return {cls}.union(*(leaves(sub) for sub in cls.__subclasses__()))

    not_for_calls = {errors.TrunklineError, errors.ConfigurationError}
    covered = {type(error) for error, *_ in TABLE}
    ours = {cls for cls in leaves(errors.TrunklineError) if cls.__module__ == errors.__name__}
    assert ours - not_for_calls == covered

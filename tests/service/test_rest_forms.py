"""Pictures as files of multipart/form-data, as curl -F and forms of browsers send them."""

import http.client
import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import free_port, start_server
from trunkline.core.errors import InvalidRequestError
from trunkline.gateway.rest.forms import Part, parts_of

ORIGIN = "https://pages.example"


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """A function that posts a body over HTTP: status and JSON of the answer."""
    address = f"127.0.0.1:{free_port()}"
    log = tmp_path_factory.mktemp("forms") / "log"
    more = {
        "TRUNKLINE_HEADS": "imagenet,pets",
        "TRUNKLINE_HTTP_ORIGINS": ORIGIN,
        "TRUNKLINE_MAX_IMAGE_BYTES": "300000",
    }
    with start_server(log, "--http", address, **more):

        def talk(path, body, kind="multipart/form-data; boundary=XX", **headers):
            connection = http.client.HTTPConnection(address, timeout=60)
            try:
                connection.request("POST", path, body, {"Content-Type": kind, **headers})
                answer = connection.getresponse()
                return answer.status, json.loads(answer.read())
            finally:
                connection.close()

        yield talk


def form(*parts: tuple[str, bytes, str | None]) -> bytes:
    """Name, data and the name of the file, or None."""
    written = b""
    for name, data, file in parts:
        more = f'; filename="{file}"\r\nContent-Type: image/jpeg' if file is not None else ""
        written += f'--XX\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"
    return written + b"--XX--\r\n"


def test_a_picture_as_a_file_with_parameters_as_texts(ask, photos):
    picture = photos[-1].read_bytes()
    for name in ("image", "file", "upload[0]"):
        status, found = ask("/v1/images:classify", form((name, picture, "a b.jpg"), ("top_k", b"2", None)))
        assert status == 200, found
        assert len(found["outcome"]["classification"]["labels"]) == 2
    status, same = ask("/v1/images:classify?top_k=2", picture, "image/jpeg")
    assert same["outcome"]["classification"] == found["outcome"]["classification"]


def test_heads_as_texts_and_two_pictures(ask, photos):
    picture = photos[0].read_bytes()
    heads = [("heads", b"imagenet", None), ("heads", b"pets,nope", None)]
    status, found = ask("/v1/images:analyze", form(*heads, ("image", picture, "a.jpg")))
    assert status == 200
    assert [outcome["head"] for outcome in found["outcomes"]] == ["imagenet", "pets", "nope"]
    status, found = ask("/v1/images:compare", form(("first_image", picture, "a"), ("second_image", picture, "b")))
    assert status == 200, found
    assert found["comparison"]["distance"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not multipart"),
        (b"--XX", "not multipart"),
        (b"--XX\r\nContent-Disposition: form-data; name=image\r\n\r\nabc", "not multipart"),
        (b"--YY\r\n\r\n--YY--", "not multipart"),
        (form(("image", b"x", "a"), ("image", b"y", "b")), "twice"),
        (form(("", b"x", None)), "no name"),
        (form(*[("a", b"", None)] * 101), "more than 100 parts"),
        (form(("nope", b"3", None), ("image", b"x", "a")), "does not fit"),
    ],
)
def test_what_is_no_form_is_refused(ask, body, said):
    status, found = ask("/v1/images:classify", body)
    assert (status, said in found["message"]) == (400, True), found


def test_one_that_is_no_picture_or_too_large_is_refused_as_anywhere(ask):
    status, found = ask("/v1/images:classify", form(("image", b"no picture", "a.jpg")))
    assert (status, found["details"][0]["reason"]) == (400, "INVALID_IMAGE")
    status, found = ask("/v1/images:classify", form(("image", b"\xff" * 400_000, "a.jpg")))
    assert (status, found["details"][0]["reason"]) == (400, "IMAGE_TOO_LARGE")
    status, found = ask("/v1/images:classify", form(("image", b"\xff" * 2_000_000, "a.jpg")))
    assert status == 413


def test_pages_of_other_sites_send_none(ask, photos):
    body = form(("image", photos[0].read_bytes(), "a.jpg"))
    assert ask("/v1/images:classify", body, Origin=ORIGIN)[0] == 200
    for other in ("https://else.example", "null"):
        status, found = ask("/v1/images:classify", body, Origin=other)
        assert (status, "TRUNKLINE_HTTP_ORIGINS" in found["message"]) == (403, True)


def test_routes_without_pictures_take_no_form(ask):
    status, found = ask("/v1/galleries", form(("gallery", b"{}", None)))
    assert (status, found["message"]) == (415, "send Content-Type application/json, not 'multipart/form-data'")


@pytest.mark.parametrize("boundary", ["XX", '"XX"', "XX; charset=utf-8"])
def test_data_is_kept_byte_by_byte(boundary):
    data = b"\r\n--X\r\n\r\n--\x00\xff\r\n"
    found = parts_of(
        b"preamble\r\n" + form(("a", data, "f"), ("b", b"", None)), f"multipart/form-data; boundary={boundary}"
    )
    assert found == [Part("a", True, data), Part("b", False, b"")]


def test_a_form_without_a_boundary_is_none():
    with pytest.raises(InvalidRequestError, match="no boundary"):
        parts_of(b"", "multipart/form-data")


_PIECES = st.sampled_from(
    [
        b"--XX",
        b"--",
        b"\r\n",
        b"\r\n\r\n",
        b'Content-Disposition: form-data; name="a"',
        b"; filename=x",
        b"\x00\xff",
        b"=",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=30).map(b"".join), st.text(max_size=30))
def test_whatever_is_sent_is_a_form_or_refused(body, more):
    with suppress(InvalidRequestError):
        for part in parts_of(body, f"multipart/form-data; boundary=XX{more}"):
            assert part.name
    with suppress(InvalidRequestError):
        parts_of(b"--XX" + body, "multipart/form-data; boundary=XX")

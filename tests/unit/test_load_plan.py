"""What a load test sends, and when: mixes, pictures, arrivals, parts of processes."""

import io
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.client.connection import options_for
from trunkline.core.errors import ConfigurationError
from trunkline.loadtest.caller import Requests
from trunkline.loadtest.mix import Call, parse_mix, turns
from trunkline.loadtest.pictures import endless, made_pictures, marked, read_pictures
from trunkline.loadtest.plan import Closed, Open, Part, Step
from trunkline.loadtest.retries import policy_of
from trunkline.loadtest.schedule import constant_arrivals


def parts(load, of, seconds=20.0):
    step = Step(load=load, seconds=seconds)
    return [Part(step=step, number=1, index=index, of=of, start_at=0.0) for index in range(of)]


def test_a_mix_names_methods_heads_and_shares():
    assert parse_mix(["classify:imagenet=3", "analyze:imagenet+camvid", "segment"]) == (
        Call("classify", ("imagenet",), 3.0),
        Call("analyze", ("imagenet", "camvid"), 1.0),
        Call("segment"),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sort:imagenet", "no method of .*classify"),
        ("classify:a+b", "analyze does that"),
        ("classify:", "empty head"),
        ("analyze", "needs some"),
        ("analyze:a+a", "one twice"),
        ("classify=0", "not a number above 0"),
        ("classify=many", "not a number above 0"),
    ],
)
def test_a_mix_that_cannot_be_meant_is_refused_with_a_reason(text, says):
    with pytest.raises(ConfigurationError, match=says):
        parse_mix([text])


def test_a_call_comes_once_in_a_mix():
    with pytest.raises(ConfigurationError, match="classify:a twice"):
        parse_mix(["classify:a=1", "classify:a=2"])


def test_calls_are_drawn_by_their_shares_and_the_same_for_a_seed():
    calls = parse_mix(["classify:a=3", "segment:b=1"])
    drawn = list(islice(turns(calls, seed=5), 8000))
    assert Counter(call.name for call in drawn)["classify:a"] == pytest.approx(6000, rel=0.03)
    assert drawn[:100] == list(islice(turns(calls, seed=5), 100))


def test_requests_are_those_of_the_client_and_heads_of_analyze_are_required():
    request = pb.AnalyzeRequest.FromString(Call("analyze", ("a", "b")).request(b"one", b"two"))
    assert request.image.data == b"one"
    assert [(each.head, each.required) for each in request.heads] == [("a", True), ("b", True)]
    pair = pb.CompareRequest.FromString(Call("compare", ("a",)).request(b"one", b"two"))
    assert (pair.first_image.data, pair.second_image.data, pair.head) == (b"one", b"two", "a")
    assert Call("classify", ("a",)).path == "/trunkline.api.vision.v1.VisionService/Classify"


def test_pictures_come_in_turn_and_every_request_of_a_unique_run_is_another():
    pictures = made_pictures(3)
    again = Requests(turns([Call("classify")], 1), endless(pictures, 0, None), keep=True)
    assert len({again.next()[1] for _ in range(9)}) == 3
    unique = Requests(turns([Call("classify")], 1), endless(pictures, 0, b"run-0"), keep=False)
    assert len({unique.next()[1] for _ in range(9)}) == 9


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_mark_changes_the_bytes_of_a_picture_and_no_pixel(kind):
    buffer = io.BytesIO()
    Image.open(io.BytesIO(made_pictures(1)[0])).save(buffer, kind)
    plain, other = buffer.getvalue(), marked(buffer.getvalue(), b"run-7")
    assert plain != other
    assert other != marked(plain, b"run-8")
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(plain))), np.asarray(Image.open(io.BytesIO(other)))
    )


def test_pictures_that_cannot_be_marked_are_named():
    with pytest.raises(ConfigurationError, match="only JPEG, PNG and WebP"):
        marked(b"GIF89a", b"run")


def test_made_pictures_differ_and_each_content_of_files_is_sent_once(photos, tmp_path):
    assert len(set(made_pictures(8))) == 8
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(photos[0].read_bytes())
    assert read_pictures([photos[0], copy, photos[1]]) == [photos[0].read_bytes(), photos[1].read_bytes()]


@pytest.mark.parametrize("of", [1, 3])
def test_processes_share_constant_arrivals_so_that_all_gaps_are_equal(of):
    load = Open(rate=30.0, arrivals="constant")
    times = np.sort(np.concatenate([part.arrivals_s(load, seed=1) for part in parts(load, of)]))
    np.testing.assert_allclose(times, constant_arrivals(30.0, 20.0))
    np.testing.assert_allclose(np.diff(times), 1 / 30)


@pytest.mark.parametrize("of", [1, 4])
def test_processes_share_poisson_arrivals_so_that_all_together_are_poisson(of):
    load = Open(rate=200.0)
    own = [part.arrivals_s(load, seed=1) for part in parts(load, of, seconds=100.0)]
    gaps = np.diff(np.sort(np.concatenate(own)))
    assert len(gaps) == pytest.approx(20_000, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # exponential: deviation equals mean
    assert np.corrcoef(gaps[:-1], gaps[1:])[0, 1] == pytest.approx(0, abs=0.03)
    assert len({times[0] for times in own}) == of


def test_processes_share_callers_and_none_is_lost():
    assert [part.callers(10) for part in parts(Closed(callers=10), 4)] == [3, 3, 2, 2]


def test_the_policy_of_retries_is_that_of_the_client():
    policy = policy_of(options_for("127.0.0.1:8500"))
    assert (policy.attempts, policy.codes) == (3, {"UNAVAILABLE", "CANCELLED"})
    assert policy.again(2, "UNAVAILABLE")
    assert not policy.again(3, "UNAVAILABLE")
    assert not policy.again(1, "INTERNAL")
    assert 0.8 * 0.05 <= policy.pause_s(1) <= 1.2 * 0.05
    assert 0.8 * 0.1 <= policy.pause_s(2) <= 1.2 * 0.1
    assert not policy_of([]).again(1, "UNAVAILABLE")

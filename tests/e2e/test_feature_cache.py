"""The feature cache as it is unless set otherwise, in both forms."""

import pytest

from tests.conftest import start_server
from trunkline.client import Client
from trunkline.serving.settings import Settings


@pytest.mark.parametrize("arguments", [(), ("--split",)], ids=["all-in-one", "split"])
def test_a_picture_that_is_asked_about_again_needs_no_pass(arguments, photos, tmp_path):
    kept = str(Settings.model_fields["feature_cache_bytes"].default)
    environment = {"TRUNKLINE_FEATURE_CACHE_BYTES": kept, "TRUNKLINE_HEADS": "imagenet"}
    with (
        start_server(tmp_path / "log", *arguments, **environment) as server,
        Client(server.address) as client,
    ):
        first, second, other = [client.analyze(photo, ["imagenet"]) for photo in (photos[0], photos[0], photos[1])]
    assert [done.backbone_passes for done in (first, second, other)] == [1, 0, 1]
    assert first.outcomes[0].result == second.outcomes[0].result
    assert second.timings.decode_ms == second.timings.backbone_ms == 0

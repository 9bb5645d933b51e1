from pathlib import Path

import grpc

from trunkline.api.vision.v1 import image_pb2, vision_service_pb2
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub

image = image_pb2.Image(data=Path("tests/samples/coffee.jpg").read_bytes())
with grpc.insecure_channel("127.0.0.1:8500") as channel:
    request = vision_service_pb2.ClassifyRequest(image=image, head="imagenet")
    response = VisionServiceStub(channel).Classify(request, timeout=5)
print([label.label for label in response.outcome.classification.labels])

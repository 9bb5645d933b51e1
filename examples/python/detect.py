from trunkline.client import Client

with Client("127.0.0.1:8500") as client:
    answer = client.detect("tests/samples/street.jpg", score_threshold=0.5)
    for found in answer.result.objects:
        print(f"{found.label.score:.2f} {found.label.label} {found.box}")

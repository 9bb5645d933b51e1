from trunkline.client import Client

with Client("127.0.0.1:8500") as client:
    answer = client.classify("tests/samples/coffee.jpg", top_k=3)
    for label in answer.result.labels:
        print(f"{label.score:.3f} {label.label}")

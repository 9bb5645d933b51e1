from trunkline.client import Client, HeadAsk

heads = [HeadAsk("imagenet", {"top_k": 1}, required=True), HeadAsk("flowers102", budget_s=2.0)]
with Client("127.0.0.1:8500") as client:
    answer = client.analyze("tests/samples/coffee.jpg", heads)
    print(answer["imagenet"].value(), answer.passes)

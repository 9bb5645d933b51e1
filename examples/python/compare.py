from trunkline.client import Client

with Client("127.0.0.1:8500") as client:
    first = client.embed("tests/samples/chelsea.jpg", head="pets")
    print(len(first.result.values), first.result.space)
    print(client.compare("tests/samples/chelsea.jpg", "tests/samples/coffee.jpg", head="pets").result)

from trunkline.client import Client, ServiceError

with Client("127.0.0.1:8500") as client:
    try:
        client.classify("tests/samples/coffee.jpg", head="camvid")
    except ServiceError as error:
        print(error.code, error.reason, error.message)

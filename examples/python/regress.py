from trunkline.client import Client

with Client("127.0.0.1:8500") as client:
    answer = client.regress("tests/samples/digit.png", head="digit-angle")
    for value in answer.result.values:
        print(f"{value.name}: {value.value:.1f} {value.unit}")

from pathlib import Path

from trunkline.client import Client

with Client("127.0.0.1:8500") as client:
    answer = client.segment("tests/samples/street.jpg", head="camvid")
    for each in answer.result.classes:
        print(f"{each.area:6.1%} {each.label}")
    Path("classes.png").write_bytes(answer.result.label_map_png)  # an indexed PNG in the size of the picture

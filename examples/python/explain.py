from trunkline.client import Client

with Client("127.0.0.1:8500") as client:
    found = client.explain("tests/samples/chelsea.jpg", "imagenet", "tabby")
    width, height = found.image_size
    heat = found.map.over(width, height)  # float32 (height, width)
    y, x = divmod(int(heat.argmax()), width)
    print(f"{found.target} {found.strength:.1f}, most of it around x {x}, y {y}")

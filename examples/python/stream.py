from trunkline.client import Client

photos = [(name, f"tests/samples/{name}.jpg") for name in ("camera", "chelsea", "clock")]
with Client("127.0.0.1:8500") as client:
    for done in client.analyze_stream(photos, ["imagenet", "flowers102"]):
        print(done.key, done.error or done.answer.outcomes)

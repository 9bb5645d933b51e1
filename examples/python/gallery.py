from trunkline.client import GalleryClient, GalleryImage

images = [GalleryImage(f"tests/samples/{name}.jpg", label=name) for name in ("coffee", "chelsea", "clock")]
with GalleryClient("127.0.0.1:8500") as galleries:
    galleries.create("samples", head="pets")
    for answer in galleries.add("samples", images):
        print(answer.id, answer.error or answer.status)
    found = galleries.search("samples", "tests/samples/coffee.jpg", by="classes")
    print([match.label for match in found.matches])

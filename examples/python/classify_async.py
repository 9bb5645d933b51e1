import asyncio

from trunkline.client import AsyncClient


async def main() -> None:
    async with AsyncClient("127.0.0.1:8500") as client:
        names = ("coffee", "chelsea", "clock")
        answers = await asyncio.gather(*(client.classify(f"tests/samples/{name}.jpg") for name in names))
    for name, answer in zip(names, answers, strict=True):
        print(f"{name}: {answer.result.labels[0].label}")


asyncio.run(main())

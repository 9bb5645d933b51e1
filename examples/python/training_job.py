from trunkline.client import TrainingClient, TrainRequest

with TrainingClient("127.0.0.1:8500") as client:
    job = client.create(TrainRequest(name="flowers", data="/data/flowers", train_splits=("train", "val")))
    for event in client.watch(job.id):
        print(event.what)

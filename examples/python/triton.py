from pathlib import Path

import numpy as np
import tritonclient.grpc as triton

client = triton.InferenceServerClient("127.0.0.1:8500")
pictures = np.array([[Path(f"tests/samples/{name}.jpg").read_bytes()] for name in ("coffee", "camera")], object)
tensor = triton.InferInput("image", list(pictures.shape), "BYTES")
tensor.set_data_from_numpy(pictures)
answer = client.infer("imagenet", [tensor], parameters={"top_k": 3})
print(answer.as_numpy("labels"), answer.as_numpy("scores"))

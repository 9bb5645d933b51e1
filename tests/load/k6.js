// Load by k6 (https://k6.io), for people who use it: the same calls over gRPC, with pictures from files.
//
//   k6 run -e TARGET=127.0.0.1:8500 -e IMAGES=a.jpg,b.jpg -e HEADS=imagenet -e RATE=20 -e DURATION=30s tests/load/k6.js
//
// RATE: arrivals a second (constant); without it VUS callers that ask again once they were answered. One head is asked
// by Classify, or by METHOD; several by Analyze. P99_MS and ERRORS are the thresholds that decide the exit status.
// Arrivals for which no caller is free are in dropped_iterations. k6 counts latency from the moment a call is sent,
// and needs a picture in base64; for latency from the intended time use `trunkline loadtest`.
import encoding from "k6/encoding";
import grpc from "k6/net/grpc";
import { check, sleep } from "k6";
import { Rate, Trend } from "k6/metrics";

const target = __ENV.TARGET || "127.0.0.1:8500";
const heads = (__ENV.HEADS || "imagenet").split(",");
const method = heads.length > 1 ? "Analyze" : __ENV.METHOD || "Classify";
const duration = __ENV.DURATION || "30s";
const callers = Number(__ENV.VUS || 8);
const timeout = __ENV.TIMEOUT || "30s";
const images = (__ENV.IMAGES || "../samples/chelsea.jpg,../samples/coffee.jpg,../samples/astronaut.jpg")
  .split(",")
  .map((path) => encoding.b64encode(open(path, "b")));

const client = new grpc.Client();
client.load(["../../protos"], "trunkline/api/vision/v1/vision_service.proto");
const failed = new Rate("trunkline_failed");
const latency = new Trend("trunkline_latency", true);

const closed = { executor: "constant-vus", vus: callers, duration };
const open_ = {
  executor: "constant-arrival-rate",
  rate: Number(__ENV.RATE || 1),
  timeUnit: "1s",
  duration,
  preAllocatedVUs: callers,
  maxVUs: Number(__ENV.MAX_VUS || 200),
};

export const options = {
  scenarios: { trunkline: __ENV.RATE ? open_ : closed },
  thresholds: {
    trunkline_latency: [`p(99)<${__ENV.P99_MS || 1000}`],
    trunkline_failed: [`rate<${__ENV.ERRORS || 0.01}`],
  },
  summaryTrendStats: ["avg", "p(50)", "p(90)", "p(99)", "p(99.9)", "max"],
};

let connected = false;

function connect() {
  try {
    client.connect(target, { plaintext: true, timeout });
    connected = true;
  } catch (error) {
    console.error(`no service answers at ${target}: ${error}`);
    failed.add(true, { code: "unreachable" });
    sleep(1);
  }
}

export default function () {
  if (!connected) {
    connect();
  }
  if (!connected) {
    return;
  }
  const data = images[(__VU * 7919 + __ITER) % images.length];
  const request =
    method === "Analyze"
      ? { image: { data }, heads: heads.map((head) => ({ head, required: true })) }
      : { image: { data }, head: heads[0] };
  const sent = Date.now();
  const response = client.invoke(`trunkline.api.vision.v1.VisionService/${method}`, request, { timeout });
  const ok = check(response, { OK: (answer) => answer && answer.status === grpc.StatusOK });
  failed.add(!ok, { code: String(response.status) });
  if (ok) {
    latency.add(Date.now() - sent);
  }
}

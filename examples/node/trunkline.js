// What a client of Trunkline needs: stubs from the protos, parameters as a Struct, details of errors, a stream.
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const PROTOS = process.env.TRUNKLINE_PROTOS ?? fileURLToPath(new URL("../../protos", import.meta.url));
const FILES = [
  "trunkline/api/vision/v1/vision_service.proto",
  "google/rpc/error_details.proto",
  "google/rpc/status.proto",
];
// Fields are in camelCase, as usual in JavaScript: imageSize, topK. Those of google.protobuf are as protobufjs has them,
// whatever keepCase says: type_url in Any, but numberValue in Value.
const DEFINITIONS = loadSync(FILES, {
  includeDirs: [PROTOS],
  enums: String,
  longs: Number,
  defaults: true,
  oneofs: true,
});
const { VisionService } = grpc.loadPackageDefinition(DEFINITIONS).trunkline.api.vision.v1;
// Label maps of large pictures are above the 4 MiB that gRPC takes by default.
const OPTIONS = { "grpc.max_receive_message_length": 64 * 1024 * 1024 };

export function connect(target) {
  return new VisionService(target, grpc.credentials.createInsecure(), OPTIONS);
}

/** The answer of a call with one request, such as `ask(client, "classify", { image: { data } })`. */
export function ask(client, call, request, timeoutS = 10) {
  return new Promise((resolve, reject) => {
    const deadline = new Date(Date.now() + 1000 * timeoutS);
    client[call](request, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

/** The same, asked again for as long as the service is busy, after the time that it names. */
export async function askPatiently(client, call, request, timeoutS = 30) {
  const end = Date.now() + 1000 * timeoutS;
  for (let tries = 1; ; tries++) {
    try {
      return { answer: await ask(client, call, request, (end - Date.now()) / 1000), tries };
    } catch (error) {
      const { retryAfterS } = errorDetails(error);
      if (retryAfterS === undefined || Date.now() + 1000 * retryAfterS > end) throw error;
      await sleep(1000 * retryAfterS);
    }
  }
}

/**
 * Each part of the answers about pictures, as { picture, outcome }, { picture, done } or { picture, error }.
 *
 * `pictures` is an iterable of { data, …anything }, async too; it is read as fast as the service works.
 */
export async function* analyzeStream(client, pictures, heads) {
  const call = client.analyzeStream();
  const open = new Map(); // by id: each picture of a stream has an id of its own
  const sent = sendAll(call, pictures, heads, open);
  sent.catch((error) => call.destroy(error));
  try {
    for await (const part of call) {
      const picture = open.get(part.id);
      if (part.event !== "outcome") open.delete(part.id);
      yield { picture, [part.event]: part[part.event] };
    }
    await sent;
  } finally {
    call.cancel();
  }
}

async function sendAll(call, pictures, heads, open) {
  let number = 0;
  for await (const picture of pictures) {
    const id = String(++number);
    open.set(id, picture);
    if (!call.write({ id, image: { data: picture.data }, heads })) await once(call, "drain");
  }
  call.end();
}

/**
 * A google.protobuf.Struct of a plain object, for `params`: struct({ top_k: 3 }).
 *
 * A plain object in its place, params: { top_k: 3 }, is sent as an empty Struct: proto-loader leaves out fields that a
 * message does not have, and says nothing.
 */
export function struct(values) {
  return { fields: Object.fromEntries(Object.entries(values).map(([name, each]) => [name, value(each)])) };
}

function value(each) {
  if (each === null) return { nullValue: "NULL_VALUE" };
  if (Array.isArray(each)) return { listValue: { values: each.map(value) } };
  switch (typeof each) {
    case "boolean":
      return { boolValue: each };
    case "number":
      return { numberValue: each };
    case "string":
      return { stringValue: each };
    case "object":
      return { structValue: struct(each) };
    default:
      throw new TypeError(`a parameter is JSON, not ${typeof each}`);
  }
}

/**
 * What an error of a call says beside its code and message: { reason, domain, metadata, retryAfterS }.
 *
 * It is a google.rpc.Status in the trailer grpc-status-details-bin. Empty where there is none, as for errors that the
 * client makes itself, such as UNAVAILABLE where nothing listens.
 */
export function errorDetails(error) {
  const [trailer] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (trailer === undefined) return {};
  const found = {};
  for (const { type_url: type, value } of read("google.rpc.Status", trailer).details) {
    const name = type.slice(type.lastIndexOf("/") + 1);
    if (name === "google.rpc.ErrorInfo") Object.assign(found, read(name, value));
    if (name === "google.rpc.RetryInfo") found.retryAfterS = seconds(read(name, value).retryDelay);
  }
  return found;
}

function read(name, bytes) {
  return DEFINITIONS[name].deserialize(bytes);
}

function seconds({ seconds, nanos }) {
  return seconds + nanos / 1e9;
}

export const codeName = (code) => grpc.status[code];

// node main.js HOST:PORT PICTURE…: classifies the first picture, analyzes all as a stream, and reads an error.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";

import { analyzeStream, ask, askPatiently, codeName, connect, errorDetails, struct } from "./trunkline.js";

const MANY = 12;
const [target, ...paths] = process.argv.slice(2);
if (paths.length === 0) {
  console.error("usage: node main.js HOST:PORT PICTURE…");
  process.exit(2);
}
const client = connect(target);
try {
  const image = { data: await readFile(paths[0]) };
  await classify(image);
  await analyze();
  await fail(image);
  await beManyAtOnce(image);
} catch (error) {
  console.error(`${codeName(error.code) ?? "error"}: ${error.details ?? error.message}`);
  process.exitCode = 1;
} finally {
  client.close();
}

async function classify(image) {
  const { outcome } = await ask(client, "classify", { image, head: "imagenet", topK: 3 });
  for (const { label, score } of outcome.classification.labels) console.log(`classify ${label} ${score.toFixed(3)}`);
}

async function* pictures() {
  for (const path of paths) yield { name: basename(path), data: await readFile(path) };
  yield { name: "broken", data: Buffer.from("this is no picture") };
}

async function analyze() {
  const heads = [{ head: "imagenet", params: struct({ top_k: 2 }) }, { head: "flowers102", params: struct({ top_k: 1 }) }];
  for await (const { picture, outcome, done, error } of analyzeStream(client, pictures(), heads)) {
    if (outcome?.error) console.log(`stream ${picture.name} ${outcome.head} failed: ${outcome.error.reason}`);
    else if (outcome) console.log(`stream ${picture.name} ${outcome.head}: ${labels(outcome.classification)}`);
    else if (done) console.log(`stream ${picture.name} done: passes ${done.backbonePasses}`);
    else console.log(`stream ${picture.name} refused: ${codeName(error.code)} ${error.reason}`);
  }
}

function labels(classification) {
  return classification.labels.map(({ label }) => label).join(", ");
}

async function fail(image) {
  try {
    await ask(client, "classify", { image, head: "flowers102/999" });
  } catch (error) {
    const { reason, domain, metadata } = errorDetails(error);
    console.log(`error ${codeName(error.code)} ${reason} ${domain} ${JSON.stringify(metadata)}`);
  }
}

async function beManyAtOnce(image) {
  const asked = Array.from({ length: MANY }, () => askPatiently(client, "classify", { image, head: "imagenet" }));
  const tries = (await Promise.all(asked)).map((each) => each.tries);
  console.log(`many answered: ${tries.length}, asked again: ${tries.reduce((sum, each) => sum + each - 1, 0)}`);
}

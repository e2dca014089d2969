// The checks that both TypeScript SDKs make of synod. Knows no SDK: `face` carries what their clients do differently:
//   client, version(), modern, callTool(params, options), protocolError (its class), unknownResource (the code that the SDK
//   shows), subscribe(uri, onUpdate) giving an unsubscribe, or null where the transport has none.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

export const MODERN = "2026-07-28";
export const LEGACY = "2025-11-25";
const TOOLS = ["index_status", "ingest", "read", "related", "search"];
const HINTS = ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];
const STEP_MS = 20_000;
const WHOLE_RUN_MS = 240_000;
let nChecks = 0;

export function check(label, holds, found = "") {
  if (!holds) throw new Error(`${label}; found ${JSON.stringify(found)}`);
  nChecks += 1;
  console.log(`  ${label}`);
}

const textOf = (result) => result.content.filter((block) => block.type === "text").map((block) => block.text).join("\n");
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function within(promise, what) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`${what} took over ${STEP_MS} ms`)), STEP_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function refused(face, promise, label, codes) {
  const error = await promise.then(() => null, (reason) => reason);
  check(label, error instanceof face.protocolError && codes.includes(error.code), error && `${error.code} ${error.message}`);
}

async function tools({ client }) {
  const listed = (await client.listTools()).tools;
  const names = listed.map((tool) => tool.name);
  check("lists the five context tools", TOOLS.every((name) => names.includes(name)), names);
  check("lists tools sorted by name", names.join() === [...names].sort().join(), names);
  for (const tool of listed) {
    const lacks = HINTS.filter((hint) => typeof tool.annotations?.[hint] !== "boolean");
    if (lacks.length || !tool.title || tool.inputSchema.type !== "object") throw new Error(`${tool.name}: title, annotations ${lacks} or object schema`);
  }
  check("every tool has a title, four annotations and an object schema", true);
  const ops = listed.find((tool) => tool.name === "ingest").inputSchema.properties.op?.enum ?? [];
  const op = ops.find((name) => /^re_?index$/.test(name));
  check("ingest offers an `op` that re-indexes", op, ops);
  return { op };
}

async function search(face, word) {
  const result = await face.callTool({ name: "search", arguments: { query: word, mode: "lexical", limit: 5 } });
  const found = result.structuredContent;
  check(`search finds \`${word}\``, !result.isError && found.hits.length > 0, textOf(result));
  const lacks = ["hits", "degraded", "generation", "pending", "fresh"].filter((key) => !(key in found));
  check("search replies with its fields", lacks.length === 0, lacks);
  const hit = found.hits[0];
  const hitLacks = ["id", "uri", "source", "path", "title", "lines", "score", "snippet", "modified"].filter((key) => !(key in hit));
  check("a hit has its fields", hitLacks.length === 0, hitLacks);
  return hit;
}

async function read(face, hit, word) {
  for (const key of ["id", "uri", "path"]) {
    const result = await face.callTool({ name: "read", arguments: { [key]: hit[key] } });
    check(`read by ${key} shows the word`, !result.isError && textOf(result).includes(word), textOf(result));
  }
}

async function resources(face, hit, word) {
  const { client } = face;
  const note = hit.uri.split("#")[0];
  const uris = [];
  let cursor;
  do {
    const page = await client.listResources(cursor === undefined ? undefined : { cursor });
    uris.push(...page.resources.map((resource) => resource.uri));
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  check("lists the hit's note, and nothing twice", uris.includes(note) && new Set(uris).size === uris.length, uris.length);
  await refused(face, client.listResources({ cursor: "no such cursor" }), "a made-up cursor is an invalid parameter", [-32602]);
  const { contents } = await client.readResource({ uri: note });
  check("reads the note as a resource", contents[0].text.includes(word), contents);
  check("reads synod://status", (await client.readResource({ uri: "synod://status" })).contents.length > 0);
  const gone = client.readResource({ uri: `${note.slice(0, -3)}-is-not-there.md` });
  await refused(face, gone, "an unknown resource is an error", [face.unknownResource]);
  return note;
}

async function completion({ client }, hit) {
  const shapes = (await client.listResourceTemplates()).resourceTemplates.map((template) => template.uriTemplate);
  const uri = shapes.find((shape) => shape.startsWith("note://"));
  check("has templates for notes and code", uri && shapes.some((shape) => shape.startsWith("code://")), shapes);
  const { completion } = await client.complete({
    ref: { type: "ref/resource", uri },
    argument: { name: "path", value: hit.path.slice(0, hit.path.length / 2) },
    context: { arguments: { vault: hit.source } },
  });
  check("completes the path", completion.values.map(decodeURIComponent).includes(hit.path), completion);
}

async function prompts(face, word) {
  const names = (await face.client.listPrompts()).prompts.map((prompt) => prompt.name);
  check("has the prompt answer_from_vault", names.includes("answer_from_vault"), names);
  const question = `What is the ${word}?`;
  const got = await face.client.getPrompt({ name: "answer_from_vault", arguments: { question } });
  check("the prompt carries the question", got.messages.some((message) => message.content.text?.includes(question)), got);
  await refused(face, face.client.getPrompt({ name: "answer_from_vault", arguments: {} }), "a missing prompt argument is an invalid parameter", [-32602]);
}

async function statusAndRefusals(face, hit) {
  const found = (await face.callTool({ name: "index_status", arguments: {} })).structuredContent;
  const lacks = ["documents", "chunks", "generation", "sources"].filter((key) => !(key in found));
  check("index_status has its fields and the source", !lacks.length && found.sources.some((s) => s.name === hit.source), found);
  const wrong = await face.callTool({ name: "read", arguments: { path: hit.path.slice(0, -4) + hit.path.slice(-3) } });
  check("an unknown path is a tool error that names the nearest", wrong.isError && textOf(wrong).includes(hit.path), textOf(wrong));
  await refused(face, face.callTool({ name: "no_such_tool", arguments: {} }), "an unknown tool is a protocol error", [-32602, -32601]);
}

async function progressAndCancel(face, op) {
  const call = { name: "ingest", arguments: { op, wait: true } };
  const seen = [];
  const result = await face.callTool(call, { onprogress: (progress) => seen.push(progress.progress) });
  const rises = seen.every((value, idx) => idx === 0 || seen[idx - 1] < value);
  check("ingest reports rising progress", !result.isError && seen.length > 1 && rises, seen);
  const stop = new AbortController();
  await face.callTool(call, { signal: stop.signal, onprogress: () => stop.abort() }).catch(() => {});
  const after = await within(face.callTool({ name: "index_status", arguments: {} }), "the call after a cancelled one");
  check("answers after a cancelled call", !after.isError, textOf(after));
}

async function changes(face, note, file) {
  const before = readFileSync(file, "utf8");
  const word = `newword${process.pid}`;
  let announced;
  const told = new Promise((done) => { announced = done; });
  const unsubscribe = await face.subscribe(note, announced);
  try {
    writeFileSync(file, `${before}\n${word}\n`);
    const uri = await within(told, "the notification");
    check("an edited note is announced", uri === note, uri);
    const until = Date.now() + STEP_MS;
    const hits = async () => (await face.callTool({ name: "search", arguments: { query: word } })).structuredContent.hits;
    while ((await hits()).length === 0 && Date.now() < until) await pause(100);
    check("an edited note is found by its new word", (await hits()).length > 0);
  } finally {
    writeFileSync(file, before);
    await unsubscribe();
  }
}

/** Parses the command line, connects by `connect(args, need)` and runs every check; exits with 0 or 1. */
export async function main(connect) {
  const option = { type: "string" };
  const { values: args } = parseArgs({
    options: { synod: option, data: option, word: option, vault: option, tools: option, transport: option, url: option, era: { type: "string", default: "legacy" } },
  });
  for (const name of ["synod", "data", "word", "vault", "tools", "transport"]) {
    if (!args[name]) throw new Error(`--${name} is missing`);
  }
  const need = createRequire(join(resolve(args.tools), "package.json"));
  const late = setTimeout(() => {
    console.log(`FAIL after ${nChecks} checks: the whole run took over ${WHOLE_RUN_MS} ms`);
    process.exit(1);
  }, WHOLE_RUN_MS);
  try {
    const face = await connect(args, need);
    const version = face.modern ? MODERN : LEGACY;
    check(`negotiates ${version}`, face.version() === version, face.version());
    check("names itself synod", face.client.getServerVersion()?.name === "synod", face.client.getServerVersion());
    check("has instructions", face.client.getInstructions()?.length > 0);
    const { op } = await tools(face);
    const hit = await search(face, args.word);
    await read(face, hit, args.word);
    const note = await resources(face, hit, args.word);
    await completion(face, hit);
    await prompts(face, args.word);
    await statusAndRefusals(face, hit);
    await progressAndCancel(face, op);
    if (face.subscribe) await changes(face, note, join(args.vault, hit.path));
    await within(face.client.close(), "closing");
    console.log(`ok ${nChecks} checks`);
  } catch (error) {
    console.log(`FAIL after ${nChecks} checks: ${error.stack}`);
    process.exit(1);
  } finally {
    clearTimeout(late);
  }
}

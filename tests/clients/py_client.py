"""The official Python client against a running synod, over every transport and in both protocol eras.

Knows the contract (docs and DESIGN), not the program. Stops at the first failure with exit code 1.
    py_client.py --synod BINARY --data DIR --word WORD --transport stdio [--url URL] [--vault DIR]
`--word` stands in exactly one note; `--vault` is that note's vault and lets the change notifications be checked.
"""

import argparse
import os
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote

import anyio
import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.sse import sse_client

MODERN, LEGACY = "2026-07-28", "2025-11-25"
TOOLS = {"search", "read", "related", "ingest", "index_status"}
ANNOTATIONS = ("read_only_hint", "destructive_hint", "idempotent_hint", "open_world_hint")
TEXT_BYTES_MAX = 2048  # clients cut descriptions and instructions here
WHOLE_RUN_S, STEP_S = 240, 20
n_checks = 0


def check(label, holds, found=""):
    global n_checks
    assert holds, f"{label}; found {found!r}"
    n_checks += 1
    print(f"  {label}", flush=True)


def text_of(result):
    return "\n".join(block.text for block in result.content if block.type == "text")


def keys_of(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner)


def reindex_arguments(schema):
    """The call that re-indexes and waits for its end, found in the tool's own schema."""
    names = schema["properties"].get("op", {}).get("enum", [])
    ops = [name for name in names if re.fullmatch(r"re_?index", name)]
    assert ops, f"ingest offers an `op` that re-indexes; found {names}"
    return {"op": ops[0], "wait": True}


async def raised(awaitable):
    try:
        found = await awaitable
    except MCPError as error:
        return error
    raise AssertionError(f"a protocol error was expected; found {found!r}")


async def every_page(fetch, field):
    items, cursor, n_pages = [], None, 0
    while True:
        page = await fetch(cursor=cursor)
        items += getattr(page, field)
        n_pages += 1
        cursor = page.next_cursor
        if cursor is None:
            return items, n_pages
        assert n_pages < 1000, "the listing never ends"


async def handshake(client, modern):
    version = MODERN if modern else LEGACY
    check(f"negotiates {version}", client.protocol_version == version, client.protocol_version)
    check("names itself synod", getattr(client.server_info, "name", None) == "synod", client.server_info)
    said = client.instructions or ""
    check("has instructions of at most 2 KB", 0 < len(said.encode()) <= TEXT_BYTES_MAX, len(said.encode()))


async def tools(client):
    listed, _ = await every_page(client.list_tools, "tools")
    names = [tool.name for tool in listed]
    check("lists the five context tools", TOOLS <= set(names), names)
    check("lists at most 20 tools", len(names) <= 20, len(names))
    check("lists tools sorted by name", names == sorted(names), names)
    for tool in listed:
        assert tool.title or (tool.annotations and tool.annotations.title), f"{tool.name} has no title"
        missing = [hint for hint in ANNOTATIONS if getattr(tool.annotations, hint, None) is None]
        assert not missing, f"{tool.name} lacks the annotations {missing}"
        assert tool.input_schema.get("type") == "object", f"{tool.name}: root of the input schema is not an object"
        alien = {"$schema", "$ref", "$defs"} & set(keys_of(tool.input_schema))
        assert not alien, f"{tool.name}: input schema is not portable, it has {alien}"
        assert tool.description and len(tool.description.encode()) <= TEXT_BYTES_MAX, f"{tool.name}: description"
    check("every tool has a title, four annotations, a portable object schema, a description of at most 2 KB", True)
    hints = {tool.name: tool.annotations.read_only_hint for tool in listed}
    check("only ingest of the five may write", {n for n in TOOLS if not hints[n]} == {"ingest"}, hints)
    return {tool.name: tool for tool in listed}


async def search(client, word):
    result = await client.call_tool("search", {"query": word, "mode": "lexical", "limit": 5})
    found = result.structured_content
    check("search succeeds", not result.is_error, text_of(result))
    fields = {"hits", "degraded", "generation", "pending", "fresh"}
    check("search replies with its fields", fields <= set(found), found)
    check(f"search finds `{word}`", found["hits"], found)
    hit = found["hits"][0]
    fields = {"id", "uri", "source", "path", "title", "lines", "score", "snippet", "modified"}
    check("a hit has its fields", fields <= set(hit), hit)
    first, last = hit["lines"]
    check("a hit's lines are a range from 1", 1 <= first <= last, hit["lines"])
    check("a hit's snippet shows the word", word.lower() in hit["snippet"].lower(), hit["snippet"])
    plain = unquote(hit["uri"].split("#")[0])
    check("a hit's uri names source and path", plain == f"note://{hit['source']}/{hit['path']}", hit["uri"])
    check("search's text names the hit", hit["path"] in text_of(result), text_of(result))
    hybrid = await client.call_tool("search", {"query": word})
    check("search with defaults finds it too", hit["path"] in [h["path"] for h in hybrid.structured_content["hits"]])
    return hit


async def read(client, hit, word):
    for key in ("id", "uri"):
        result = await client.call_tool("read", {key: hit[key]})
        held = not result.is_error and word.lower() in text_of(result).lower()
        check(f"read by {key} shows the word", held, text_of(result))
    result = await client.call_tool("read", {"path": hit["path"]})
    check("read by path shows the word", word.lower() in text_of(result).lower(), text_of(result))


async def related(client, tool, hit):
    key = "uri" if "uri" in tool.input_schema["properties"] else "path"
    result = await client.call_tool("related", {key: hit[key]})
    check("related answers", not result.is_error and isinstance(result.structured_content, dict), text_of(result))


async def resources(client, hit, word, modern):
    listed, n_pages = await every_page(client.list_resources, "resources")
    uris = [resource.uri for resource in listed]
    check("lists no resource twice", len(uris) == len(set(uris)), len(uris))
    check("lists more than 500 resources in pages", len(uris) <= 500 or n_pages > 1, (len(uris), n_pages))
    note = hit["uri"].split("#")[0]
    check("lists the hit's note", note in uris, uris[:5])
    error = await raised(client.list_resources(cursor="no such cursor"))
    check("a made-up cursor is an invalid parameter", error.code == types.INVALID_PARAMS, error.error)
    contents = (await client.read_resource(note)).contents
    check("reads the note as a resource", word.lower() in contents[0].text.lower(), contents)
    check("the resource keeps its uri", contents[0].uri == note, contents[0].uri)
    check("reads synod://status", (await client.read_resource("synod://status")).contents[0].text)
    error = await raised(client.read_resource(note[:-3] + "-is-not-there.md"))
    check("an unknown resource is an error", error.code == (types.INVALID_PARAMS if modern else -32002), error.error)
    return note


async def completion(client, hit):
    templates, _ = await every_page(client.list_resource_templates, "resource_templates")
    shapes = [template.uri_template for template in templates]
    note = next((shape for shape in shapes if shape.startswith("note://")), None)
    check("has templates for notes and code", note and any(s.startswith("code://") for s in shapes), shapes)
    ref = types.ResourceTemplateReference(uri=note)
    done = (await client.complete(ref, {"name": "vault", "value": ""})).completion
    check("completes the vault", hit["source"] in done.values, done)
    start = hit["path"][: len(hit["path"]) // 2]
    done = (await client.complete(ref, {"name": "path", "value": start}, {"vault": hit["source"]})).completion
    check("completes the path", hit["path"] in [unquote(value) for value in done.values], done)
    check("completes with at most 100 values", len(done.values) <= 100, len(done.values))


async def prompt(client, word):
    listed, _ = await every_page(client.list_prompts, "prompts")
    by_name = {prompt.name: prompt for prompt in listed}
    check("has the prompt answer_from_vault", "answer_from_vault" in by_name, list(by_name))
    question = f"What is the {word}?"
    got = await client.get_prompt("answer_from_vault", {"question": question})
    said = "\n".join(getattr(message.content, "text", "") for message in got.messages)
    check("the prompt carries the question", question in said, said)
    error = await raised(client.get_prompt("answer_from_vault", {}))
    check("a missing prompt argument is an invalid parameter", error.code == types.INVALID_PARAMS, error.error)


async def status(client, hit):
    found = (await client.call_tool("index_status", {})).structured_content
    check("index_status has its fields", {"documents", "chunks", "generation", "sources"} <= set(found), found)
    source = {s["name"]: s for s in found["sources"]}[hit["source"]]
    fields = {"name", "path", "documents", "chunks", "pending", "errors"}
    check("index_status has the source and its fields", fields <= set(source), source)


async def refusals(client, hit):
    wrong = hit["path"][:-4] + hit["path"][-3:]
    result = await client.call_tool("read", {"path": wrong})
    check("an unknown path is a tool error", result.is_error, text_of(result))
    check("the error names the nearest path", hit["path"] in text_of(result), text_of(result))
    result = await client.call_tool("search", {"query": "x", "limit": 1_000_000})
    named = result.is_error and "limit" in text_of(result)
    check("a limit out of bounds is a tool error that names it", named, text_of(result))
    result = await client.call_tool("search", {"limit": 1})
    named = result.is_error and "query" in text_of(result)
    check("a missing argument is a tool error that names it", named, text_of(result))
    error = await raised(client.call_tool("no_such_tool", {}))
    check("an unknown tool is a protocol error", error.code in (-32602, -32601), error.error)


async def progress(client, arguments):
    seen = []

    async def saw(value, total, message):
        seen.append((value, total))

    result = await client.call_tool("ingest", arguments, progress_callback=saw)
    check("ingest re-indexes", not result.is_error, text_of(result))
    check("ingest reports progress", len(seen) > 1, seen)
    values = [value for value, _ in seen]
    check("progress increases", all(a < b for a, b in zip(values, values[1:])), values)
    check("progress stays within its total", all(total is None or value <= total for value, total in seen), seen)


async def cancellation(client, arguments):
    scope, begun = anyio.CancelScope(), anyio.Event()

    async def saw(value, total, message):
        begun.set()

    async def call():
        with scope:
            await client.call_tool("ingest", arguments, progress_callback=saw)
        begun.set()

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await begun.wait()
        scope.cancel()
    with anyio.fail_after(STEP_S):
        result = await client.call_tool("index_status", {})
    check("answers after a cancelled call", not result.is_error, text_of(result))


async def changes(client, note, file, modern, updates):
    """Subscribes to one note, edits its file, and waits for the notification and for the new word."""
    before = file.read_text()
    word = f"newword{os.getpid()}{'m' if modern else 'l'}"

    async def edit_and_wait(next_uri):
        try:
            file.write_text(f"{before}\n{word}\n")
            with anyio.fail_after(STEP_S):
                uri = await next_uri()
                check("an edited note is announced", uri == note, uri)
                while not (await client.call_tool("search", {"query": word})).structured_content["hits"]:
                    await anyio.sleep(0.1)
            check("an edited note is found by its new word", True)
            fresh = (await client.read_resource(note, cache_mode="bypass")).contents[0].text
            check("the resource shows the edit", word in fresh, fresh)
        finally:
            file.write_text(before)

    if modern:
        async with client.listen(resource_subscriptions=[note]) as subscription:
            honored = subscription.honored.resource_subscriptions
            check("the server honours the subscription", honored == [note], honored)

            async def next_uri():
                return (await anext(subscription)).uri

            await edit_and_wait(next_uri)
    else:
        await client.session.subscribe_resource(note)
        await edit_and_wait(updates.receive)
        await client.session.unsubscribe_resource(note)


@asynccontextmanager
async def connect(args, on_message):
    if args.transport.startswith("stdio"):
        passed = {key: value for key, value in os.environ.items() if key.startswith("SYNOD_")}
        words = ["serve", "--stdio", "--data", args.data]
        server = StdioServerParameters(command=args.synod, args=words, env=passed)
    elif args.transport == "sse":
        server = sse_client(f"{args.url}/sse")
    else:
        server = f"{args.url}/mcp"
    mode = "auto" if args.transport in ("stdio", "http") else "legacy"
    async with Client(server, mode=mode, message_handler=on_message, read_timeout_seconds=60) as client:
        yield client


async def run(args):
    send, updates = anyio.create_memory_object_stream(1000)

    async def on_message(message):
        if isinstance(message, types.ResourceUpdatedNotification):
            send.send_nowait(message.params.uri)

    modern = args.transport in ("stdio", "http")
    with anyio.fail_after(WHOLE_RUN_S):
        async with connect(args, on_message) as client:
            await handshake(client, modern)
            by_name = await tools(client)
            hit = await search(client, args.word)
            await read(client, hit, args.word)
            await related(client, by_name["related"], hit)
            note = await resources(client, hit, args.word, modern)
            await completion(client, hit)
            await prompt(client, args.word)
            await status(client, hit)
            await refusals(client, hit)
            arguments = reindex_arguments(by_name["ingest"].input_schema)
            await progress(client, arguments)
            await cancellation(client, arguments)
            # Streamable HTTP keeps no session here, so the legacy era has no way to subscribe on it.
            if args.vault and args.transport != "http-legacy":
                await changes(client, note, Path(args.vault) / hit["path"], modern, updates)


def leaves(error):
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--synod", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--word", required=True)
    parser.add_argument("--vault")
    parser.add_argument("--url", help="http://127.0.0.1:PORT, without a path")
    parser.add_argument("--transport", required=True, choices=["stdio", "stdio-legacy", "http", "http-legacy", "sse"])
    args = parser.parse_args()
    if not args.transport.startswith("stdio") and not args.url:
        parser.error(f"--transport {args.transport} needs --url")
    try:
        anyio.run(run, args)
    except BaseException as error:
        for leaf in leaves(error):
            print(f"FAIL after {n_checks} checks: {type(leaf).__name__}: {leaf}", flush=True)
        if not isinstance(leaves(error)[0], AssertionError):
            raise
        sys.exit(1)
    print(f"ok {n_checks} checks")


if __name__ == "__main__":
    main()

"""Raw bytes against synod: what a well-behaved SDK never sends, and what a server must never do. Standard library only.

Starts its own servers, because it kills parents, watches sockets and closes pipes. Stops at the first failure with exit 1.
    wire.py --synod BINARY --data DIR --word WORD
"""

import argparse
import http.client
import json
import os
import queue
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

MODERN, LEGACY = "2026-07-28", "2025-11-25"
MIB = 1 << 20
OVERSIZED = 17 * MIB  # one more than the 16 MiB that a stdio line may have; far over the HTTP body limit
REPLY_S, EOF_S, ORPHAN_S, START_S = 30, 2, 3, 30
NODELAY_CALLS, NODELAY_MEDIAN_MS = 20, 20  # Nagle with delayed ACK costs 40 ms and more for each answer
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "wire", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
BOTH = "application/json, text/event-stream"
n_checks = 0


def check(label, holds, found=""):
    global n_checks
    assert holds, f"{label}; found {str(found)[:1500]!r}"
    n_checks += 1
    print(f"  {label}", flush=True)


def request(id, method, params=None):
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}}


def modern(id, method, params=None, version=MODERN):
    meta = META | {"io.modelcontextprotocol/protocolVersion": version}
    return request(id, method, {**(params or {}), "_meta": meta | (params or {}).get("_meta", {})})


def initialize(id, version=LEGACY):
    client = {"name": "wire", "version": "1"}
    return request(id, "initialize", {"protocolVersion": version, "capabilities": {}, "clientInfo": client})


def result_bytes(line):
    """The bytes of the member `result` as they stand in a JSON-RPC response."""
    decoder, at = json.JSONDecoder(), line.index("{") + 1
    while True:
        at = re.compile(r"[\s,]*").match(line, at).end()
        key, at = decoder.raw_decode(line, at)
        at = re.compile(r"\s*:\s*").match(line, at).end()
        start = at
        _, at = decoder.raw_decode(line, at)
        if key == "result":
            return line[start:at]


def is_json_rpc(line):
    try:
        message = json.loads(line)
    except ValueError:
        return False
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return False
    if "method" in message:
        return isinstance(message["method"], str) and "result" not in message and "error" not in message
    if "error" in message:
        return isinstance(message["error"].get("code"), int) and isinstance(message["error"].get("message"), str)
    return "result" in message and "id" in message


class Stdio:
    """One stdio server. Every line that it prints must be a JSON-RPC message, whatever the test is about."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.lines, self.answers = queue.Queue(), {}
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self):
        for line in self.process.stdout:
            self.lines.put(line.decode())
        self.lines.put(None)

    def send(self, message):
        raw = message if isinstance(message, bytes) else json.dumps(message).encode()
        try:
            self.process.stdin.write(raw + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(f"the server no longer reads; exit code {self.process.poll()}") from None

    def take(self, deadline):
        """One line into `answers`; False at the end of the output."""
        try:
            line = self.lines.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"no answer within {REPLY_S} s") from None
        if line is None:
            return False
        assert is_json_rpc(line), f"a line on stdout is no JSON-RPC message: {line[:500]!r}"
        message = json.loads(line)
        if "method" not in message and message.get("id") is not None:
            assert message["id"] not in self.answers, f"answered twice: {line[:500]!r}"
            self.answers[message["id"]] = (message, line)
        return True

    def answer(self, id):
        deadline = time.monotonic() + REPLY_S
        while id not in self.answers:
            assert self.take(deadline), f"the output ended before the answer {id!r}; exit code {self.process.wait(5)}"
        return self.answers[id]

    def ask(self, message):
        self.send(message)
        return self.answer(message["id"])[0]

    def close(self, label):
        self.process.stdin.close()
        begun = time.monotonic()
        try:
            code = self.process.wait(EOF_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = f"still running after {EOF_S} s"
        check(f"{label}: end of input ends the server with 0 within {EOF_S} s", code == 0, code)
        while self.take(begun + REPLY_S):
            pass


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone_within(pid, seconds):
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(pid)


def bad_input(command, word):
    server = Stdio(command)
    server.send(b"this is not JSON")
    server.send(b'{"jsonrpc": "2.0", "id": 90, "method": ')
    server.send(b"\xff\xfe\x00")
    server.send(json.dumps([request(91, "tools/list"), request(92, "ping")]).encode())
    early = server.ask(request(1, "tools/list"))
    check("a request before initialize is an error, not an end", "error" in early, early)
    hello = server.ask(initialize(2))
    check("initialize is answered after malformed lines and a batch", hello["result"]["protocolVersion"] == LEGACY, hello)
    server.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    server.send(b'{"jsonrpc": "2.0", "id": 93, "method": "ping", "params": {"x": "' + b"x" * OVERSIZED + b'"}}')
    found = server.ask(request(3, "tools/call", {"name": "search", "arguments": {"query": word}}))
    check("search answers after a line of 17 MiB", found["result"]["structuredContent"]["hits"], found)
    found = server.ask(request(4, "no/such/method"))
    check("an unknown method is an error", found["error"]["code"] == -32601, found)
    found = server.ask(request("a string", "ping"))
    check("ids may be strings", found["result"] == {}, found)
    server.send(b"}{")
    listed = server.ask(request(5, "tools/list"))["result"]["tools"]
    check("tools/list answers after malformed lines amid a session", listed)
    ingest = next(tool for tool in listed if tool["name"] == "ingest")
    names = ingest["inputSchema"]["properties"].get("op", {}).get("enum", [])
    op = next((name for name in names if re.fullmatch(r"re_?index", name)), None)
    check("ingest offers an `op` that re-indexes", op, names)
    server.send(request(6, "tools/call", {"name": "ingest", "arguments": {"op": op}}))
    server.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 6, "reason": "test"}})
    server.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 4711}})
    status = server.ask(request(7, "tools/call", {"name": "index_status", "arguments": {}}))
    check("index_status answers after a cancelled ingest", not status["result"].get("isError"), status)
    server.close("a legacy session")


def eras(command):
    """Raw `tools/list` results by era, after checking what each era asks of a stdio server."""
    server = Stdio(command)
    found = server.ask(modern(1, "server/discover"))["result"]
    check("server/discover names the modern version", MODERN in found["supportedVersions"], found)
    check("server/discover names the tools capability", "tools" in found["capabilities"], found)
    listed = server.ask(modern(2, "tools/list"))["result"]
    cached = listed.get("resultType") == "complete" and listed.get("ttlMs", -1) >= 0
    check("a modern list has its result type and caching hints", cached and listed.get("cacheScope"), listed.keys())
    error = server.ask(modern(3, "tools/list", version="1999-01-01"))["error"]
    check("an unknown version is -32022 with those known", error["code"] == -32022 and MODERN in error["data"]["supported"], error)
    raw = {MODERN: result_bytes(server.answer(2)[1])}
    server.close("a modern session")

    for asked, given in (("2024-11-05", "2024-11-05"), ("2099-01-01", LEGACY), (MODERN, LEGACY), (LEGACY, LEGACY)):
        server = Stdio(command)
        version = server.ask(initialize(1, asked))["result"]["protocolVersion"]
        check(f"initialize with {asked} gives {given}", version == given, version)
        server.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        server.send(request(2, "tools/list"))
        raw[LEGACY] = result_bytes(server.answer(2)[1])
        server.close(f"a session opened with {asked}")

    for _ in range(3):
        server = Stdio(command)
        server.close("no handshake")
    return raw


def orphan(command):
    """Kills the process between us and the server, while the server's pipes stay open on our side."""
    to_server, from_us = os.pipe()
    to_us, from_server = os.pipe()
    start = "import subprocess, sys; p = subprocess.Popen(sys.argv[1:]); print(p.pid, file=sys.stderr, flush=True); p.wait()"
    parent = subprocess.Popen(
        [sys.executable, "-c", start, *command], stdin=to_server, stdout=from_server, stderr=subprocess.PIPE
    )
    pid = int(parent.stderr.readline())
    threading.Thread(target=parent.stderr.read, daemon=True).start()  # the server logs there too
    os.write(from_us, json.dumps(initialize(1)).encode() + b"\n")
    ready, _, _ = select.select([to_us], [], [], START_S)
    check("the server below a parent answers", ready and is_json_rpc(os.read(to_us, MIB).split(b"\n")[0]))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    gone = gone_within(pid, ORPHAN_S)
    if not gone:
        os.kill(pid, signal.SIGKILL)
    check(f"a killed parent ends the server within {ORPHAN_S} s, input still open", gone)
    for end in (to_server, from_us, to_us, from_server):
        os.close(end)


class Http:
    """One HTTP server on a port of its choice."""

    def __init__(self, synod, data):
        self.process = subprocess.Popen(
            [synod, "serve", "--http", "127.0.0.1:0", "--data", data],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        announced = queue.Queue()

        def drain():
            for line in self.process.stderr:
                bound = re.search(r"listening on http://127\.0\.0\.1:(\d+)", line)
                if bound:
                    announced.put(int(bound[1]))
            announced.put(None)

        threading.Thread(target=drain, daemon=True).start()
        try:
            self.port = announced.get(timeout=START_S)
        except queue.Empty:
            self.port = None
        check("the HTTP server prints the address it is bound to", self.port, self.process.poll())

    def send(self, method, path, body=None, **headers):
        """Status, headers (a message object) and body. A header given as None is left out; `_` stands for `-`."""
        sent = {"Host": f"127.0.0.1:{self.port}"}
        if body is not None:
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent |= {"Content-Type": "application/json", "Accept": BOTH, "Content-Length": str(len(body))}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REPLY_S)
        try:
            return exchange(connection, method, path, sent, body)
        finally:
            connection.close()


def exchange(connection, method, path, headers, body=None):
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(body)
    reply = connection.getresponse()
    return reply.status, reply.headers, reply.read()


def reply_line(headers, body):
    """The JSON-RPC response in a JSON or an event-stream body, as text."""
    text = body.decode()
    if headers.get_content_type() != "text/event-stream":
        return text
    for line in text.splitlines():
        if line.startswith("data:") and line[5:].strip():
            message = json.loads(line[5:])
            if "method" not in message:
                return line[5:].strip()
    raise AssertionError(f"an event stream without a response: {text[:500]!r}")


def as_json(body):
    try:
        return json.loads(body)
    except ValueError:
        return None


def modern_headers(message):
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": message["method"]}
    name = message["params"].get("name") or message["params"].get("uri")
    return headers | ({"Mcp-Name": name} if name else {})


def http_doors(server):
    own, legacy = f"http://127.0.0.1:{server.port}", {"MCP-Protocol-Version": LEGACY}
    ask = request(1, "tools/list")
    for path in ("/mcp", "/v1/search?query=x", "/sse"):
        verb, body = ("POST", ask) if path == "/mcp" else ("GET", None)
        status, _, _ = server.send(verb, path, body, Host="evil.example")
        check(f"{path}: a foreign Host is refused with 403", status == 403, status)
        for origin in ("http://evil.example", "null", f"{own}.evil.example"):
            status, _, _ = server.send(verb, path, body, Origin=origin)
            check(f"{path}: Origin {origin} is refused with 403", status == 403, status)
    status, _, body = server.send("POST", "/mcp", ask, Origin=own, **legacy)
    check("/mcp: own Host and Origin are served", status == 200, (status, body))
    status, _, body = server.send("POST", "/mcp", ask, **legacy)
    check("/mcp: no Origin is served", status == 200, (status, body))
    status, _, _ = server.send("GET", "/mcp", Accept="text/event-stream")
    check("/mcp: GET is 405", status == 405, status)
    status, _, body = server.send("POST", "/mcp", ask, MCP_Protocol_Version="1999-01-01")
    check("/mcp: an unknown version header is 400 with a JSON error", status == 400 and "error" in (as_json(body) or {}), (status, body))
    message = modern(1, "tools/list", version="1999-01-01")
    status, _, body = server.send("POST", "/mcp", message, **modern_headers(message) | {"MCP-Protocol-Version": "1999-01-01"})
    error = (as_json(body) or {}).get("error", {})
    check("/mcp: an unknown modern version is 400 and -32022", status == 400 and error.get("code") == -32022, (status, body))
    message = modern(1, "tools/list")
    status, _, body = server.send("POST", "/mcp", message, **modern_headers(message) | {"Mcp-Method": "tools/call"})
    error = (as_json(body) or {}).get("error", {})
    check("/mcp: a header that belies the body is 400 and -32020", status == 400 and error.get("code") == -32020, (status, body))
    status, _, body = server.send("POST", "/mcp", ask, Accept="text/html", **legacy)
    check("/mcp: an Accept without JSON is 406", status == 406, (status, body))
    status, _, body = server.send("POST", "/mcp", b"this is not JSON", **legacy)
    check("/mcp: a body that is not JSON is refused", 400 <= status < 500, (status, body))
    check("/mcp: a body over the limit is 413", oversized_status(server) == 413, "another status")
    status, _, _ = server.send("POST", "/mcp", ask, **legacy)
    check("/mcp: serves on after all that", status == 200, status)


def oversized_status(server):
    """Sends 17 MiB piece by piece and stops as soon as the server has answered."""
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\nAccept: {BOTH}\r\n"
        f"MCP-Protocol-Version: {LEGACY}\r\nContent-Length: {OVERSIZED}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=REPLY_S) as line:
        line.sendall(head.encode())
        left = OVERSIZED
        while left and not select.select([line], [], [], 0.5 if left == OVERSIZED else 0)[0]:
            try:
                left -= line.send(b" " * min(left, 1 << 16))
            except OSError:
                break
        return int(line.recv(64).split()[1])


def http_surface(server, word):
    for path in ("/health", "/ready"):
        status, _, body = server.send("GET", path)
        check(f"{path} is 200", status == 200, (status, body))
    status, _, body = server.send("GET", "/v1/openapi.json")
    document = as_json(body) or {}
    paths = document.get("paths", {})
    check("/v1/openapi.json is OpenAPI 3 with the search route", status == 200 and "/v1/search" in paths, (status, list(paths)))
    status, _, body = server.send("GET", f"/v1/search?query={word}")
    check("/v1/search finds the word", status == 200 and (as_json(body) or {}).get("hits"), (status, body))
    status, _, body = server.send("GET", "/v1/search")
    error = (as_json(body) or {}).get("error", {})
    shaped = {"code", "message", "hint", "correlation_id"} <= set(error)
    check("/v1/search without a query is 400 with the one error shape", status == 400 and shaped, (status, body))
    with socket.create_connection(("127.0.0.1", server.port), timeout=REPLY_S) as line:
        line.sendall(f"GET /sse HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAccept: text/event-stream\r\n\r\n".encode())
        said = b""
        while b"/messages" not in said or not said.rstrip(b"\r\n0").split(b"/messages")[-1]:
            more = line.recv(4096)
            assert more, f"/sse ended early: {said!r}"
            said += more
        opened = b"event: endpoint" in said and re.search(rb"data: \S*/messages\?session_?[iI]d=\S+", said)
        check("/sse opens with its endpoint event", opened, said)
    status, _, _ = server.send("POST", "/messages?sessionId=no-such-session", request(1, "ping"))
    check("/messages of an unknown session is refused", 400 <= status < 500, status)


def same_lists(server, over_stdio):
    message = request(1, "tools/list")
    status, headers, body = server.send("POST", "/mcp", message, MCP_Protocol_Version=LEGACY)
    line = reply_line(headers, body)
    check("the legacy tool list has the same bytes on stdio and HTTP", result_bytes(line) == over_stdio[LEGACY], line)
    message = modern(1, "tools/list")
    status, headers, body = server.send("POST", "/mcp", message, **modern_headers(message))
    line = reply_line(headers, body)
    check("the modern tool list has the same bytes on stdio and HTTP", result_bytes(line) == over_stdio[MODERN], line)


def nodelay(server):
    calls = {
        "tools/list": modern(1, "tools/list"),
        "index_status": modern(1, "tools/call", {"name": "index_status", "arguments": {}}),
        "index_status with progress": modern(
            1, "tools/call", {"name": "index_status", "arguments": {}, "_meta": {"progressToken": "p"}}
        ),
    }
    for label, message in calls.items():
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=REPLY_S)
        body = json.dumps(message).encode()
        headers = {
            "Host": f"127.0.0.1:{server.port}", "Content-Type": "application/json", "Accept": BOTH,
            "Content-Length": str(len(body)), **modern_headers(message),
        }
        took_ms = []
        for _ in range(NODELAY_CALLS):
            begun = time.perf_counter()
            status, _, reply = exchange(connection, "POST", "/mcp", headers, body)
            took_ms.append((time.perf_counter() - begun) * 1000)
            assert status == 200, f"{label}: status {status}, {reply[:500]!r}"
        connection.close()
        median = statistics.median(took_ms)
        check(f"{label}: median of {NODELAY_CALLS} calls is under {NODELAY_MEDIAN_MS} ms", median < NODELAY_MEDIAN_MS, median)


def is_loopback(address):
    """An address of /proc/net: host byte order in groups of 8 hex digits."""
    octets = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
    if len(octets) == 16 and octets[:12] == bytes(10) + b"\xff\xff":
        octets = octets[12:]
    return octets == bytes(15) + b"\x01" if len(octets) == 16 else octets[0] == 127


def foreign_sockets(pid):
    """Sockets of a process that are bound or connected off loopback, and how many it has at all."""
    own = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(fd)))
        except OSError:
            pass
    foreign, n_own = [], 0
    for name in ("tcp", "tcp6", "udp", "udp6"):
        table = Path(f"/proc/{pid}/net/{name}")
        for row in table.read_text().splitlines()[1:] if table.exists() else []:
            columns = row.split()
            if columns[9] not in own:
                continue
            n_own += 1
            local, remote = (column.split(":")[0] for column in columns[1:3])
            if not is_loopback(local) or (remote.strip("0") and not is_loopback(remote)):
                foreign.append(f"{name} {columns[1]} {columns[2]}")
    return foreign, n_own


def without_network(command, word):
    """A whole session where no network but loopback exists, if this machine lets us make such a place."""
    raise_lo = (
        "import fcntl, os, socket, struct, sys\n"
        "fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8914, struct.pack('16sH22x', b'lo', 1))\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    for alone in (["unshare", "-n"], ["unshare", "-rn"]):
        try:
            permitted = subprocess.run([*alone, "true"], capture_output=True).returncode == 0
        except FileNotFoundError:
            permitted = False
        if permitted:
            server = Stdio([*alone, sys.executable, "-c", raise_lo, *command])
            break
    else:
        server = Stdio(command)
    server.ask(initialize(1))
    server.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    found = server.ask(request(2, "tools/call", {"name": "search", "arguments": {"query": word}}))
    place = "without any network" if permitted else "on stdio"
    check(f"search works {place}", found["result"]["structuredContent"]["hits"], found)
    foreign, _ = foreign_sockets(server.process.pid)
    check("a stdio server has no socket off loopback", not foreign, foreign)
    server.close(f"a session {place}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--synod", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--word", required=True)
    args = parser.parse_args()
    synod = os.path.abspath(args.synod)
    command = [synod, "serve", "--stdio", "--data", args.data]
    server = None
    try:
        bad_input(command, args.word)
        over_stdio = eras(command)
        orphan(command)
        without_network(command, args.word)
        server = Http(synod, args.data)
        http_doors(server)
        http_surface(server, args.word)
        same_lists(server, over_stdio)
        nodelay(server)
        foreign, n_own = foreign_sockets(server.process.pid)
        check("the HTTP server has no socket off loopback", n_own > 0 and not foreign, foreign)
        server.process.terminate()
        check("SIGTERM ends the HTTP server within 5 s", gone_within(server.process.pid, 5))
        said = server.process.stdout.read()
        check("the HTTP server keeps its stdout empty", said == "", said)
    except Exception as error:
        print(f"FAIL after {n_checks} checks: {type(error).__name__}: {error}", flush=True)
        if not isinstance(error, AssertionError):
            raise
        sys.exit(1)
    finally:
        if server and server.process.poll() is None:
            server.process.kill()
    print(f"ok {n_checks} checks")


if __name__ == "__main__":
    main()

"""A feature from the idea to its last task, as an assistant goes about it: the official Python client, a running synod,
and a project that the published Spec-Kit CLI made.
    spec_flow.py --synod BINARY --specify PROGRAM
Stops at the first failure with exit code 1.
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters

WHOLE_RUN_S = 240
SPEC = """# Feature Specification: Share albums

**Feature Branch**: `{name}`
**Created**: 2026-01-31
**Status**: Draft
**Input**: User description: "Share albums with friends"

## User Scenarios & Testing *(mandatory)*

### User Story 1 - Share a link (Priority: P1)

A person shares an album by a link.

**Why this priority**: It is the point.

**Independent Test**: Open the link elsewhere.

**Acceptance Scenarios**:

1. **Given** an album, **When** it is shared, **Then** a link is shown.

### User Story 2 - Take it back (Priority: P2)

A person takes the link back.

**Acceptance Scenarios**:

1. **Given** a link, **When** it is taken back, **Then** it opens nothing.

### Edge Cases

- What happens when the album is empty?

## Requirements *(mandatory)*

### Functional Requirements

- **FR-001**: System MUST make a link for an album.
- **FR-002**: System MUST end a link after [NEEDS CLARIFICATION: how many days?].
- **FR-003**: System MUST let its owner take a link back.

## Success Criteria *(mandatory)*

### Measurable Outcomes

- **SC-001**: Nine of ten people share an album within a minute.
"""
TASKS = """# Tasks: Share albums

## Phase 1: Setup

- [ ] T001 Create the project in src/
- [ ] T002 [P] Configure linting in ruff.toml

## Phase 2: User Story 1 - Share a link (Priority: P1)

- [ ] T003 [US1] Make links in src/link.py (FR-001, FR-002, SC-001)
- [ ] T004 [P] [US1] Show the link in src/page.py (depends on T003)
"""
n_checks = 0


def check(label, holds, found=""):
    global n_checks
    assert holds, f"{label}; found {found!r}"
    n_checks += 1
    print(f"  {label}", flush=True)


class Assistant:
    """Calls tools and fails when a tool does."""

    def __init__(self, client):
        self.client = client

    async def call(self, tool, **args):
        result = await self.client.call_tool(tool, args)
        text = "\n".join(block.text for block in result.content if block.type == "text")
        assert not result.is_error, f"{tool} {args}: {text}"
        return result.structured_content

    async def refused(self, tool, **args):
        result = await self.client.call_tool(tool, args)
        assert result.is_error, f"{tool} {args} should have failed"
        return "\n".join(block.text for block in result.content if block.type == "text")


async def idea_to_spec(ask, root):
    made = await ask.call("spec_create", description="I want to share albums with friends")
    check("the CLI's rules name the feature", made["name"] == "001-share-albums-friends", made)
    name, path = made["name"], root / made["path"]
    template = await ask.call("spec_run", command="template", args=["spec-template"])
    content = json.dumps(template["result"])
    check("the project's template is read", "Functional Requirements" in content, content[:200])
    draft = await ask.call("spec_read", feature=name, what="spec.md#Requirements")
    check("the new spec is that template", "FR-001" in json.dumps(draft), draft)
    (path / "spec.md").write_text(SPEC.format(name=name))
    found = await ask.call("spec_validate", feature=name)
    check("an open question is found", "how many days" in json.dumps(found), found)
    await ask.call("spec_update", feature=name, op="answer", id="how many days?", text="Thirty")
    now = (path / "spec.md").read_text()
    check("its answer stands in the spec", "Thirty" in now and "NEEDS CLARIFICATION" not in now, now)
    return name, path


async def spec_to_tasks(ask, name, path):
    prompts = await ask.client.list_prompts()
    names = [prompt.name for prompt in prompts.prompts]
    check("the CLI's commands are prompts", {"speckit_plan", "speckit_tasks"} <= set(names), names)
    got = await ask.client.get_prompt("speckit_plan", {"arguments": "in Python", "feature": "001"})
    text = got.messages[0].content.text
    check("a prompt brings the spec along", "in Python" in text and "FR-003" in text, text[-400:])
    dry = await ask.call("spec_run", command="plan", feature=name, dry_run=True, any_branch=True)
    planned = next(a for a in dry["artifacts"] if a["path"].endswith("plan.md"))
    check("a dry run writes nothing", not (path / "plan.md").exists() and planned["text"], dry)
    await ask.call("spec_run", command="plan", feature=name, any_branch=True)
    written = (path / "plan.md").read_text()
    check("the plan is what the dry run showed", written.strip() == planned["text"].strip(), written[:200])
    (path / "tasks.md").write_text(TASKS)
    found = await ask.call("spec_validate", feature=name)
    check("a requirement without a task is found", "FR-003" in json.dumps(found["coverage"]), found)
    added = await ask.call("spec_update", feature=name, op="append", id="Phase 2", text="[US1] Take links back in src/link.py (FR-003)")
    check("a task is added with the next number", added["ids"] == ["T005"], added)
    found = await ask.call("spec_validate", feature=name)
    check("every requirement has its task", "FR-" not in json.dumps(found["coverage"].get("uncovered", [])), found)


async def tasks_to_done(ask, root, name, path):
    order = []
    while True:
        found = await ask.call("spec_next", feature=name)
        if not found["tasks"]:
            break
        task = found["tasks"][0]
        slice_ = await ask.call("spec_read", feature=name, what=task["id"])
        check(f"{task['id']} is read with what it stands on", task["text"][:20] in json.dumps(slice_), slice_)
        order.append(task["id"])
        await ask.call("spec_update", feature=name, op="tick", id=task["id"], hash=found["hash"])
        assert len(order) < 20, order
    check("tasks come in their order", order == ["T001", "T002", "T003", "T004", "T005"], order)
    text = (path / "tasks.md").read_text()
    wanted = TASKS.rstrip("\n").replace("[ ]", "[X]").lower()
    check("only boxes changed", text.lower().startswith(wanted), text)
    stale = await ask.refused("spec_update", feature=name, op="untick", id="T001", hash="0" * 16)
    check("a stale hash is refused", "changed" in stale, stale)
    listed = await ask.call("spec_list")
    feature = listed["features"][0]
    check("the feature is done", (feature["stage"], feature["tasks_done"]) == ("done", 5), listed)
    ours = await ask.call("spec_run", command="prerequisites", feature=name, args=["--require-tasks", "--include-tasks"])
    script = root / ".specify/scripts/bash/check-prerequisites.sh"
    env = dict(os.environ, SPECIFY_FEATURE_DIRECTORY=f"specs/{name}", SPECIFY_FEATURE_NO_PERSIST="1")
    theirs = subprocess.run(
        ["bash", str(script), "--json", "--require-tasks", "--include-tasks"],
        cwd=root, env=env, capture_output=True, text=True, timeout=60, check=True,
    )
    theirs = json.loads(theirs.stdout)
    check("the project's own script agrees", ours["result"] == theirs, (ours["result"], theirs))


async def found_by_search(ask):
    for _ in range(100):
        found = await ask.call("search", query="take a link back", collection="specs")
        paths = [hit["path"] for hit in found["hits"]]
        if any(path.endswith("tasks.md") for path in paths):
            break
        await anyio.sleep(0.1)
    check("the feature is found by search", any(path.endswith("tasks.md") for path in paths), paths)
    status = await ask.client.read_resource("spec://album/001-share-albums-friends/T003")
    text = status.contents[0].text
    check("a task is a resource", "T003" in text and "FR-002" in text, text)


async def flow(synod, specify, scratch):
    root = scratch / "album"
    root.mkdir()
    subprocess.run(
        [specify, "init", "--here", "--integration", "claude", "--script", "sh", "--non-interactive", "--ignore-agent-tools"],
        cwd=root, check=True, capture_output=True, timeout=120,
    )
    data = scratch / "data"
    subprocess.run([synod, "index", str(root), "--wait", "--data", str(data)], check=True, capture_output=True, timeout=120)
    server = StdioServerParameters(command=synod, args=["serve", "--stdio", "--allow-write", "--data", str(data)])
    async with Client(server) as client:
        ask = Assistant(client)
        name, path = await idea_to_spec(ask, root)
        await spec_to_tasks(ask, name, path)
        await tasks_to_done(ask, root, name, path)
        await found_by_search(ask)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--synod", required=True)
    parser.add_argument("--specify", required=True)
    args = parser.parse_args()
    synod, specify = str(Path(args.synod).resolve()), str(Path(args.specify).absolute())

    async def bounded(scratch):
        with anyio.fail_after(WHOLE_RUN_S):
            await flow(synod, specify, scratch)

    with tempfile.TemporaryDirectory() as scratch:
        anyio.run(bounded, Path(scratch).resolve())
    print(f"{n_checks} checks")


if __name__ == "__main__":
    main()

"""Compares the engine with the published CLI's own scripts and prints every difference.

    speckit.py SPECIFY DRIVER [CASES]

SPECIFY is the path of the `specify` program (its virtual environment's Python runs the Python
scripts), DRIVER that of `examples/speckit_driver`. Nothing outside a temporary folder is touched
and no network is used. Exits with 1 if anything differs.
"""

import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SPECIFY, DRIVER = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
CASES = int(sys.argv[3]) if len(sys.argv) > 3 else 3000
PYTHON = SPECIFY.parent / "python"
TOP = Path(tempfile.mkdtemp(prefix="speckit-compare-")).resolve()
ENV = {
    "PATH": os.environ["PATH"], "HOME": str(TOP), "LC_ALL": "C.UTF-8", "NO_COLOR": "1",
    "TERM": "dumb", "SPECKIT_PYTHON_EXECUTABLE": str(PYTHON), "PYTHONDONTWRITEBYTECODE": "1",
}
different = 0
checked = 0

driver = subprocess.Popen([DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                          encoding="utf-8", env={"PATH": os.environ["PATH"], "HOME": str(TOP)})


def ask(**request):
    driver.stdin.write(json.dumps(request) + "\n")
    driver.stdin.flush()
    return json.loads(driver.stdout.readline())


def same(what, wanted, found):
    global different, checked
    checked += 1
    if wanted != found:
        different += 1
        print(f"DIFFERENT {what}\n  scripts {wanted!r}\n  engine  {found!r}")


def specify(folder, *args):
    done = subprocess.run([SPECIFY, *args], cwd=folder, env=ENV, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)
    if done.returncode:
        print("specify", args, done.stdout[-500:], done.stderr[-500:])
    return done


def script(root, kind, name, *args, feature=None, python=PYTHON):
    """Runs a script of the project and gives its status, JSON or complaint, without the root."""
    env = dict(ENV, SPECIFY_FEATURE_NO_PERSIST="1")
    if feature:
        env["SPECIFY_FEATURE_DIRECTORY"] = feature
    if kind == "sh":
        command = ["bash", f".specify/scripts/bash/{name}.sh"]
    else:
        command = [str(python), f".specify/scripts/python/{name.replace('-', '_')}.py"]
    done = subprocess.run([*command, *args], cwd=root, env=env, capture_output=True, text=True,
                          encoding="utf-8", stdin=subprocess.DEVNULL)
    if done.returncode:
        errors = [l.split(":", 1)[1].strip() if l[:6].upper() == "ERROR:" else l
                  for l in done.stderr.strip().splitlines()]
        return "; ".join(errors).replace(str(root), "ROOT")
    out = done.stdout.replace(str(root), "ROOT")
    try:
        return json.loads(out)
    except ValueError:
        return out


def ours(root, reply, key=None):
    """The driver's answer in the same form."""
    text = json.dumps(reply, ensure_ascii=False).replace(str(root), "ROOT")
    reply = json.loads(text)
    if "error" in reply:
        return reply["error"]
    return reply["ok"][key] if key else reply["ok"]


def tree(root):
    specs = root / "specs"
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(specs.rglob("*")) if p.is_file()}


def copies(base, *names):
    out = []
    for name in names:
        to = TOP / name
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(base, to, symlinks=True)
        out.append(to)
    return out


# --- projects -----------------------------------------------------------------------------------

specify(TOP, "init", "base", "--integration", "none", "--non-interactive", "--ignore-agent-tools",
        "--script", "py")
BASE = TOP / "base"
info = ask(op="project", project=str(BASE / ".specify"))["ok"]
version = json.loads(specify(TOP, "version", "--json").stdout)["cli_version"]
same("version", version, info["version"])
same("no integration", None, info["integration"])

# --- names: the Python functions themselves, on many texts ---------------------------------------

sys.path.insert(0, str(BASE / ".specify/scripts/python"))
sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location(
    "create_new_feature", BASE / ".specify/scripts/python/create_new_feature.py")
module = importlib.util.module_from_spec(spec)
sys.modules["create_new_feature"] = module
spec.loader.exec_module(module)

import unicodedata

random.seed(7)
WORDS = ["Add", "the", "OAuth2", "UI", "ui", "API", "for", "user's", "X_UI", "a", "I", "日本語の機能",
         "créer", "système", "Ⅷ", "①", "नमस्ते", "é", "e\u0301", "²", "٣٤", "ß", "İ", "-n", "--", "!!!",
         "C++", "data-base", "\t", "\u00a0", "\u200b", "ΑΒΓ", "go", "GO,", "(DB)", "🎯", "ﬁ", "ǅ"]


def a_text():
    if random.random() < 0.6:
        return " ".join(random.choice(WORDS) for _ in range(random.randint(1, 9)))
    n = random.choice([1, 5, 30, 300])
    points = (random.choice([random.randint(32, 126), random.randint(160, 0x2FFF),
                             random.randint(0x3000, 0xD7FF), random.randint(0x10000, 0x1FFFF)])
              for _ in range(n))
    # What this Python does not know yet cannot be compared.
    return "".join(c for c in map(chr, points) if unicodedata.category(c) not in ("Cn", "Co"))


texts = [a_text() for _ in range(CASES)]
for text in texts:
    stripped = text.strip()
    wanted = [module._generate_branch_name(stripped), module._clean_branch_name(text),
              module._fit_branch_name("001", module._clean_branch_name(text))]
    same(f"name of {text!r}", wanted, ask(op="slug", text=text)["ok"])

# --- create-new-feature ---------------------------------------------------------------------------

sh, py, rs = copies(BASE, "sh", "py", "rs")
STEPS = [
    ("I want to add OAuth2 integration for the API", {}),
    ("Fix UI bug", {}),
    ("a an the to", {}),
    ("!!!", {}),
    ("Créer un système d'authentification", {}),
    ("日本語の機能", {}),
    ("Photo albums", {"short_name": "User Auth!"}),
    ("Photo albums", {"number": 42}),
    ("Photo albums", {"number": 1}),
    ("Photo albums", {"number": 999}),
    ("After a thousand", {}),
    ("Long", {"short_name": "é" * 300}),
    ("Long", {"short_name": "word-" * 80}),
    ("Dry", {"dry_run": True}),
    ("Photo albums", {"number": 42, "allow_existing": True}),
    ("x" * 10, {"number": 2**63 - 1}),
    ("after the last", {}),
    ("   ", {}),
]
for text, options in STEPS:
    flags = ["--json"]
    for key, value in options.items():
        name = {"allow_existing": "allow-existing-branch"}.get(key, key).replace("_", "-")
        flags += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    found = ours(rs, ask(op="create", project=str(rs), description=text, **options), None)
    found = found["script"] if isinstance(found, dict) else "refused"
    for kind, root in (("sh", sh), ("py", py)):
        wanted = script(root, kind, "create-new-feature", *flags, text)
        wanted = wanted if isinstance(wanted, dict) else "refused"
        same(f"create {text!r} {options} ({kind})", wanted, found)
same("files after creating (sh)", tree(sh), tree(rs))
same("files after creating (py)", tree(py), tree(rs))
stamp = ask(op="create", project=str(rs), description="Albums", timestamp="20260131-120000")["ok"]
same("timestamp", ["20260131-120000-albums", "20260131-120000"],
     [stamp["script"]["BRANCH_NAME"], stamp["script"]["FEATURE_NUM"]])

# --- setup and prerequisites in every state of a feature ---------------------------------------------

DOCS = ["spec.md", "plan.md", "tasks.md", "research.md", "data-model.md", "quickstart.md",
        "contracts/api.yaml"]


def states():
    yield {}
    yield {"plan.md": ""}
    for n in range(40):
        yield {doc: random.choice(["x\n", "y"]) for doc in DOCS if random.random() < 0.6}


CHECKS = [{}, {"spec": True}, {"tasks": True}, {"tasks": True, "include_tasks": True},
          {"spec": True, "include_tasks": True, "template": "tasks-template"},
          {"template": "no-template"}]
for number, state in enumerate(states()):
    sh, py, rs = copies(BASE, "sh", "py", "rs")
    for root in (sh, py, rs):
        feature = root / "specs/001-albums"
        (feature / "contracts").mkdir(parents=True)
        for doc, text in state.items():
            (feature / doc).write_text(text)
    name = {"project": str(rs), "feature": "001"}
    kinds = (("sh", sh), ("py", py)) if number < 8 else (("py", py),)
    for kind, root in kinds:
        where = "specs/001-albums"
        same(f"paths {kind} {state}",
             script(root, kind, "check-prerequisites", "--json", "--paths-only", feature=where),
             ours(rs, ask(op="paths", **name)))
        for check in CHECKS:
            flags = ["--json"]
            for key, value in check.items():
                flag = {"spec": "--require-spec", "tasks": "--require-tasks"}.get(
                    key, "--" + key.replace("_", "-"))
                flags += [flag] if value is True else [flag, value]
            wanted = script(root, kind, "check-prerequisites", *flags, feature=where)
            found = ours(rs, ask(op="check-prerequisites", **name, **check))
            if check.get("template") == "no-template":
                # The hint is ours; the complaint is the same.
                wanted = wanted if "resolve" not in str(wanted) else "no template"
                found = found if "resolve" not in str(found) else "no template"
            same(f"check {check} {kind} {state}", wanted, found)
        same(f"setup-tasks {kind} {state}",
             script(root, kind, "setup-tasks", "--json", feature=where),
             ours(rs, ask(op="setup-tasks", **name)))
    dry = ask(op="setup-plan", dry_run=True, **name)["ok"]
    had = (rs / "specs/001-albums/plan.md").exists()
    same(f"dry setup-plan {state}", had, dry["text"] is None)
    same(f"dry setup-plan writes nothing {state}", had,
         (rs / "specs/001-albums/plan.md").exists())
    found = ours(rs, ask(op="setup-plan", **name), "script")
    for kind, root in kinds:
        same(f"setup-plan {kind} {state}",
             script(root, kind, "setup-plan", "--json", feature="specs/001-albums"), found)
        same(f"files after setup-plan {kind}", tree(root), tree(rs))

# --- templates through the layers ---------------------------------------------------------------------

MANIFEST = """schema_version: "1.0"
preset:
  id: "{id}"
provides:
  templates:
    - type: "command"
      name: "speckit.plan"
      file: "commands/x.md"
    - type: template
      name: "spec-template"   # which
      file: 'mine/spec.md'
      description: "a: b"
      strategy: {strategy}
tags:
  - "x"
"""
LAYERS = {
    "core": ("templates/spec-template.md", "core\r\n"),
    "extension-b": ("extensions/b/templates/spec-template.md", "extension b"),
    "extension-a": ("extensions/a/spec-template.md", "extension a"),
    "preset-z": ("presets/z/templates/spec-template.md", "preset z\n\n"),
    "preset-y": ("presets/y/spec-template.md", "preset y"),
    "manifest": ("presets/m/preset.yml", MANIFEST.format(id="m", strategy="replace")),
    "manifest-file": ("presets/m/mine/spec.md", "manifest"),
    "odd-name": ("presets/Odd_Name/spec-template.md", "odd"),
    "registry": ("presets/.registry", '{"presets":{"z":{"priority":1},"y":{"priority":"3"},'
                                      '"m":{"priority":2},"gone":{}}}'),
    "registry-off": ("presets/.registry", '{"presets":{"z":{"enabled":false},"y":{"priority":0}}}'),
    "registry-broken": ("presets/.registry", "{"),
    "registry-ext": ("extensions/.registry", '{"extensions":{"b":{"priority":5},"a":{"enabled":false}}}'),
    "override": ("templates/overrides/spec-template.md", "override ü"),
}
refusals = 0
for _ in range(60):
    root = copies(BASE, "layers")[0]
    (root / ".specify/templates/spec-template.md").unlink()
    chosen = [name for name in LAYERS if random.random() < (0.15 if name == "override" else 0.45)]
    for name in chosen:
        path, text = LAYERS[name]
        at = root / ".specify" / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(text.encode())
    wanted = script(root, "py", "resolve-template", "spec-template", "--json")
    found = ours(root, ask(op="resolve-template", project=str(root), name="spec-template"))
    refusals += isinstance(wanted, str)
    if isinstance(wanted, str) and isinstance(found, str):
        wanted = found = "refused"
    same(f"layers {chosen}", wanted, found)
print(f"60 stacks of layers, {refusals} of them without the template")
for strategy in ("prepend", "append", "wrap"):
    root = copies(BASE, "layers")[0]
    (root / ".specify/presets/m/mine").mkdir(parents=True)
    (root / ".specify/presets/m/mine/spec.md").write_text("mine {CORE_TEMPLATE}")
    text = MANIFEST.format(id="m", strategy=strategy)
    (root / ".specify/presets/m/preset.yml").write_text(text)
    refused = ask(op="resolve-template", project=str(root), name="spec-template")
    same(f"{strategy} is refused", "Unsupported", refused.get("kind"))

# --- prompts of every integration -----------------------------------------------------------------------

for integration in ("claude", "copilot", "generic", "gemini"):
    options = ["--integration-options=--commands-dir .my/commands/"] if integration == "generic" else []
    specify(TOP, "init", f"with-{integration}", "--integration", integration, "--non-interactive",
            "--ignore-agent-tools", "--script", "sh", *options)
    root = TOP / f"with-{integration}"
    manifest = json.loads((root / f".specify/integrations/{integration}.manifest.json").read_text())
    files = {path for path in manifest["files"] if "speckit" in path and "prompt.md" not in path}
    found = ask(op="prompts", project=str(root))["ok"]
    same(f"commands of {integration}", files, {prompt["path"] for prompt in found})
    import re
    for prompt in found:
        text = (root / prompt["path"]).read_text()
        if prompt["path"].endswith(".toml"):
            import tomllib
            data = tomllib.loads(text)
            wanted = [data["description"], data["prompt"].replace("{{args}}", "$ARGUMENTS").lstrip("\n")]
        else:
            front = re.match(r"---\n(.*?)\n---\n", text, re.S)
            code = "import sys,yaml,json;print(json.dumps(yaml.safe_load(sys.stdin.read())['description']))"
            parsed = subprocess.run([PYTHON, "-c", code], input=front[1], capture_output=True,
                                    text=True, env=ENV)
            wanted = [json.loads(parsed.stdout), text[front.end():].lstrip("\n")]
        same(f"{integration} {prompt['name']}", wanted, [prompt["description"], prompt["text"]])
    common = subprocess.run(
        ["bash", "-c", "source .specify/scripts/bash/common.sh; format_speckit_command plan"],
        cwd=root, env=ENV, capture_output=True, text=True).stdout.strip()
    same(f"invocation of {integration}", common, ask(op="project", project=str(root))["ok"]["plan"])

# --- the CLI through the allow-list ----------------------------------------------------------------------

root = copies(BASE, "cli")[0]
for command, args in [("version", ["--json"]), ("extension add", ["git"]), ("preset add", ["lean"]),
                      ("extension list", ["--json"]), ("preset list", ["--json"]),
                      ("artifact list", ["--json"]), ("preset resolve", ["spec-template"]),
                      ("integration status", ["--json"]), ("integration list", []),
                      ("preset disable", ["lean"]), ("preset set-priority", ["lean", "4"]),
                      ("extension disable", ["git"]), ("extension remove", ["git", "--force"]),
                      ("integration install", ["claude", "--script=sh"]),
                      ("integration use", ["claude"]), ("workflow list", []),
                      ("init", ["--here", "--force", "--integration=claude"]), ("check", [])]:
    done = ask(op="run", project=str(root), program=str(SPECIFY), command=command, args=args)
    status = done.get("ok", {}).get("status")
    same(f"specify {command} {args}", 0, status)
    if status != 0:
        print("   ", json.dumps(done)[:600])
    if "--json" in args and status == 0:
        json.loads(done["ok"]["stdout"])
same("installed by the CLI", "claude", ask(op="project", project=str(root))["ok"]["integration"])

# --- a flow over the template itself -----------------------------------------------------------------------

root = copies(BASE, "flow")[0]
made = ask(op="create", project=str(root), description="Photo albums", activate=True)["ok"]
pointer = (root / ".specify/feature.json").read_bytes()
same("feature.json", b'{"feature_directory":"specs/001-photo-albums"}\n', pointer)
feature = root / made["path"]
tasks = (root / ".specify/templates/tasks-template.md").read_bytes()
(feature / "tasks.md").write_bytes(tasks)
same("template's tasks", (0, 28), tuple(
    ask(op="list", project=str(root))["ok"][0][key] for key in ("tasks_done", "tasks_total")))
name = {"project": str(root), "feature": "001"}
for n in range(1, 29):
    ask(op="tick", id=f"T{n:03}", **name)
import re
wanted = re.sub(rb"- \[ \] (T\d)", rb"- [x] \1", tasks)
same("all ticked", wanted, (feature / "tasks.md").read_bytes())
for n in range(1, 29):
    ask(op="untick", id=f"T{n:03}", **name)
same("all unticked", tasks, (feature / "tasks.md").read_bytes())
same("next", ["T001"], ask(op="next", **name)["ok"]["tasks"])

print(f"{checked} compared with specify {version}, {different} differ")
driver.stdin.close()
shutil.rmtree(TOP, ignore_errors=True)
sys.exit(1 if different else 0)

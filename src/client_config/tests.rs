//! Every client, both launches, and the layouts that users really have; on values only.
//!
//! What touches the disk is tested in `file_tests`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::client::Format;
use super::*;

pub(super) fn stdio() -> Launch {
    Launch::Stdio {
        command: r"C:\Program Files\Synod\synod.exe".to_owned(),
        args: vec!["mcp".to_owned(), "--vault=my notes".to_owned()],
        env: vec![
            ("SYNOD_LOG".to_owned(), "info".to_owned()),
            ("SYNOD_TOKEN".to_owned(), "${SYNOD_TOKEN}".to_owned()),
        ],
    }
}

pub(super) fn http() -> Launch {
    Launch::Http {
        url: "http://127.0.0.1:8931/mcp".to_owned(),
        token_env: Some("SYNOD_TOKEN".to_owned()),
    }
}

/// Every client with every launch that it can have.
pub(super) fn pairs() -> Vec<(&'static Client, Launch)> {
    let both = |client| [(client, stdio()), (client, http())];
    let can = |(client, launch): &(&Client, Launch)| {
        client.http.is_some() || matches!(launch, Launch::Stdio { .. })
    };
    CLIENTS.iter().flat_map(both).filter(can).collect()
}

pub(super) fn client(name: &str) -> &'static Client {
    find(name).unwrap()
}

fn planned(client: &Client, launch: &Launch, before: &str) -> String {
    plan(client, launch, PathBuf::from("f"), Some(before.to_owned())).unwrap().after
}

/// Files that hold other servers; `KEY` stands for the client's key.
const JSON_FILES: &[&str] = &[
    "{\n  \"KEY\": {\n    \"other\": { \"command\": \"x\",  \"args\": [ ] }\n  }\n}\n",
    "{\n  // top\n  \"theme\": \"dark\",\n  \"KEY\": {\n    \
     \"a\": {\"command\": \"x\"}, // about a\n    \
     /* about b */ \"b\": {\"command\": \"y\"} // tail, with comma\n    // last word\n  },\n  \
     \"z\": [1, 2.50, 1e3]\n} // end",
    "{\n\t\"KEY\": {\n\t\t\"a\": {\n\t\t\t\"command\": \"x\",\n\t\t},\n\t},\n\t\"n\": null,\n}\n",
    "{\r\n    \"KEY\": {\r\n        \"a\": {\"url\": \"http://h/?q=//no\"}\r\n    }\r\n}\r\n",
    "{\"KEY\":{\"a\":{\"command\":\"x\"}}}",
    "{\"x\":1, \"KEY\": { \"a\" : { \"command\" : \"{,}\" } , /* , */ } }\n",
    "\u{feff}{\n  \"KEY\": {\n    \"a\": {\"command\": \"\\u00e9 \\\" ü\"}\n  }\n}",
];

/// Files without other servers, and one whose closing brace moves to a line of its own.
const JSON_BARE: &[&str] = &[
    "{ \"KEY\": {\n  \"a\": {}, \"b\": {} }, \"c\": 1 }\n",
    "",
    "\n",
    "{}",
    "{ }\n",
    "{\"KEY\": {}}",
    "{\n  \"KEY\": { /* none */ }\n}\n",
    "{\n  \"KEY\": {\n    // none yet\n  }\n}\n",
    "{\n  \"theme\": \"dark\" // yes\n}\n",
    "{\n  \"theme\": \"dark\",\n}\n",
    "// only a comment",
    "{ // open\n}",
];

const TOML_FILES: &[&str] = &[
    "# top\nmodel = \"o\"  # why\n\n[mcp_servers.other]\ncommand = 'x'\n\
     args = [ \"a\",\n  \"b\" ]\n",
    "model = \"o\"\r\n\r\n[mcp_servers.other]\r\ncommand = \"x\"\r\n",
    "[mcp_servers]\nother = { command = \"x\" }\n# tail\n\n[tui]\nratio = 1.50\nwhen = 2026-11-21",
    "mcp_servers.other.command = \"x\"\n[[list]]\na = nan\n",
    "[mcp_servers.other]\ncommand = \"x\"\n[mcp_servers.other.env]\nA = \"1\"\r\n# mixed ends\n",
];

const TOML_BARE: &[&str] =
    &["", "\n", "# note", "model = \"o\"", "\u{feff}model = \"o\"\n", "[mcp_servers]\n"];

pub(super) fn files(client: &Client) -> Vec<String> {
    let texts = match client.format {
        Format::Json => [JSON_FILES, JSON_BARE],
        Format::Toml => [TOML_FILES, TOML_BARE],
    };
    let fill = |text: &&str| text.replace("KEY", client.servers_key);
    texts.concat().iter().map(fill).collect()
}

fn entry_of(client: &Client, text: &str) -> Value {
    merge::own(client, text).unwrap().unwrap()
}

#[test]
fn snippets_spell_every_client() {
    let path = r"C:\Program Files\Synod\synod.exe";
    let args = json!(["mcp", "--vault=my notes"]);
    let split = |kind: Option<&str>, token: &str| {
        let env = json!({"SYNOD_LOG": "info", "SYNOD_TOKEN": token});
        let plain = json!({"command": path, "args": args, "env": env});
        match kind {
            None => plain,
            Some(kind) => json!({"type": kind, "command": path, "args": args, "env": env}),
        }
    };
    let with_tools = |mut entry: Value| {
        entry["tools"] = json!(["*"]);
        entry
    };
    let url = "http://127.0.0.1:8931/mcp";
    let bearer = |token: &str| json!({ "Authorization": format!("Bearer {token}") });
    let web = |key: &str, token: &str| json!({key: url, "headers": bearer(token)});
    let typed =
        |kind: &str, token: &str| json!({"type": kind, "url": url, "headers": bearer(token)});
    let (braces, env, curly) = ("${SYNOD_TOKEN}", "${env:SYNOD_TOKEN}", "{env:SYNOD_TOKEN}");
    let (dollar, none) = ("$SYNOD_TOKEN", "<value of SYNOD_TOKEN>");
    let open = json!({"type": "local", "command": [path, "mcp", "--vault=my notes"],
        "environment": {"SYNOD_LOG": "info", "SYNOD_TOKEN": curly}});
    let codex = json!({"command": path, "args": args, "env": {"SYNOD_LOG": "info"},
        "env_vars": ["SYNOD_TOKEN"]});
    let codex_web = json!({"url": url, "bearer_token_env_var": "SYNOD_TOKEN"});
    let rows = [
        ("claude-desktop", "mcpServers", split(None, none), Value::Null),
        ("claude-code", "mcpServers", split(Some("stdio"), braces), typed("http", braces)),
        ("vscode", "servers", split(Some("stdio"), env), typed("http", env)),
        (
            "copilot-cli",
            "mcpServers",
            with_tools(split(Some("local"), braces)),
            with_tools(typed("http", braces)),
        ),
        ("visual-studio", "servers", split(Some("stdio"), none), web("url", none)),
        ("cursor", "mcpServers", split(Some("stdio"), env), web("url", env)),
        ("zed", "context_servers", split(None, none), web("url", none)),
        ("windsurf", "mcpServers", split(None, env), web("serverUrl", env)),
        ("jetbrains", "mcpServers", split(None, none), web("url", none)),
        ("codex", "mcp_servers", codex, codex_web),
        ("gemini-cli", "mcpServers", split(None, dollar), web("httpUrl", dollar)),
        ("cline", "mcpServers", split(None, env), typed("streamableHttp", env)),
        ("opencode", "mcp", open, typed("remote", curly)),
    ];
    assert_eq!(rows.len(), CLIENTS.len());
    for (name, key, by_pipe, by_url) in rows {
        for (launch, expected) in [(stdio(), by_pipe), (http(), by_url)] {
            if expected.is_null() {
                continue;
            }
            let text = snippet(client(name), &launch).unwrap();
            let whole = match client(name).format {
                // The strict parser: a snippet must suit clients that take no comments.
                Format::Json => serde_json::from_str(&text).unwrap(),
                Format::Toml => toml_text::value(&text, key).unwrap(),
            };
            assert_eq!(whole, json!({ key: { "synod": expected } }), "{name}");
        }
    }
}

#[test]
fn claude_desktop_refuses_a_url() {
    let error = snippet(client("claude-desktop"), &http()).unwrap_err();
    assert!(matches!(error, Error::NoHttp { .. }));
    let text = error.to_string();
    assert!(text.contains("stdio") && text.contains("Settings -> Connectors"), "{text}");
}

#[test]
fn a_merge_keeps_the_rest_and_can_be_taken_back() {
    for (client, launch) in pairs() {
        for before in files(client) {
            let after = planned(client, &launch, &before);
            let wanted = entry::entry(client, &launch).unwrap();
            assert_eq!(entry_of(client, &after), wanted, "{} {before:?}", client.name);
            assert_eq!(planned(client, &launch, &after), after, "idempotent: {before:?}");
            let other = if matches!(launch, Launch::Http { .. }) { stdio() } else { http() };
            if client.http.is_some() {
                let swapped = planned(client, &other, &after);
                assert_eq!(planned(client, &launch, &swapped), after, "swap: {before:?}");
            }
            if before.contains("\r\n") && !before.replace("\r\n", "").contains('\n') {
                assert!(!after.replace("\r\n", "").contains('\n'), "line ends: {after:?}");
            }
        }
    }
}

#[test]
fn other_servers_stay_byte_for_byte() {
    for (client, launch) in pairs() {
        let texts = if client.format == Format::Json { JSON_FILES } else { TOML_FILES };
        for before in texts.iter().map(|text| text.replace("KEY", client.servers_key)) {
            let after = planned(client, &launch, &before);
            let back = merge::remove(client, &after).unwrap().unwrap();
            // A last line without its end has one now; nothing else may differ.
            let tail = if client.format == Format::Toml { "\n" } else { "" };
            let same = back == before || back == format!("{before}{tail}");
            assert!(same, "{}\n{before:?}\n{after:?}\n{back:?}", client.name);
        }
    }
}

#[test]
fn a_new_entry_stands_behind_the_comments_of_the_last() {
    let after = planned(
        client("zed"),
        &Launch::Stdio { command: "/usr/bin/synod".into(), args: vec!["mcp".into()], env: vec![] },
        "{\n  \"context_servers\": {\n    \"a\": {} // about a\n    // last\n  }\n}\n",
    );
    assert_eq!(
        after,
        "{\n  \"context_servers\": {\n    \"a\": {}, // about a\n    // last\n    \
        \"synod\": {\n      \"command\": \"/usr/bin/synod\",\n      \"args\": [\n        \
        \"mcp\"\n      ]\n    }\n  }\n}\n"
    );
}

#[test]
fn removal_leaves_neighbours_and_their_comments() {
    let zed = client("zed");
    let cases = [
        (
            "{\"context_servers\": {\"synod\": {}, \"b\": {}}}",
            "{\"context_servers\": { \"b\": {}}}",
        ),
        ("{\"context_servers\": {\"a\": {}, \"synod\": {}}}", "{\"context_servers\": {\"a\": {}}}"),
        ("{\"context_servers\": {\"synod\": {}}}", "{\"context_servers\": {}}"),
        (
            "{\"context_servers\": {\n  // a\n  \"synod\": {}, \"b\": {}\n}}",
            "{\"context_servers\": {\n  // a\n   \"b\": {}\n}}",
        ),
        (
            "{\"context_servers\": {\n  \"a\": {}, // a\n  \"synod\": {} /* s */, // mine\n}}",
            "{\"context_servers\": {\n  \"a\": {}, // a\n   // mine\n}}",
        ),
    ];
    for (before, after) in cases {
        let found = merge::remove(zed, before).unwrap().unwrap();
        let squeeze = |text: &str| text.replace(' ', "");
        let shown = squeeze(&found).replace("/*s*/", "");
        assert_eq!(shown, squeeze(after), "{before}");
    }
}

#[test]
fn toml_entries_of_every_layout_are_replaced_and_removed() {
    let codex = client("codex");
    let layouts = [
        "[mcp_servers.synod]\ncommand = \"old\" # c\n# inside\nargs = []\n# after\n\n[x]\na = 1\n",
        "[a]\nb = 1\n# c = 2\n\n[mcp_servers.synod]\ncommand = \"old\"\n\
         [mcp_servers.synod.env]\nA='1'\n",
        "[mcp_servers.synod.env]\nA = \"1\"\n[x]\na = 1\n[mcp_servers.synod.tools.t]\nb = 2\n",
        "[mcp_servers]\nsynod = { command = \"old\" }\nother = { command = \"x\" }\n",
        "mcp_servers.synod.command = \"old\"\nmcp_servers.synod.args = []\nmodel = \"o\"\n",
    ];
    for before in layouts {
        let after = planned(codex, &http(), before);
        assert_eq!(planned(codex, &http(), &after), after);
        let bare = merge::remove(codex, before).unwrap().unwrap();
        assert!(merge::own(codex, &bare).unwrap().is_none());
        for line in ["# after", "# c = 2", "[x]", "a = 1", "other =", "model ="] {
            let kept = before.contains(line);
            assert_eq!(after.contains(line), kept, "{line} in {after}");
            assert_eq!(bare.contains(line), kept, "{line} in {bare}");
        }
    }
    let inline = "mcp_servers = { other = { command = \"x\" } }\n".to_owned();
    let error = plan(codex, &stdio(), "c.toml".into(), Some(inline)).unwrap_err();
    assert!(matches!(error, Error::Layout { .. }), "{error}");
}

#[test]
fn secrets_are_never_written() {
    let with_env = |name: &str, value: &str| Launch::Stdio {
        command: "synod".into(),
        args: vec![],
        env: vec![(name.into(), value.into())],
    };
    let bad = [
        with_env("OPENAI_API_KEY", "sk-123"),
        with_env("SYNOD_TOKEN", "t0ken"),
        with_env("A B", "x"),
        with_env("A", "${not a name}"),
        Launch::Http { url: "http://u:t0ken@h/mcp".into(), token_env: None },
        Launch::Http { url: "ftp://h/mcp".into(), token_env: None },
        Launch::Http { url: "http:///mcp".into(), token_env: None },
        Launch::Http { url: "http://h/mcp".into(), token_env: Some("t0ken-1.2".into()) },
    ];
    for launch in &bad {
        for client in CLIENTS.iter().filter(|client| client.http.is_some()) {
            let error = snippet(client, launch).unwrap_err().to_string();
            assert!(!error.contains("t0ken") && !error.contains("sk-123"), "{error}");
        }
    }
    for name in ["SYNOD_TOKEN_FILE", "SYNOD_CHUNK_TOKENS_MAX", "MONKEY"] {
        assert!(snippet(client("zed"), &with_env(name, "5")).is_ok());
    }
    let renamed = snippet(client("codex"), &with_env("A", "${B}")).unwrap_err();
    assert!(matches!(renamed, Error::NoRename { .. }));
}

#[test]
fn names_are_found_and_nearest_ones_offered() {
    assert_eq!(find(" VSCode ").unwrap().name, "vscode");
    let text = find("claude-dektop").unwrap_err().to_string();
    assert!(text.contains("nearest is `claude-desktop`") && text.contains("`opencode`"), "{text}");
    for client in CLIENTS {
        assert_eq!(find(client.name).unwrap().title, client.title);
        assert!(!client.note.is_empty());
        // Where a placeholder is written, the note says so.
        let holds = client.expansion == client::Expansion::None;
        assert_eq!(client.note.contains(&placeholder("NAME")), holds, "{}", client.name);
    }
}

#[test]
fn paths_follow_the_system() {
    let places = |os, appdata: Option<&str>| Places {
        os,
        home: PathBuf::from("/home/u"),
        project: PathBuf::from("/srv/p"),
        appdata: appdata.map(PathBuf::from),
        moved: Vec::new(),
    };
    let of = |name, places: &Places| client(name).path(places).unwrap();
    let (linux, mac) = (places(Os::Linux, None), places(Os::MacOs, None));
    let windows = places(Os::Windows, Some("/roam"));
    let desktop = "claude-desktop";
    assert_eq!(of(desktop, &linux), Path::new("/home/u/.config/Claude/claude_desktop_config.json"));
    assert_eq!(of(desktop, &windows), Path::new("/roam/Claude/claude_desktop_config.json"));
    assert!(of(desktop, &mac).starts_with("/home/u/Library/Application Support/Claude"));
    let bare = places(Os::Windows, None);
    assert_eq!(of("zed", &bare), Path::new("/home/u/AppData/Roaming/Zed/settings.json"));
    assert_eq!(of("vscode", &mac), Path::new("/srv/p/.vscode/mcp.json"));
    assert_eq!(of("codex", &mac), Path::new("/home/u/.codex/config.toml"));
    assert!(client("jetbrains").path(&linux).is_none());
    let all = |places| CLIENTS.iter().filter_map(move |client| client.path(places));
    for places in [&linux, &mac, &windows] {
        let mut paths: Vec<_> = all(places).collect();
        paths.sort();
        paths.dedup();
        // Two clients in one file would share a backup.
        assert_eq!(paths.len(), CLIENTS.len() - 1);
    }
}

#[test]
fn paths_follow_the_variables_that_move_them() {
    let moved = ["XDG_CONFIG_HOME", "CODEX_HOME", "COPILOT_HOME"];
    assert_eq!(moved, MOVING);
    let places = |os| Places {
        os,
        home: PathBuf::from("/h"),
        project: PathBuf::from("/p"),
        appdata: None,
        moved: moved.into_iter().zip(["/x", "/y", "/z"].map(PathBuf::from)).collect(),
    };
    for (name, os, path) in [
        ("codex", Os::MacOs, "/y/config.toml"),
        ("copilot-cli", Os::Windows, "/z/mcp-config.json"),
        ("zed", Os::Linux, "/x/zed/settings.json"),
        ("zed", Os::MacOs, "/h/.config/zed/settings.json"),
        ("claude-desktop", Os::Linux, "/x/Claude/claude_desktop_config.json"),
        ("gemini-cli", Os::Linux, "/h/.gemini/settings.json"),
    ] {
        assert_eq!(client(name).path(&places(os)).unwrap(), Path::new(path), "{name}");
    }
}

#[test]
fn a_client_is_seen_by_what_it_leaves_behind() {
    for (name, trace) in [
        ("claude-code", ".claude/settings.json"),
        ("claude-code", ".claude.json"),
        ("opencode", "xdg/opencode/opencode.json"),
        ("cursor", ".cursor/argv.json"),
        ("vscode", ".vscode/argv.json"),
        ("codex", ".codex/auth.json"),
    ] {
        let home = tempfile::tempdir().unwrap();
        let places = Places {
            os: Os::Linux,
            home: home.path().to_owned(),
            project: home.path().join("project"),
            appdata: None,
            moved: vec![("XDG_CONFIG_HOME", home.path().join("xdg"))],
        };
        assert!(!CLIENTS.iter().any(|client| client.seems_used(&places)), "nothing is there");
        let file = home.path().join(trace);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "").unwrap();
        let used = CLIENTS.iter().filter(|client| client.seems_used(&places));
        assert_eq!(used.map(|client| client.name).collect::<Vec<_>>(), [name], "{trace}");
    }
}

#[test]
fn the_preview_is_one_small_hunk() {
    let launch = Launch::Http { url: "http://h/mcp".into(), token_env: None };
    let before = "{\n  \"a\": 1,\n  \"b\": 2,\n  \"mcpServers\": {\n    \"x\": {}\n  }\n}";
    let change = plan(client("cursor"), &launch, "m.json".into(), Some(before.into())).unwrap();
    assert_eq!(
        diff(&change),
        "--- m.json\n+++ m.json\n@@ -2,6 +2,9 @@\n   \"a\": 1,\n   \"b\": 2,\n\
         \x20  \"mcpServers\": {\n-    \"x\": {}\n+    \"x\": {},\n+    \"synod\": {\n\
         +      \"url\": \"http://h/mcp\"\n+    }\n   }\n }\n\\ no newline at end of file\n"
    );
    let again = plan(client("cursor"), &launch, "m.json".into(), Some(change.after)).unwrap();
    assert!(again.is_empty() && diff(&again).is_empty());
    let new = plan(client("cursor"), &launch, "m.json".into(), None).unwrap();
    assert!(diff(&new).starts_with("--- /dev/null\n+++ m.json\n@@ -0,0 +1,7 @@\n+{\n"));
}

/// A small generator, so that the texts are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % sides
    }

    fn trivia(&mut self) -> String {
        let parts =
            ["", "", "", " ", "\n", "\r\n", "\t", "/* , { */", "// \", }\n", "\n  // x\r\n  "];
        (0..self.roll(4)).map(|_| parts[self.roll(10) as usize]).collect()
    }

    fn object(&mut self, members: &[(String, String)]) -> String {
        let mut text = format!("{}{{{}", self.trivia(), self.trivia());
        for (at, (key, value)) in members.iter().enumerate() {
            let comma = at + 1 < members.len() || self.roll(3) == 0;
            let gaps = [self.trivia(), self.trivia(), self.trivia()];
            text += &format!("\"{key}\"{}:{value}{}", gaps[0], gaps[1]);
            text += if comma { "," } else { "" };
            text += &gaps[2];
        }
        text + "}" + &self.trivia()
    }

    fn file(&mut self) -> String {
        let names = ["a", "b,{", "c"];
        let mut servers: Vec<_> = (0..self.roll(4) as usize)
            .map(|at| (names[at % 3].to_owned(), self.object(&[])))
            .collect();
        if self.roll(2) == 0 {
            let at = self.roll(servers.len() as u64 + 1) as usize;
            servers.insert(at, (OWN.to_owned(), self.object(&[])));
        }
        let mut root = vec![("k".to_owned(), "1".to_owned())];
        if self.roll(4) > 0 {
            let at = self.roll(2) as usize;
            root.insert(at, ("servers".to_owned(), self.object(&servers)));
        }
        self.object(&root)
    }
}

#[test]
fn any_layout_takes_the_entry_and_gives_it_back() {
    let mut dice = Dice(7);
    for _ in 0..4_000 {
        let text = dice.file();
        let path = || PathBuf::from("f");
        let change = plan(client("vscode"), &http(), path(), Some(text.clone()));
        let after = change.unwrap_or_else(|error| panic!("{error}\n{text}")).after;
        assert_eq!(planned(client("vscode"), &http(), &after), after);
        let back = merge::remove(client("vscode"), &after);
        assert!(back.unwrap_or_else(|error| panic!("{error:?}\n{after}")).is_some());
        let comments = |text: &str| text.matches("// ").count() + text.matches("/*").count();
        // Only comments inside of our own old entry may go.
        if !text.contains(OWN) {
            assert_eq!(comments(&after), comments(&text), "{text}");
        }
    }
}

#[test]
fn an_entry_that_already_says_so_keeps_its_own_layout() {
    let launch = Launch::Http { url: "http://h/mcp".into(), token_env: None };
    let before = "{\"mcpServers\": {\"synod\":\n{ // by hand\n\"url\" :\"http://h/mcp\",}}}";
    assert_eq!(planned(client("cursor"), &launch, before), before);
}

#[test]
fn what_the_person_wrote_in_the_place_of_a_value_stays() {
    let desktop = client("claude-desktop");
    let written = planned(desktop, &stdio(), "");
    let filled = written.replace(&placeholder("SYNOD_TOKEN"), "mine");
    assert_ne!(filled, written);
    assert_eq!(planned(desktop, &stdio(), &filled), filled);
}

#[test]
fn what_an_entry_sets_besides_is_named() {
    for name in ["cursor", "opencode", "codex"] {
        let client = client(name);
        let written = planned(client, &stdio(), "");
        let Launch::Stdio { command, args, .. } = stdio() else { unreachable!() };
        let bare = Launch::Stdio { command, args, env: Vec::new() };
        let again = |launch: &Launch| {
            let change = plan(client, launch, PathBuf::from("f"), Some(written.clone())).unwrap();
            others(client, launch, &change)
        };
        assert!(again(&bare).contains(&"SYNOD_LOG".to_owned()), "{name}");
        assert_eq!(again(&stdio()), [""; 0], "{name}");
    }
}

#[test]
fn a_url_without_a_path_gets_the_one_of_mcp() {
    for (url, wanted) in [
        ("http://127.0.0.1:7717", "http://127.0.0.1:7717/mcp"),
        ("https://h/", "https://h/mcp"),
        ("https://h/mcp", "https://h/mcp"),
        ("https://h/proxy/", "https://h/proxy/"),
        ("https://h?a=b", "https://h?a=b"),
        ("http://", "http://"),
        ("nothing", "nothing"),
    ] {
        assert_eq!(endpoint(url), wanted, "{url}");
    }
}

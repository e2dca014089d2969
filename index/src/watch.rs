//! File events of sources: which paths of which source to look at again.
//!
//! Says only that something may have changed; what did is the updater's comparison, and when to
//! look is the [`Inbox`]'s. Only folders that a walk enters are watched, where the system watches
//! single ones, and those of ignore files above a source. A lost event asks for the whole source,
//! whose watches are put anew before it is compared; a comparison without such a reason keeps those
//! that stand. A source that does not answer, be it while its watches are put, is left alone until
//! it does; one that answers and takes too long for that is polled, and so is as a whole one that
//! has a file system mounted in it which tells of no changes. Touches no file itself: that is the
//! work of `Cover`, on a thread that can be given up. Invariant: whoever looks at a folder has put
//! its watches before, so that what comes into it later is either found or told of.

use crate::apart::{self, Came, Signs};
use crate::cover::{Cover, Deaf, Site, Tell, Unwatched};
use crate::db::Source;
use crate::mount::Mounted;
use crate::reach::{Identity, Left, Reach, SILENT};
pub use crate::touch::{Inbox, Touched};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Before another attempt to watch what could not be watched.
const AGAIN: Duration = Duration::from_secs(60);

/// What is said of a source that answers and is not watched in time.
const SLOW: &str = "its file system takes too long to watch its folders";

/// How a source is to be watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By events, where the file system has them.
    #[default]
    Auto,
    /// By events, whatever the file system is.
    Events,
    /// By looking at it again and again.
    Poll,
}

/// How changes of a source's files are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching {
    /// The system tells of them.
    Events,
    /// The source is compared with the disk this often.
    Polled(Duration),
    /// The same, for its file system does not tell of all changes.
    PolledElsewhere(Duration),
    /// The same, for a file system mounted below its folder does not.
    PolledBelow(Duration),
    /// Nohow: its file system does not answer.
    Silent,
}

impl Watching {
    /// How often the source is compared, if nothing tells of its changes.
    pub fn every(self) -> Option<Duration> {
        match self {
            Watching::Polled(every)
            | Watching::PolledElsewhere(every)
            | Watching::PolledBelow(every) => Some(every),
            Watching::Events | Watching::Silent => None,
        }
    }
}

impl fmt::Display for Watching {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Watching::Events => out.write_str("events"),
            Watching::Polled(every) => write!(out, "polled every {} s", every.as_secs()),
            Watching::PolledElsewhere(every) => {
                let why = "its file system does not tell of all changes";
                write!(out, "polled every {} s ({why})", every.as_secs())
            }
            Watching::PolledBelow(every) => {
                write!(out, "polled every {} s (for what is mounted in it)", every.as_secs())
            }
            Watching::Silent => out.write_str("does not answer"),
        }
    }
}

/// Watches sources until it is dropped. A source is watched from [`Watch::renew`] or
/// [`Watch::keep`] on.
pub struct Watch {
    places: Vec<Place>,
    /// Folders that are left out wherever they lie.
    skip: Vec<PathBuf>,
    poll: Duration,
    reach: Reach,
    mounted: Mounted,
    tell: Tell,
}

/// A source and its watches.
struct Place {
    id: i64,
    root: PathBuf,
    mode: Mode,
    /// The root as it was when the watching began.
    known: Identity,
    /// What was mounted below it then.
    below: Vec<String>,
    /// It did not answer then, or while its watches were put.
    silent: bool,
    /// The putting of its watches was given up though it answered: whoever does so is in it yet.
    slow: bool,
    /// Which file system does not tell of all changes, if one does not.
    deaf: Option<Deaf>,
    cover: Option<Cover>,
    /// Why there are no watches, or not all of them, if somebody should know.
    why: Option<String>,
    /// When it was last tried in vain; some watches may stand all the same.
    failed: Option<Instant>,
}

impl Watch {
    /// Watches nothing yet. Leaves out the folders `skip`; what cannot be watched is to be looked
    /// at each `poll`; `reach` knows which folders answer; `tell` gets what was touched.
    pub fn new(
        skip: Vec<PathBuf>,
        poll: Duration,
        reach: Reach,
        tell: impl Fn(Touched) + Send + Sync + 'static,
    ) -> Self {
        let mounted = Mounted::new();
        Watch { places: Vec::new(), skip, poll, reach, mounted, tell: Arc::new(tell) }
    }

    /// Knows these sources from now on and no others; those that it knew stay as they are. One that
    /// is to be watched in another way now is watched by nothing until its watches are put.
    pub fn set_sources(&mut self, sources: &[Source], modes: &HashMap<i64, Mode>) {
        let folders = || sources.iter().filter(|source| !source.root.is_empty());
        let mode = |source: &Source| modes.get(&source.id).copied().unwrap_or_default();
        let is = |place: &Place, source: &Source| {
            let same = place.id == source.id && place.mode == mode(source);
            same && place.root == Path::new(&source.root)
        };
        self.places.retain(|place| folders().any(|source| is(place, source)));
        for source in folders() {
            if self.places.iter().any(|place| is(place, source)) {
                continue;
            }
            let root = PathBuf::from(&source.root);
            self.places.push(Place::new(source.id, root, mode(source)));
        }
    }

    /// What cannot be watched is to be looked at this often from now on.
    pub fn set_poll(&mut self, poll: Duration) {
        self.poll = poll;
    }

    /// Puts the watches of a source anew; whoever calls this compares the whole source afterwards.
    pub fn renew(&mut self, id: i64) {
        let Watch { places, skip, reach, mounted, tell, .. } = self;
        if let Some(place) = places.iter_mut().find(|place| place.id == id) {
            place.below = mounted.below(&place.root);
            place.renew(skip, reach, tell);
        }
    }

    /// Keeps the watches of a source that stand and puts those that are missing; all anew where
    /// none stands, or where its path means another folder. Whoever calls this compares the whole
    /// source afterwards.
    pub fn keep(&mut self, id: i64) {
        let Watch { places, skip, reach, mounted, tell, .. } = self;
        if let Some(place) = places.iter_mut().find(|place| place.id == id) {
            place.below = mounted.below(&place.root);
            place.keep(skip, reach, tell);
        }
    }

    /// Watches the new folders among what was touched; whoever calls this looks at all of it
    /// afterwards.
    pub fn follow(&mut self, id: i64, touched: &HashSet<String>) {
        let Watch { places, reach, tell, .. } = self;
        let place = places.iter_mut().find(|place| place.id == id);
        if place.is_some_and(|place| !place.follow(touched, reach)) {
            // The comparison of the whole source puts its watches anew.
            tell(Touched::from([(id, HashSet::from([String::new()]))]));
        }
    }

    /// A source fell silent while it was looked at: nothing that was known of it counts, and it is
    /// outdated once it answers, however soon that is.
    pub fn lost(&mut self, id: i64) {
        if let Some(place) = self.places.iter_mut().find(|place| place.id == id) {
            place.lose();
        }
    }

    /// Sources whose path means another folder now, or none, or one again: it was moved, removed,
    /// or mounted, or something below it was. The system watches folders, not paths, and tells
    /// nothing of it. Also those that stopped or began to answer; waits for these two seconds at
    /// most.
    pub fn outdated(&self) -> Vec<i64> {
        // All of them before one is waited for.
        self.places.iter().for_each(|place| self.reach.ask(&place.root));
        self.mounted.look();
        let changed = |place: &&Place| match self.reach.find(&place.root) {
            Some(identity) => {
                let other = place.silent || identity != place.known;
                other || place.below != self.mounted.below(&place.root)
            }
            None => !place.silent,
        };
        self.places.iter().filter(changed).map(|place| place.id).collect()
    }

    /// How changes of a source are noticed; `None` for one that has no folder.
    pub fn watching(&self, id: i64) -> Option<Watching> {
        let place = self.places.iter().find(|place| place.id == id)?;
        Some(match (&place.cover, place.deaf) {
            (Some(_), _) if place.failed.is_none() => Watching::Events,
            _ if place.silent => Watching::Silent,
            (_, Some(Deaf::Own)) => Watching::PolledElsewhere(self.poll),
            (_, Some(Deaf::Below)) => Watching::PolledBelow(self.poll),
            (_, None) => Watching::Polled(self.poll),
        })
    }

    /// Why the system does not tell of a source's changes, unless that was wanted.
    pub fn why(&self, id: i64) -> Option<&str> {
        self.places.iter().find(|place| place.id == id)?.why.as_deref()
    }

    /// Whether the folder of a source was there when its watching began.
    pub fn is_there(&self, id: i64) -> bool {
        self.places.iter().any(|place| place.id == id && place.known.is_some())
    }
}

impl Place {
    fn new(id: i64, root: PathBuf, mode: Mode) -> Self {
        Place {
            id,
            root,
            mode,
            known: None,
            below: Vec::new(),
            silent: false,
            slow: false,
            deaf: None,
            cover: None,
            why: None,
            failed: None,
        }
    }

    fn renew(&mut self, skip: &[PathBuf], reach: &Reach, tell: &Tell) {
        // Before the watching: what is replaced in between is noticed.
        let found = reach.find(&self.root);
        let there = found.flatten();
        let same = there == self.known && found.is_none() == self.silent;
        (self.known, self.silent) = (there, found.is_none());
        let tried = self.failed.is_some_and(|at| at.elapsed() < AGAIN);
        if same && tried && self.cover.is_none() {
            return;
        }
        // Before others are put: there is room for so many.
        (self.cover, self.why, self.failed, self.deaf) = (None, None, None, None);
        if self.silent {
            self.why = Some(SILENT.to_owned());
            return;
        }
        if self.mode == Mode::Poll {
            return;
        }
        if std::mem::take(&mut self.slow) {
            // It would take as long once more, and nothing of it would be read meanwhile.
            return self.fail(SLOW.to_owned());
        }
        let site = Site {
            id: self.id,
            root: self.root.clone(),
            skip: skip.to_vec(),
            auto: self.mode == Mode::Auto,
            tell: Arc::clone(tell),
        };
        let came = apart::run(reach, &self.root, site, Cover::start);
        if let Ok(made) = self.made(came) {
            self.take(made);
        }
    }

    fn keep(&mut self, skip: &[PathBuf], reach: &Reach, tell: &Tell) {
        let stands = self.cover.is_some() && reach.find(&self.root) == Some(self.known);
        let Some(cover) = self.cover.take().filter(|_| stands) else {
            return self.renew(skip, reach, tell);
        };
        let came = apart::run(reach, &self.root, cover, Cover::keep);
        self.kept(came);
    }

    fn kept(&mut self, came: Came<Result<Cover, Unwatched>, Cover>) {
        match self.made(came) {
            Ok(made) => {
                if self.failed.take().is_some() {
                    // What was missing stands.
                    self.why = None;
                }
                self.take(made);
            }
            Err(cover) => self.cover = cover,
        }
    }

    /// False when so much went that all is to be watched anew.
    fn follow(&mut self, touched: &HashSet<String>, reach: &Reach) -> bool {
        let Some(cover) = self.cover.take() else { return true };
        let touched = touched.clone();
        let follow = move |cover: Cover, signs: &Signs| cover.follow(&touched, signs);
        let came = apart::run(reach, &self.root, cover, follow);
        match self.made(came) {
            Ok((made, few)) => {
                self.take(made);
                few
            }
            Err(cover) => {
                self.cover = cover;
                true
            }
        }
    }

    /// What was made of its watches. If nothing was, this notes why; those that stand as they did,
    /// since nobody touched them, are the error.
    fn made<T, O>(&mut self, came: Came<T, O>) -> Result<T, Option<O>> {
        match came {
            Came::Made(made) => return Ok(made),
            Came::Left(left) => {
                self.lose();
                self.slow = left == Left::Slow;
            }
            Came::Failed(why) => self.fail(why),
            Came::Unstarted(own, why) => {
                self.fail(why);
                return Err(Some(own));
            }
        }
        Err(None)
    }

    fn take(&mut self, made: Result<Cover, Unwatched>) {
        match made {
            Ok(cover) => self.cover = Some(cover),
            Err(Unwatched::Deaf(deaf, why)) => (self.deaf, self.why) = (Some(deaf), Some(why)),
            Err(Unwatched::Failed(why)) => self.fail(why),
        }
    }

    /// It is polled until it is tried again.
    fn fail(&mut self, why: String) {
        (self.why, self.failed) = (Some(why), Some(Instant::now()));
    }

    /// As one that did not answer when its watches were put.
    fn lose(&mut self) {
        (self.known, self.silent, self.cover, self.deaf) = (None, true, None, None);
        (self.why, self.failed) = (Some(SILENT.to_owned()), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cover::SINGLY;
    use std::fs;

    /// A source at a folder, of number 7.
    fn vault(root: &Path) -> Source {
        Source {
            id: 7,
            name: "vault".to_owned(),
            kind: crate::db::SourceKind::Vault,
            root: root.to_str().unwrap().to_owned(),
            collection: "notes".to_owned(),
            commit: None,
            scanned_ms: None,
        }
    }

    #[test]
    fn a_source_that_fell_silent_is_outdated_however_soon_it_answers() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let reach = Reach::default();
        let mut watch = Watch::new(Vec::new(), Duration::from_secs(9), reach.clone(), |_| {});
        watch.set_sources(&[vault(&root)], &HashMap::from([(7, Mode::Events)]));
        watch.keep(7);
        assert_eq!((watch.watching(7), watch.outdated()), (Some(Watching::Events), vec![]));
        // Somebody gave up, and the file system answered before anybody asked again.
        watch.lost(7);
        assert_eq!((watch.watching(7), watch.why(7)), (Some(Watching::Silent), Some(SILENT)));
        assert_eq!((watch.outdated(), watch.is_there(7)), (vec![7], false));
        watch.keep(7);
        assert_eq!((watch.watching(7), watch.outdated()), (Some(Watching::Events), vec![]));
        assert_eq!((watch.why(7), watch.is_there(7)), (None, true));
    }

    #[test]
    fn a_source_that_is_to_be_watched_in_another_way_is_watched_anew() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let poll = Duration::from_secs(9);
        let mut watch = Watch::new(Vec::new(), poll, Reach::default(), |_| {});
        let set = |watch: &mut Watch, mode: Mode| {
            watch.set_sources(&[vault(&root)], &HashMap::from([(7, mode)]));
            watch.places[0].cover.is_some()
        };
        assert!(!set(&mut watch, Mode::Events));
        watch.keep(7);
        assert!(set(&mut watch, Mode::Events), "the same way");
        assert!(!set(&mut watch, Mode::Poll));
        watch.keep(7);
        watch.set_poll(2 * poll);
        assert_eq!(watch.watching(7), Some(Watching::Polled(2 * poll)));
        assert!(!set(&mut watch, Mode::Events) && !watch.is_there(7));
        watch.keep(7);
        assert_eq!((watch.watching(7), watch.outdated()), (Some(Watching::Events), vec![]));
    }

    #[test]
    fn watches_that_hang_while_they_are_put_are_given_up_and_put_anew_by_others() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (reach, (send, receive)) = (Reach::default(), std::sync::mpsc::channel());
        let tell = move |touched: Touched| drop(send.send(touched));
        let mut watch = Watch::new(Vec::new(), Duration::from_secs(9), reach.clone(), tell);
        watch.set_sources(&[vault(&root)], &HashMap::from([(7, Mode::Events)]));
        watch.keep(7);
        // As where its file system hangs with the watches in hand.
        let (rules, _) = watch.places[0].cover.as_ref().unwrap().inner();
        let hangs = rules.lock().unwrap();
        let crew = reach.crew(&root);
        let stuck = crew.enter();
        crew.give_up();
        fs::create_dir(root.join("new")).unwrap();
        watch.follow(7, &HashSet::from(["new".to_owned()]));
        assert_eq!((watch.watching(7), watch.why(7)), (Some(Watching::Silent), Some(SILENT)));
        drop(stuck);
        assert_eq!(watch.outdated(), Vec::<i64>::new(), "who was given up is in it yet");
        watch.keep(7);
        assert_eq!(watch.watching(7), Some(Watching::Silent), "and is the only one");
        drop(hangs);
        let until = Instant::now() + Duration::from_secs(30);
        while watch.outdated() != [7] {
            assert!(Instant::now() < until, "it is away for good");
        }
        watch.keep(7);
        assert_eq!((watch.watching(7), watch.outdated()), (Some(Watching::Events), vec![]));
        let (others, _) = watch.places[0].cover.as_ref().unwrap().inner();
        assert!(!Arc::ptr_eq(&rules, &others));
        fs::write(root.join("new/a.md"), "x").unwrap();
        while !receive.recv_timeout(Duration::from_secs(30)).unwrap()[&7].contains("new/a.md") {}
    }

    #[test]
    fn a_source_that_answers_and_is_slow_to_watch_is_compared_and_polled() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (reach, poll) = (Reach::default(), Duration::from_secs(9));
        let mut watch = Watch::new(Vec::new(), poll, reach.clone(), |_| {});
        watch.set_sources(&[vault(&root)], &HashMap::from([(7, Mode::Events)]));
        watch.keep(7);
        // As where nothing was heard for long of whoever puts its watches, and it answers.
        let crew = reach.crew(&root);
        let slow = crew.enter();
        crew.give_up();
        watch.places[0].kept(Came::Left(Left::Slow));
        assert_eq!(watch.watching(7), Some(Watching::Silent));
        // The comparison behind it finds somebody inside, and so does the next one.
        watch.lost(7);
        assert_eq!(watch.outdated(), Vec::<i64>::new());
        watch.keep(7);
        assert_eq!((watch.watching(7), watch.why(7)), (Some(Watching::Silent), Some(SILENT)));
        drop(slow);
        assert_eq!(watch.outdated(), [7]);
        for _ in 0..2 {
            watch.keep(7);
            assert!(reach.answers(&root), "it is not read");
            assert_eq!(watch.watching(7), Some(Watching::Polled(poll)), "it begins again");
            assert_eq!((watch.why(7), watch.is_there(7)), (Some(SLOW), true));
            assert_eq!(watch.outdated(), Vec::<i64>::new());
        }
        watch.places[0].failed = Instant::now().checked_sub(AGAIN);
        watch.keep(7);
        assert_eq!((watch.watching(7), watch.why(7)), (Some(Watching::Events), None));
    }

    #[test]
    fn watches_stand_where_no_thread_is_to_be_had_for_them_and_the_source_is_polled_too() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (poll, (send, receive)) = (Duration::from_secs(9), std::sync::mpsc::channel());
        let tell = move |touched: Touched| drop(send.send(touched));
        let mut watch = Watch::new(Vec::new(), poll, Reach::default(), tell);
        watch.set_sources(&[vault(&root)], &HashMap::from([(7, Mode::Events)]));
        watch.keep(7);
        let cover = watch.places[0].cover.take().unwrap();
        watch.places[0].kept(Came::Unstarted(cover, "no thread".to_owned()));
        // What came meanwhile may have no watch.
        assert_eq!(watch.watching(7), Some(Watching::Polled(poll)));
        assert_eq!((watch.why(7), watch.outdated()), (Some("no thread"), vec![]));
        let heard = |path: &str| {
            fs::write(root.join(path), "x").unwrap();
            while !receive.recv_timeout(Duration::from_secs(30)).unwrap()[&7].contains(path) {}
        };
        heard("a.md");
        watch.keep(7);
        assert_eq!((watch.watching(7), watch.why(7)), (Some(Watching::Events), None));
        heard("b.md");
    }

    #[test]
    fn each_watcher_has_rules_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let mut watch = Watch::new(Vec::new(), Duration::from_secs(9), Reach::default(), |_| {});
        watch.set_sources(&[vault(&root)], &HashMap::from([(7, Mode::Events)]));
        watch.renew(7);
        let (rules, shut) = watch.places[0].cover.as_ref().unwrap().inner();
        // As where a file system hangs while an event is looked at.
        let (_rules, _shut) = (rules.lock().unwrap(), shut.lock().unwrap());
        watch.lost(7);
        watch.renew(7);
        assert_eq!(watch.watching(7), Some(Watching::Events));
    }

    #[test]
    fn a_look_without_a_reason_keeps_the_watches_that_stand_and_puts_those_that_are_missing() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let deep = root.join("a/deep");
        fs::create_dir_all(&deep).unwrap();
        let (send, receive) = std::sync::mpsc::channel();
        let tell = move |touched: Touched| drop(send.send(touched));
        let mut watch = Watch::new(Vec::new(), Duration::from_secs(9), Reach::default(), tell);
        watch.set_sources(&[vault(&root)], &HashMap::from([(7, Mode::Events)]));
        watch.keep(7);
        assert_eq!(watch.watching(7), Some(Watching::Events), "where none stands all are put");
        let heard = |path: &str| {
            fs::write(root.join(path), "x").unwrap();
            while !receive.recv_timeout(Duration::from_secs(30)).unwrap()[&7].contains(path) {}
        };
        heard("a/deep/1.md");
        // What is watched anew forgets it.
        let mark = "a mark";
        watch.places[0].why = Some(mark.to_owned());
        watch.keep(7);
        heard("a/deep/2.md");
        if SINGLY {
            let known = |watch: &mut Watch| {
                let cover = watch.places[0].cover.as_mut().unwrap();
                (cover.folders().len(), cover.folders().get(&deep).copied())
            };
            let (n, there) = known(&mut watch);
            assert!(n == 3 && there.is_some());
            // One that was never heard of, then one that another was mounted over.
            watch.places[0].cover.as_mut().unwrap().forget(&deep);
            watch.keep(7);
            heard("a/deep/3.md");
            let cover = watch.places[0].cover.as_mut().unwrap();
            cover.folders().insert(deep.clone(), Some((0, 0)));
            watch.keep(7);
            heard("a/deep/4.md");
            assert_eq!(known(&mut watch), (3, there));
        }
        assert_eq!(watch.why(7), Some(mark), "all of it without another watcher");
        watch.places[0].known = None;
        watch.keep(7);
        assert_eq!(watch.why(7), None, "another folder is watched anew");
        heard("a/deep/5.md");
    }
}

//! Which documents wait for vectors, without a look at all of them for each one that was saved.
//!
//! The database is asked for all that wait once, and from then on for what came with later
//! generations. Lives in memory and is made anew with whoever embeds: what it stands for is what
//! the database lacks. Invariant: a document that waits stands in the line, was put aside, or is
//! in the hands of whoever took it, who passes over one that waits no more.

use crate::db;
use crate::error::Result;
use rusqlite::Connection;
use std::collections::{HashMap, HashSet};

/// Documents that are looked at for one batch, whether they can be read or not.
pub(crate) const TRIES: usize = 1_024;

/// See the module.
#[derive(Default)]
pub(crate) struct Queue {
    /// The generation that it knows, and the sources that it was asked for.
    known: Option<(u64, Vec<i64>)>,
    /// Documents and how many passages they have, the next one last.
    line: Vec<(u32, u32)>,
    /// Those that could not be embedded as they are: their generation and passages.
    aside: HashMap<u32, (u64, u32)>,
    /// Sum of the line.
    n_passages: u64,
}

impl Queue {
    /// Brings it to the newest generation: what was saved since comes first, then what was modified
    /// last.
    ///
    /// # Errors
    /// `Sql`.
    pub(crate) fn follow(&mut self, db: &Connection, space: i64, sources: &[i64]) -> Result<()> {
        let generation = db::generation(db)?;
        let known = self.known.take().filter(|(at, of)| of == sources && *at <= generation);
        let since = known.as_ref().map(|(at, _)| *at);
        if since != Some(generation) {
            let mut newer = db::waiting(db, space, sources, since)?;
            newer.reverse();
            match since {
                None => {
                    *self = Queue { line: newer, ..Queue::default() };
                }
                Some(_) if !newer.is_empty() => {
                    let came: HashSet<u32> = newer.iter().map(|(file, _)| *file).collect();
                    self.line.retain(|(file, _)| !came.contains(file));
                    self.aside.retain(|file, _| !came.contains(file));
                    self.line.append(&mut newer);
                }
                Some(_) => {}
            }
            self.n_passages = self.line.iter().map(|(_, n)| u64::from(*n)).sum();
        }
        self.known = Some((generation, sources.to_vec()));
        Ok(())
    }

    /// Takes the next document, which may wait no more.
    pub(crate) fn take(&mut self) -> Option<u32> {
        let (file, n) = self.line.pop()?;
        self.n_passages -= u64::from(n);
        Some(file)
    }

    /// Puts a document aside that cannot be embedded as it is in this generation.
    pub(crate) fn put_aside(&mut self, file: u32, generation: u64, n_passages: u32) {
        self.aside.insert(file, (generation, n_passages));
    }

    /// Whether it was put aside as it is in this generation.
    pub(crate) fn is_aside(&self, file: u32, generation: u64) -> bool {
        self.aside.get(&file).is_some_and(|(at, _)| *at == generation)
    }

    /// What was put aside may be tried again, behind all others.
    pub(crate) fn retry(&mut self) {
        if self.aside.is_empty() {
            return;
        }
        let mut line: Vec<(u32, u32)> =
            self.aside.drain().map(|(file, (_, n))| (file, n)).collect();
        line.sort_unstable();
        let again: HashSet<u32> = line.iter().map(|(file, _)| *file).collect();
        line.extend(self.line.drain(..).filter(|(file, _)| !again.contains(file)));
        self.n_passages = line.iter().map(|(_, n)| u64::from(*n)).sum();
        self.line = line;
    }

    /// Nobody stands in the line; some may be put aside.
    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Passages that wait: of those in the line, and of those that were put aside. Documents that
    /// went away count until their turn comes.
    pub(crate) fn waiting(&self) -> (u64, u64) {
        (self.n_passages, self.aside.values().map(|(_, n)| u64::from(*n)).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::Updater;
    use std::sync::atomic::{AtomicI64, Ordering};

    const SPACE: i64 = 7;

    /// Each look is a moment later.
    fn tick() -> i64 {
        static NOW: AtomicI64 = AtomicI64::new(1);
        NOW.fetch_add(1, Ordering::Relaxed)
    }

    struct Place {
        updater: Updater,
        _dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let index = crate::Index::open(dir.path()).unwrap();
            Place { updater: Updater::new(index, tick).unwrap(), _dir: dir }
        }

        fn push(&mut self, path: &str) {
            self.updater.push("pushed", path, format!("a walrus, {}", tick())).unwrap();
        }

        fn sources(&self) -> Vec<i64> {
            self.updater.sources().unwrap().iter().map(|source| source.id).collect()
        }

        fn follow(&self, queue: &mut Queue) {
            queue.follow(self.updater.db(), SPACE, &self.sources()).unwrap();
        }

        fn take(&self, queue: &mut Queue) -> Option<String> {
            let (db, sources) = (self.updater.db(), self.sources());
            let waits = |file: &u32| db::waits(db, SPACE, *file, &sources).unwrap().is_some();
            let file = std::iter::from_fn(|| queue.take()).find(waits)?;
            Some(db::file(db, file).unwrap().unwrap().path)
        }

        fn id(&self, path: &str) -> u32 {
            db::id_at(self.updater.db(), self.sources()[0], path).unwrap().unwrap()
        }

        fn embed(&self, path: &str) {
            let (db, file) = (self.updater.db(), self.id(path));
            let generation = db::file(db, file).unwrap().unwrap().generation;
            db::put_embedded(db, SPACE, file, generation, &[0]).unwrap();
        }
    }

    #[test]
    fn what_came_later_is_next_and_what_waits_no_more_is_passed_over() {
        let (mut place, mut queue) = (Place::new(), Queue::default());
        ["a.md", "b.md", "c.md"].iter().for_each(|path| place.push(path));
        place.follow(&mut queue);
        assert_eq!(queue.waiting(), (3, 0));
        assert_eq!(place.take(&mut queue).as_deref(), Some("c.md"));
        place.push("a.md");
        place.push("d.md");
        place.follow(&mut queue);
        assert_eq!(queue.waiting(), (3, 0), "one stands in the line once");
        place.embed("a.md");
        let left = [(); 3].map(|()| place.take(&mut queue));
        assert_eq!(left, [Some("d.md".to_owned()), Some("b.md".to_owned()), None]);
        assert!(queue.is_empty() && queue.waiting() == (0, 0));
        // All of them were taken; the next look asks for what is new alone.
        place.push("e.md");
        place.follow(&mut queue);
        assert_eq!(place.take(&mut queue).as_deref(), Some("e.md"));
        assert_eq!(place.take(&mut queue), None);
    }

    #[test]
    fn what_was_put_aside_waits_until_it_changes_or_is_tried_again() {
        let (mut place, mut queue) = (Place::new(), Queue::default());
        place.push("a.md");
        place.push("b.md");
        place.follow(&mut queue);
        for path in ["b.md", "a.md"] {
            assert_eq!(place.take(&mut queue).as_deref(), Some(path));
            let generation =
                db::file(place.updater.db(), place.id(path)).unwrap().unwrap().generation;
            queue.put_aside(place.id(path), generation, 1);
            assert!(queue.is_aside(place.id(path), generation));
            assert!(!queue.is_aside(place.id(path), generation + 1));
        }
        place.follow(&mut queue);
        assert_eq!((place.take(&mut queue), queue.waiting()), (None, (0, 2)));
        place.push("b.md");
        place.follow(&mut queue);
        assert_eq!(queue.waiting(), (1, 1));
        queue.retry();
        assert_eq!(queue.waiting(), (2, 0));
        let left = [(); 3].map(|()| place.take(&mut queue));
        assert_eq!(left, [Some("b.md".to_owned()), Some("a.md".to_owned()), None]);
    }

    #[test]
    fn other_sources_and_an_older_generation_are_another_question() {
        let (mut place, mut queue) = (Place::new(), Queue::default());
        place.push("a.md");
        place.follow(&mut queue);
        queue.follow(place.updater.db(), SPACE, &[]).unwrap();
        assert_eq!(queue.waiting(), (0, 0));
        place.follow(&mut queue);
        assert_eq!(queue.waiting(), (1, 0));
        // The database was made anew behind it.
        queue.known = Some((u64::MAX, place.sources()));
        queue.line.clear();
        place.follow(&mut queue);
        assert_eq!(queue.waiting(), (1, 0));
    }
}

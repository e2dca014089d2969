//! Mending what is derived: words and vectors that a crash, a full disk or somebody's hand left
//! behind, cut, or took away.
//!
//! The database is the truth. Words that lag are brought up; damaged ones are made anew in a folder
//! of their own, which takes the place of the damaged one when it is whole. Vectors that are lost
//! are forgotten, so that whoever embeds makes them again. All with the writer's lock in hand.
//! Invariant: readers find words that are damaged or words that are whole, never half of them.

use crate::compact::STEP;
use crate::db;
use crate::error::{Error, Result};
use crate::graph;
use crate::lexical::{Lexical, Writer};
use crate::place::{self, Identity};
use crate::update::{Outcome, Updater};
use crate::vector;
use crate::words::SUSPECT;
use crate::{Freshness, private_folder, sync_folder};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

/// Where words are made anew.
const NEW: &str = "words.new";
/// What is wrong with words of another version.
const OTHERS: &str = "it has the fields of another version";
/// How the folder of damaged words begins; behind it stands when it was set aside.
const ASIDE: &str = "words.damaged-";
/// Between two looks at every file, however often some process suspects damage.
const HEAL_AGAIN: Duration = Duration::from_secs(10);
/// Mended things that are remembered to be told.
const MENDED_MAX: usize = 16;

/// What a writer knows of its data directory.
pub(crate) struct Health {
    /// Which files the database and the lock are.
    database: Option<Identity>,
    lock: Option<Identity>,
    /// What was made anew, in words.
    mended: Vec<String>,
    /// Something was made anew since somebody asked.
    renewed: bool,
    /// When every file was last looked at.
    looked: Option<Instant>,
    /// By space, its change when its dead rows were last counted and were few.
    pub(crate) counted: RefCell<HashMap<i64, u64>>,
}

impl Health {
    /// Of a data directory whose lock was just taken.
    pub(crate) fn of(dir: &Path, lock: &File) -> Result<Self> {
        let meta = lock.metadata().map_err(|e| Error::data(dir.join("writer.lock"), e))?;
        Ok(Health {
            database: Identity::at(&dir.join("index.db"))?,
            lock: Some(Identity::of(&meta)),
            mended: Vec::new(),
            renewed: false,
            looked: None,
            counted: RefCell::default(),
        })
    }
}

impl Updater {
    /// Removes what killed processes left half made, and mends what they left behind.
    pub(crate) fn begin_well(&mut self) -> Result<()> {
        self.sweep()?;
        self.check_words(false)?;
        self.mend_vectors()?;
        self.recover()
    }

    /// Looks whether database and lock still lie where they were.
    ///
    /// # Errors
    /// `Data` when not: another process may write what lies there now.
    pub(crate) fn look(&self) -> Result<()> {
        self.index().look_now()?;
        for (name, own) in [("index.db", self.health.database), ("writer.lock", self.health.lock)] {
            let path = self.dir().join(name);
            if Identity::at(&path)? != own {
                self.index().set_freshness(Freshness { pending: 1, fresh: false });
                return Err(place::gone(&path));
            }
        }
        Ok(())
    }

    /// Whether a process met what may be damage of words or vectors.
    ///
    /// # Errors
    /// `Data` when the data directory is no longer the one that was locked.
    pub fn is_suspect(&self) -> Result<bool> {
        self.look()?;
        let due = self.health.looked.is_none_or(|at| at.elapsed() >= HEAL_AGAIN);
        Ok(due && self.dir().join(SUSPECT).exists())
    }

    /// Looks at every file of words and vectors and makes anew what is damaged; true if something
    /// was: what could not be read as it was indexed is found by the next comparison.
    ///
    /// # Errors
    /// `Sql`, `Words`, `Data`.
    pub fn heal(&mut self) -> Result<bool> {
        // First: what is met meanwhile is looked at again.
        let _ = std::fs::remove_file(self.dir().join(SUSPECT));
        self.health.mended.clear();
        self.end_words();
        self.check_words(true)?;
        self.mend_vectors()?;
        self.recover()?;
        self.health.looked = Some(Instant::now());
        Ok(!self.health.mended.is_empty())
    }

    /// What was found damaged and mended since the lock was taken, in words.
    pub fn mended(&self) -> &[String] {
        &self.health.mended
    }

    /// Whether something was made anew since this was last asked. What could not be read meanwhile
    /// is found by a comparison of every source.
    pub fn take_renewed(&mut self) -> bool {
        std::mem::take(&mut self.health.renewed)
    }

    fn note_mended(&mut self, what: String) {
        tracing::warn!(what, "mended");
        self.health.renewed = true;
        if self.health.mended.len() < MENDED_MAX {
            self.health.mended.push(what);
        }
    }

    fn sweep(&self) -> Result<()> {
        let ids: Vec<i64> = db::spaces(self.db())?.iter().map(|space| space.id).collect();
        vector::keep_only(self.dir(), |id| ids.contains(&id));
        while db::forget_leavings(self.db(), STEP)? {}
        remove_where(&self.dir().join("vectors"), |name| name.contains(".new-"));
        // Tantivy writes its lists so, and gives them their name when they are whole.
        remove_where(&self.dir().join("words"), |name| name.starts_with(".tmp"));
        let _ = std::fs::remove_dir_all(self.dir().join(NEW));
        Ok(())
    }

    /// Looks at the files of the words: at those that changed since they were found sound, or all.
    fn check_words(&mut self, all: bool) -> Result<()> {
        let known = if all { HashSet::new() } else { db::sound(self.db())? };
        let looked = self.index().reopen_words().and_then(|words| {
            if all {
                words.view(None)?;
            }
            words.verify(&known)
        });
        match looked {
            Ok(sound) if sound == known => Ok(()),
            Ok(sound) => db::set_sound(self.db(), &sound),
            Err(Error::Damaged(reason)) => self.renew_words(&reason),
            Err(Error::OtherWords) => self.renew_words(OTHERS),
            Err(error) => Err(error),
        }
    }

    /// Brings the words up to the database's generation, and makes damaged ones anew.
    pub(crate) fn recover(&mut self) -> Result<()> {
        match self.catch_up() {
            Err(Error::Damaged(reason)) => self.renew_words(&reason),
            Err(Error::OtherWords) => self.renew_words(OTHERS),
            other => other,
        }
    }

    fn catch_up(&mut self) -> Result<()> {
        let generation = db::generation(self.db())?;
        let lexical = self.index().words()?;
        let words = lexical.generation()?;
        if words == generation {
            return Ok(());
        }
        self.end_words();
        let after = if words > generation { 0 } else { words };
        let mut writer = lexical.writer(false, self.index().memory())?;
        for id in db::gone_after(self.db(), after)? {
            writer.remove(id);
            writer.remove_links(id);
        }
        // Departures that are forgotten by now, and documents of a newer database.
        let all: BTreeSet<u32> = db::files_after(self.db(), 0)?.into_iter().collect();
        let census = self.index().census()?;
        for (file, ..) in census.into_iter().filter(|(file, ..)| !all.contains(file)) {
            writer.remove(file);
            writer.remove_links(file);
        }
        let next = words.max(generation) + 1;
        let lead = words > generation;
        self.apply(&mut writer, db::files_after(self.db(), after)?, &all, next, lead)?;
        writer.close()?;
        // The view that was counted may bear a generation that comes again.
        self.index().forget_view();
        tracing::info!(from = words, to = next, "recovered the word index");
        Ok(())
    }

    /// Adds documents anew, the texts of links to all, and commits both under a generation that no
    /// reader has seen: one with an older view looks again. `lead` says that the words are of a
    /// later commit than the database.
    fn apply(
        &self,
        writer: &mut Writer,
        ids: Vec<u32>,
        all: &BTreeSet<u32>,
        generation: u64,
        lead: bool,
    ) -> Result<()> {
        for id in ids {
            self.reapply(writer, id)?;
        }
        // A document that did not change may be linked to in other words now.
        for (id, texts) in graph::link_texts(self.db(), all)? {
            writer.set_links(id, &texts)?;
        }
        // The words may lag behind the database, never lead. Where they do they go on leading until
        // they are made anew: words that lag are taken for those of an earlier commit, and what a
        // lost one left in them would stay.
        if lead {
            writer.commit(generation)?;
            return db::set_generation(self.db(), generation);
        }
        db::set_generation(self.db(), generation)?;
        writer.commit(generation)
    }

    /// Rebuilds the word index from the database and the sources.
    pub fn rebuild_words(&mut self) -> Result<Outcome> {
        let generation = db::generation(self.db())? + 1;
        let all: BTreeSet<u32> = db::files_after(self.db(), 0)?.into_iter().collect();
        let lexical = self.index().words()?;
        self.end_words();
        let mut writer = lexical.writer(true, self.index().memory())?;
        for (file, ..) in self.index().census()? {
            writer.remove(file);
            writer.remove_links(file);
        }
        self.apply(&mut writer, all.iter().copied().collect(), &all, generation, false)?;
        writer.close()?;
        self.index().forget_view();
        Ok(Outcome { changed: all.len(), generation, ..Outcome::default() })
    }

    /// Makes the words anew from the sources and puts them in the place of the damaged ones.
    fn renew_words(&mut self, reason: &str) -> Result<()> {
        tracing::warn!(reason, "the words are damaged and are made anew");
        // Its merges write to the folder by its name.
        self.end_words();
        self.index().set_freshness(Freshness { pending: 1, fresh: false });
        let new = self.dir().join(NEW);
        if let Err(error) = self.make_words(&new) {
            // A full disk gets its room back.
            let _ = std::fs::remove_dir_all(&new);
            return Err(error);
        }
        self.index().close_words();
        let aside = set_aside(self.dir(), self.now())?;
        let words = self.dir().join("words");
        let moved = std::fs::rename(&new, &words).and_then(|()| sync_folder(self.dir()));
        moved.map_err(|e| Error::data(&words, e))?;
        self.index().reopen_words()?;
        db::set_sound(self.db(), &HashSet::new())?;
        let kept = aside.map_or_else(String::new, |name| format!(" (`{name}` has the former)"));
        self.note_mended(format!("the word index was damaged: {reason}{kept}"));
        Ok(())
    }

    fn make_words(&self, folder: &Path) -> Result<()> {
        let fail = |error| Error::data(folder, error);
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(fail(error)),
            _ => private_folder(folder).map_err(fail)?,
        }
        let all: BTreeSet<u32> = db::files_after(self.db(), 0)?.into_iter().collect();
        let generation = db::generation(self.db())? + 1;
        let lexical = Lexical::open(folder, true)?;
        let mut writer = lexical.writer(true, self.index().memory())?;
        self.apply(&mut writer, all.iter().copied().collect(), &all, generation, false)?;
        writer.close()
    }

    /// Rows of documents that are gone are of use to nobody.
    pub(crate) fn mend_strays(&mut self) -> Result<()> {
        let strays = db::strays(self.db())?;
        if !strays.is_empty() {
            let transaction = self.begin()?;
            db::forget_strays(&transaction)?;
            transaction.commit()?;
        }
        for (what, n) in strays {
            self.note_mended(format!("{n} rows of `{what}` belonged to no document"));
        }
        Ok(())
    }

    /// Vectors that the database names and that are in no file are forgotten: their passages wait
    /// to be embedded again.
    pub(crate) fn mend_vectors(&mut self) -> Result<()> {
        for space in db::spaces(self.db())? {
            let held = vector::held(self.dir(), space.id, space.dimensions)?;
            if held >= space.n_rows {
                continue;
            }
            let work = self.compaction(&space, held)?;
            work.run(&|| true)?;
            while !self.compacted(&work)? {}
            let (name, n_rows) = (&space.name, space.n_rows);
            self.note_mended(format!(
                "{} of the {n_rows} vectors of `{name}` were lost; what lacks one is embedded \
                 again",
                n_rows - held
            ));
        }
        Ok(())
    }
}

/// Removes the files of a folder whose name is meant. One that stays costs room, nothing else.
fn remove_where(folder: &Path, meant: impl Fn(&str) -> bool) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(&meant) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Sets the folder of the words aside; those of earlier damages go. Says its name, if it was there.
fn set_aside(dir: &Path, now_ms: i64) -> Result<Option<String>> {
    for entry in std::fs::read_dir(dir).map_err(|e| Error::data(dir, e))?.flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(ASIDE)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let (words, name) = (dir.join("words"), format!("{ASIDE}{now_ms}"));
    match std::fs::rename(&words, dir.join(&name)) {
        Ok(()) => Ok(Some(name)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::data(words, error)),
    }
}

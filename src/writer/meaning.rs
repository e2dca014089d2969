//! What the writer does for the meaning of passages when it has nothing else to do: has them
//! embedded, and graphs over their vectors built, on threads that give way.

use super::{BATTERY_AGAIN, EMBED_AGAIN, GRAPH_AGAIN, GRAPH_FAILED, LEFT_AGAIN, Loop};
use crate::power;
use std::sync::Arc;
use std::time::Instant;
use synod_index::{Coverage, Embedder, Error, Updater};

impl Loop {
    /// Keeps what was embedded, and hands on what is to be next; true if there is more to do now.
    pub(super) fn embed(&mut self, updater: &mut Updater) -> bool {
        if self.embedding.is_busy() {
            let Some((embedder, made)) = self.embedding.answer() else { return false };
            if made.is_ok() {
                self.index.set_failure(None);
            }
            let kept = made.and_then(|made| updater.embedded(&*embedder, &mut self.meaning, made));
            return self.note_embedded(kept);
        }
        if self.graphs.is_keeping() {
            // What would be embedded now would be embedded into a space that goes.
            return false;
        }
        let Some(wanted) = self.index.embedder() else { return false };
        if self.space != wanted.space() {
            self.space = wanted.space().to_owned();
            self.embed_soon();
        }
        if self.left_at.is_some_and(|at| at <= Instant::now()) {
            self.embed_again();
        }
        if self.embed_at.is_none_or(|at| at > Instant::now()) {
            return false;
        }
        // On a battery too: until then nobody knows what vectors of an older program belong to.
        if let Err(error) = updater.adopt(&*wanted) {
            return self.note_embedded(Err(error));
        }
        if self.on_battery() {
            self.index.set_rate(0.0);
            self.embed_at = Some(Instant::now() + BATTERY_AGAIN);
            return false;
        }
        let Some(embedder) = self.to_embed(updater, wanted) else { return false };
        match updater.batch(&*embedder, &mut self.meaning) {
            Ok(batch) if !batch.is_empty() => {
                self.embedding.ask(embedder, batch);
                false
            }
            // Only documents whose passages all have a vector already, or none.
            Ok(batch) => {
                let made = batch.run(&*embedder);
                let kept =
                    made.and_then(|made| updater.embedded(&*embedder, &mut self.meaning, made));
                self.note_embedded(kept)
            }
            Err(error) => self.note_embedded(Err(error)),
        }
    }

    /// Says how far it is; true if there may be more.
    pub(super) fn note_embedded(&mut self, kept: Result<Coverage, Error>) -> bool {
        match kept {
            Ok(coverage) if coverage.waiting > 0 => {
                self.index.set_rate(coverage.rate);
                return true;
            }
            Ok(coverage) => {
                if coverage.left > 0 {
                    tracing::warn!(passages = coverage.left, "cannot be embedded as things are");
                    self.left_at.get_or_insert_with(|| Instant::now() + LEFT_AGAIN);
                }
                self.embed_at = None;
            }
            Err(error) => {
                tracing::error!(error = %error, "cannot embed; it is tried again");
                if matches!(error, Error::Embedding(_)) {
                    self.index.set_failure(Some(error.to_string()));
                }
                self.embed_at = Some(Instant::now() + EMBED_AGAIN);
            }
        }
        self.index.set_rate(0.0);
        false
    }

    pub(super) fn on_battery(&self) -> bool {
        !self.config.embedding.on_battery && power::is_on_battery()
    }

    /// Has a graph built that is missing, and makes one that is there known; true if there is more
    /// to do now.
    pub(super) fn graph(&mut self, updater: &Updater) -> bool {
        if let Some((work, built)) = self.graphs.done() {
            let made = matches!(built, Ok(true));
            if made && self.embedding.is_busy() {
                // Vectors that are on their way are to be among those that are made known.
                self.graphs.again(work);
                return false;
            }
            match built.and_then(|built| if built { updater.graph_built(&work) } else { Ok(true) })
            {
                Ok(true) if made => tracing::info!(what = work.name(), "done in the background"),
                Ok(true) => {}
                Ok(false) => {
                    self.graphs.again(work);
                    return true;
                }
                Err(error) => {
                    let what = work.name();
                    tracing::error!(what, error = %error, "failed; it is tried again later");
                    self.graph_at = Instant::now() + GRAPH_FAILED;
                }
            }
            // What was embedded while vectors were put together may lack one.
            self.embed_again();
        }
        if self.graph_at > Instant::now() {
            return false;
        }
        self.graph_at = Instant::now() + GRAPH_AGAIN;
        if self.on_battery() {
            self.graph_at = Instant::now() + BATTERY_AGAIN;
            self.graphs.stop();
            return false;
        }
        if self.graphs.is_busy() {
            return false;
        }
        let wanted = updater.graph_wanted().unwrap_or_else(|error| {
            tracing::error!(error = %error, "cannot tell which graph is missing");
            None
        });
        let Some(work) = wanted else { return false };
        if let Err(error) = self.graphs.start(work, self.wake.waker.clone()) {
            tracing::error!(error = %error, "no thread for a graph");
        }
        false
    }

    /// The model whose space is filled: that of the configuration, or, while its space is taken
    /// back, that of the one which answers.
    pub(super) fn to_embed(
        &self,
        updater: &Updater,
        wanted: Arc<dyn Embedder>,
    ) -> Option<Arc<dyn Embedder>> {
        match updater.settle_held(wanted.space()) {
            Ok(false) => Some(wanted),
            Ok(true) => self.index.serving_embedder().ok().flatten(),
            Err(error) => {
                tracing::error!(error = %error, "cannot tell which space is filled");
                None
            }
        }
    }

    /// There may be passages without a vector now.
    pub(super) fn embed_soon(&mut self) {
        self.embed_at.get_or_insert_with(Instant::now);
    }

    /// The same, and what could not be embedded is tried again: not with each save, since all of it
    /// is looked at.
    pub(super) fn embed_again(&mut self) {
        self.left_at = None;
        self.meaning.retry();
        self.embed_soon();
    }
}

//! What a writer survives.

use super::*;
use std::sync::atomic::AtomicUsize;
use synod_index::{Embedder, SourceSpec};

/// Longest wait; only a hang takes it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A model that panics as long as it is broken.
#[derive(Default)]
struct Model {
    sound: AtomicBool,
    n_panics: AtomicUsize,
}

impl Embedder for Model {
    fn space(&self) -> &str {
        if !self.sound.load(Ordering::Relaxed) {
            self.n_panics.fetch_add(1, Ordering::Relaxed);
            panic!("a broken model");
        }
        "sound"
    }

    fn dimensions(&self) -> usize {
        2
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        Ok(texts.iter().map(|_| vec![1.0, 0.0]).collect())
    }

    fn query(&self, _text: &str) -> Result<Vec<f32>, String> {
        Ok(vec![1.0, 0.0])
    }
}

fn poll(what: &str, done: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_panic_costs_one_round_and_not_the_thread() {
    let dir = tempfile::tempdir().unwrap();
    let (vault, data) = (dir.path().join("vault"), dir.path().join("data"));
    std::fs::create_dir(&vault).unwrap();
    std::fs::write(vault.join("a.md"), "walrus\n").unwrap();
    let index = Index::open(&data).unwrap();
    let mut updater = Updater::new(Arc::clone(&index), now_ms).unwrap();
    updater.add_source(&vault, &SourceSpec::default()).unwrap();
    drop(updater);
    let model = Arc::new(Model::default());
    index.set_embedder(Arc::<Model>::clone(&model));
    let store = Arc::new(Store::open(&data).unwrap());
    let (stop, (waker, pending)) = (Arc::new(AtomicBool::new(false)), prepare());
    let started = pending.start(Arc::clone(&index), store, Arc::default(), Arc::clone(&stop));
    let thread = started.unwrap();
    poll("a second round", || model.n_panics.load(Ordering::Relaxed) >= 2);
    poll("the end of freshness", || !index.freshness().fresh);
    assert!(!thread.is_finished());
    model.sound.store(true, Ordering::Relaxed);
    poll("a sound round", || index.freshness().fresh);
    stop.store(true, Ordering::Relaxed);
    waker.wake();
    thread.join().unwrap();
}

//! The engine: what it keeps between asks, and its doors.
//!
//! Everything that waits is a future; no thread is held. Dropping a future cancels its call.

use crate::ask::{Answer, Ask, Event, Finish, Hear};
use crate::budget::{self, Charge, Ledger, Spent, Wanted};
use crate::cache::{self, Cache, CacheKey};
use crate::catalog::{Catalog, Key, Model, Provider};
use crate::clock;
use crate::course::Course;
use crate::dialect::Dialect;
use crate::error::{Error, Failure, FailureKind};
use crate::lane::{Lane, LaneState, Queued};
use crate::metric::{Metrics, ProviderMetrics};
use crate::quirk::Quirks;
use crate::replay::{Recorder, Transcripts};
use crate::wire::Wire;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Asks many models; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inside: Arc<Inside>,
}

/// Told of every amount that is spent, and of every reservation that ends; called on the task that
/// asks, so it must be quick.
pub type OnCharge = Arc<dyn Fn(&Charge) + Send + Sync>;

/// Asked before each call that a budget is set for: whoever keeps the books of several engines
/// reserves what is wanted, or says which account refuses.
pub type OnReserve =
    Arc<dyn Fn(&Wanted) -> BoxFuture<'static, Result<(), FailureKind>> + Send + Sync>;

type Flight = BoxFuture<'static, Result<Answer, Failure>>;

/// What the clones share.
pub(crate) struct Inside {
    table: Mutex<Arc<Table>>,
    lanes: Mutex<BTreeMap<LaneName, Arc<Lane>>>,
    ledger: Mutex<Ledger>,
    cache: Mutex<Cache>,
    flights: Mutex<HashMap<CacheKey, WeakShared<Flight>>>,
    metrics: Mutex<Metrics>,
    on_charge: Mutex<Option<OnCharge>>,
    on_reserve: Mutex<Option<OnReserve>>,
    /// By provider and name: models that refused something.
    quirks: Mutex<BTreeMap<(String, String), Quirks>>,
    pub recorder: Mutex<Option<Arc<Recorder>>>,
    pub rotation: AtomicUsize,
}

/// A catalog and what was made from it.
pub(crate) struct Table {
    pub catalog: Catalog,
    pub wires: HashMap<String, Wire>,
    pub transcripts: HashMap<String, Arc<Transcripts>>,
    pub secrets: Vec<String>,
}

/// What a lane is known by: another URL or another secret is another lane.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct LaneName {
    provider: String,
    url: String,
    key: String,
    secret: [u8; 32],
    model: String,
}

impl LaneName {
    fn new(provider: &Provider, key: Option<&Key>, model: &Model) -> Self {
        let secret = key.map_or("", |key| &key.secret);
        LaneName {
            provider: provider.name.clone(),
            url: provider.url.clone(),
            key: key.map(|key| key.label.clone()).unwrap_or_default(),
            secret: *blake3::hash(secret.as_bytes()).as_bytes(),
            model: model.name.clone(),
        }
    }
}

/// The keys of a provider, or the one missing key of a provider that needs none.
pub(crate) fn keys(provider: &Provider) -> Vec<Option<&Key>> {
    if provider.keys.is_empty() {
        return vec![None];
    }
    provider.keys.iter().map(Some).collect()
}

/// A lock that a panic elsewhere does not take away.
pub(crate) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    fn new(catalog: Catalog, old: Option<&Table>) -> Result<Self, Error> {
        catalog.check()?;
        let (mut wires, mut transcripts) = (HashMap::new(), HashMap::new());
        for provider in &catalog.providers {
            let name = provider.name.clone();
            if provider.dialect == Dialect::Replay {
                let known = Transcripts::open(Path::new(&provider.url))?;
                transcripts.insert(name, Arc::new(known));
                continue;
            }
            // An unchanged provider keeps its connections.
            let kept = old.and_then(|old| {
                let before = old.catalog.provider(&name)?;
                let same = before.url == provider.url
                    && before.local == provider.local
                    && before.connect_ms == provider.connect_ms;
                old.wires.get(&name).filter(|_| same).cloned()
            });
            let connect = Duration::from_millis(provider.connect_ms);
            let wire = match kept {
                Some(wire) => wire,
                None => Wire::new(&provider.url, provider.local, connect).map_err(|e| match e {
                    Error::Catalog(reason) => {
                        Error::Catalog(format!("provider `{}`: {reason}", provider.name))
                    }
                    other => other,
                })?,
            };
            wires.insert(name, wire);
        }
        let secrets = catalog.secrets();
        Ok(Table { catalog, wires, transcripts, secrets })
    }
}

impl Engine {
    /// An engine for these rows.
    ///
    /// # Errors
    /// `Catalog` for rows that do not hold together, `File` and `Row` for transcripts that cannot
    /// be read, `Client`.
    pub fn new(catalog: Catalog) -> Result<Self, Error> {
        let inside = Inside {
            table: Mutex::new(Arc::new(Table::new(catalog, None)?)),
            lanes: Mutex::default(),
            ledger: Mutex::default(),
            cache: Mutex::default(),
            flights: Mutex::default(),
            metrics: Mutex::default(),
            on_charge: Mutex::default(),
            on_reserve: Mutex::default(),
            quirks: Mutex::default(),
            recorder: Mutex::default(),
            rotation: AtomicUsize::new(0),
        };
        Ok(Engine { inside: Arc::new(inside) })
    }

    /// Takes other rows from the next ask on. Breakers, limits and amounts of what stays are kept,
    /// what models refuse is learned anew; after an error everything is as before.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn reload(&self, catalog: Catalog) -> Result<(), Error> {
        let table = Arc::new(Table::new(catalog, Some(&self.table()))?);
        let now = Instant::now();
        let mut kept = BTreeMap::new();
        for model in &table.catalog.models {
            let Some(provider) = table.catalog.provider(&model.provider) else { continue };
            for key in keys(provider) {
                kept.insert(LaneName::new(provider, key, model), provider);
            }
        }
        held(&self.inside.lanes).retain(|name, lane| {
            let provider = kept.get(name);
            provider.inspect(|provider| lane.set_limits(provider, now)).is_some()
        });
        held(&self.inside.quirks).clear();
        *held(&self.inside.table) = Arc::clone(&table);
        Ok(())
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&held(&self.inside.table))
    }

    /// The lane of a model with a key; made when it is first needed.
    pub(crate) fn lane(&self, provider: &Provider, key: Option<&Key>, model: &Model) -> Arc<Lane> {
        let mut lanes = held(&self.inside.lanes);
        let name = LaneName::new(provider, key, model);
        let made = || Arc::new(Lane::new(provider, Instant::now()));
        Arc::clone(lanes.entry(name).or_insert_with(made))
    }

    /// The rows of the models.
    pub fn models(&self) -> Vec<Model> {
        self.table().catalog.models.clone()
    }

    /// Looks at the rows of the models as they are now.
    pub fn with_models<T>(&self, look: impl FnOnce(&[Model]) -> T) -> T {
        look(&self.table().catalog.models)
    }

    /// The row of a model.
    pub fn model(&self, id: &str) -> Option<Model> {
        self.table().catalog.model(id).cloned()
    }

    /// Whether a model runs on this machine or in this house.
    pub fn is_local(&self, id: &str) -> bool {
        let table = self.table();
        let provider = table.catalog.model(id).and_then(|m| table.catalog.provider(&m.provider));
        provider.is_some_and(|provider| provider.local)
    }

    /// Breakers and queues of every lane that was used, by provider, key and model.
    pub fn lanes(&self) -> Vec<LaneState> {
        let now = Instant::now();
        let lanes = held(&self.inside.lanes);
        let read = |(name, lane): (&LaneName, &Arc<Lane>)| {
            let (breaker, running, waiting) = lane.read(now);
            LaneState {
                provider: name.provider.clone(),
                key: name.key.clone(),
                model: name.model.clone(),
                breaker,
                running,
                waiting,
            }
        };
        lanes.iter().map(read).collect()
    }

    /// The asks of one piece of work ([`crate::Claim::whose`]) that wait for a place.
    pub fn queue(&self, whose: &str) -> Vec<Queued> {
        let lanes = held(&self.inside.lanes);
        let mut out = Vec::new();
        for (name, lane) in lanes.iter() {
            let (provider, model) = (&name.provider, &name.model);
            out.extend(lane.before(whose).into_iter().map(|before| Queued {
                provider: provider.clone(),
                model: model.clone(),
                before,
            }));
        }
        out
    }

    /// What was spent so far.
    pub fn spent(&self) -> Spent {
        held(&self.inside.ledger).spent(clock::now_s())
    }

    /// The most that one call for an ask can cost by its own model; nothing when that is unknown.
    pub fn bound(&self, ask: &Ask) -> Option<u64> {
        let table = self.table();
        let model = table.catalog.model(&ask.model)?;
        budget::bound_of(ask, model, table.catalog.provider(&model.provider)?)
    }

    /// Begins with the amounts of an earlier run.
    pub fn load_spent(&self, spent: Spent) {
        held(&self.inside.ledger).load(spent);
    }

    /// Tells `on_charge` of every amount from now on.
    pub fn on_charge(&self, on_charge: OnCharge) {
        *held(&self.inside.on_charge) = Some(on_charge);
    }

    /// Asks `on_reserve` before each call from now on. Each reservation that it grants is ended by
    /// one charge, and one that nobody waited for as well.
    pub fn on_reserve(&self, on_reserve: OnReserve) {
        *held(&self.inside.on_reserve) = Some(on_reserve);
    }

    pub(crate) fn reserver(&self) -> Option<OnReserve> {
        held(&self.inside.on_reserve).clone()
    }

    /// Records every answer of a server from now on.
    pub fn record(&self, recorder: Recorder) {
        *held(&self.inside.recorder) = Some(Arc::new(recorder));
    }

    /// What was counted since the start.
    pub fn metrics(&self) -> Metrics {
        held(&self.inside.metrics).clone()
    }

    /// What is known of a model: by its row, and by what it has refused.
    pub(crate) fn quirks(&self, provider: &Provider, model: &Model) -> Quirks {
        let name = (provider.name.clone(), model.name.clone());
        let known = held(&self.inside.quirks).get(&name).copied().unwrap_or_default();
        Quirks { no_temperature: known.no_temperature || !model.temperature, ..known }
    }

    /// Remembers what a model refuses. There are no more of them than rows.
    pub(crate) fn learn(&self, provider: &Provider, model: &Model, quirks: Quirks) {
        held(&self.inside.quirks).insert((provider.name.clone(), model.name.clone()), quirks);
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        held(&self.inside.ledger)
    }

    pub(crate) fn measure(&self, provider: &str, change: impl FnOnce(&mut ProviderMetrics)) {
        change(held(&self.inside.metrics).providers.entry(provider.to_owned()).or_default());
    }

    pub(crate) fn charged(&self, charge: &Charge) {
        self.measure(&charge.provider, |metrics| metrics.cost_usd_micros += charge.usd_micros);
        let told = held(&self.inside.on_charge).clone();
        if let Some(told) = told {
            told(charge);
        }
    }

    /// Whether a provider's month is spent up to its threshold.
    pub(crate) fn month_spent(&self, provider: &Provider) -> bool {
        provider.monthly_usd_micros.is_some_and(|limit| {
            let used = self.ledger().at_provider(&provider.name, clock::now_s());
            used as f64 >= limit as f64 * provider.fallback_threshold
        })
    }

    /// Asks; gives a complete answer or the failure of the last model that was tried.
    ///
    /// # Errors
    /// A [`Failure`] with everything that was tried.
    pub async fn ask(&self, ask: Ask, deadline: Instant) -> Result<Answer, Failure> {
        self.ask_heard(ask, deadline, Arc::new(|_| {})).await
    }

    /// The same, and `hear` is told of first token and text as they come. An answer that was known
    /// comes as one piece.
    ///
    /// # Errors
    /// As [`Engine::ask`].
    pub async fn ask_heard(
        &self,
        ask: Ask,
        deadline: Instant,
        hear: Hear,
    ) -> Result<Answer, Failure> {
        let start = Instant::now();
        let table = self.table();
        let spent = |name: &str| table.catalog.provider(name).is_some_and(|p| self.month_spent(p));
        // Refused before anything is looked up: what the cache knows is no way around the policy.
        if let Err(kind) = Course::new(&table.catalog, &ask, &spent) {
            return Err(Failure::new(kind, &ask.model));
        }
        let result = match cache_key(&table, &ask) {
            Some(key) => self.ask_once(key, ask, deadline, hear, start).await,
            None => self.run(table, ask, deadline, hear).await,
        };
        if let Ok(answer) = &result {
            let mut metrics = held(&self.inside.metrics);
            metrics.cached += u64::from(answer.cached);
            metrics.fell_back += u64::from(answer.fell_back.is_some());
        }
        result
    }

    /// Answers from the cache, from an equal ask that is on its way, or by a call.
    async fn ask_once(
        &self,
        key: CacheKey,
        ask: Ask,
        deadline: Instant,
        hear: Hear,
        start: Instant,
    ) -> Result<Answer, Failure> {
        let known = held(&self.inside.cache).get(&key);
        if let Some(answer) = known {
            return Ok(shared(answer, &hear, start));
        }
        let model = ask.model.clone();
        // The flight goes on without the one who began it if others wait for it; he is then told
        // nothing any more.
        let ear = Arc::new(hear);
        let (flight, leads) = self.flight(key, ask, deadline, &ear);
        match timeout_at(deadline, flight).await {
            Ok(Ok(answer)) if leads => Ok(answer),
            Ok(Ok(answer)) => Ok(shared(answer, &ear, start)),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::new(FailureKind::Timeout, &model).noted("the deadline is over")),
        }
    }

    fn flight(
        &self,
        key: CacheKey,
        ask: Ask,
        deadline: Instant,
        ear: &Arc<Hear>,
    ) -> (Shared<Flight>, bool) {
        let mut flights = held(&self.inside.flights);
        if let Some(flight) = flights.get(&key).and_then(WeakShared::upgrade) {
            return (flight, false);
        }
        let (engine, ear) = (self.clone(), Arc::downgrade(ear));
        let heard: Hear = Arc::new(move |event: &Event| {
            if let Some(ear) = ear.upgrade() {
                ear(event);
            }
        });
        let flight = async move {
            let result = engine.run(engine.table(), ask, deadline, heard).await;
            if let Ok(answer) = &result
                && keeps(answer)
            {
                held(&engine.inside.cache).put(key, answer.clone());
            }
            held(&engine.inside.flights).remove(&key);
            result
        };
        let flight = flight.boxed().shared();
        flights.retain(|_, other| other.upgrade().is_some());
        flights.extend(flight.downgrade().map(|weak| (key, weak)));
        (flight, true)
    }

    pub(crate) fn rotate(&self) -> usize {
        self.inside.rotation.fetch_add(1, Ordering::Relaxed)
    }
}

/// The key of an ask that may be answered from the cache.
fn cache_key(table: &Table, ask: &Ask) -> Option<CacheKey> {
    let exact = ask.cache || ask.temperature == Some(0.0);
    let model = table.catalog.model(&ask.model).filter(|_| exact)?;
    let provider = table.catalog.provider(&model.provider)?;
    Some(cache::key(ask, model, provider))
}

/// Whether an answer may stand for the next one: that of another model or version may not.
fn keeps(answer: &Answer) -> bool {
    let whole = matches!(answer.finish, Finish::Stop | Finish::Length);
    whole && answer.model == answer.asked && !answer.other_version
}

/// An answer for one who made no call for it.
fn shared(mut answer: Answer, hear: &Hear, start: Instant) -> Answer {
    let model = answer.model.clone();
    hear(&Event::Begun { model: model.clone() });
    hear(&Event::Text { model, delta: answer.text.clone() });
    answer.cached = true;
    answer.cost_usd_micros = Some(0);
    answer.attempts.clear();
    answer.latency_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    answer.first_token_ms = answer.latency_ms;
    answer
}

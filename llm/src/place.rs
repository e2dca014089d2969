//! The places of a lane, and who has the next one that is free.
//!
//! Whoever waits is served by when his work began, later by [`AGED`] for each step of priority. So
//! within a priority it is first come, first served; a more urgent one goes before what began a
//! bounded time before it; and nobody waits for ever. Invariant: no place is free while somebody
//! waits, and whoever goes away takes neither a place nor a turn with him.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Priority of an ask of which nothing is said.
pub const PRIORITY: u8 = 3;
/// The least urgent priority; the most urgent is 1.
const PRIORITY_LAST: u8 = 5;
/// Waiting for so long is worth a step of priority. Not measured: a step is felt by whoever waits
/// for an answer, 45 seconds by default, and all four are made up for within a fifth of the ten
/// minutes that a council has.
const AGED: Duration = Duration::from_secs(30);

/// What an ask goes by where it has to wait for a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// 1 (first) to 5 (last).
    pub priority: u8,
    /// When the work began that it is a part of; by default when it begins to wait.
    pub since: Option<Instant>,
    /// The work that it is a part of, by which [`crate::Engine::queue`] finds it; may be empty.
    pub whose: String,
}

impl Default for Claim {
    fn default() -> Self {
        Claim { priority: PRIORITY, since: None, whose: String::new() }
    }
}

impl Claim {
    /// The earlier, the sooner it is served.
    fn rank(&self, now: Instant) -> Instant {
        let steps = self.priority.clamp(1, PRIORITY_LAST) - 1;
        self.since.unwrap_or(now) + AGED * u32::from(steps)
    }
}

/// Rank, and who came first of those with the same.
type Order = (Instant, u64);

/// Places of which each is one call's at a time, and the queue for them.
pub(crate) struct Places {
    inside: Mutex<Inside>,
}

struct Inside {
    limit: u32,
    /// More than `limit` for a while when that was lowered.
    taken: u32,
    queue: BTreeMap<Order, Waiter>,
    n_came: u64,
}

struct Waiter {
    whose: String,
    turn: oneshot::Sender<Place>,
}

/// One place, until it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.inside().taken -= 1;
        self.places.serve();
    }
}

/// Takes whoever waits out of the queue when he goes.
struct Queued<'a> {
    places: &'a Places,
    order: Order,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.places.inside().queue.remove(&self.order);
    }
}

impl Places {
    pub fn new(limit: u32) -> Self {
        let inside = Inside { limit, taken: 0, queue: BTreeMap::new(), n_came: 0 };
        Places { inside: Mutex::new(inside) }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place. `None` is never seen: nobody but the one who waits leaves the queue
    /// without one.
    pub async fn take(self: &Arc<Self>, claim: &Claim) -> Option<Place> {
        let (turn, place) = oneshot::channel();
        let order = {
            let mut inside = self.inside();
            inside.n_came += 1;
            let order = (claim.rank(Instant::now()), inside.n_came);
            inside.queue.insert(order, Waiter { whose: claim.whose.clone(), turn });
            order
        };
        let _queued = Queued { places: self, order };
        self.serve();
        place.await.ok()
    }

    /// The first of the queue, if a place is free, which is his from now on.
    fn admit(&self) -> Option<Waiter> {
        let mut inside = self.inside();
        if inside.taken >= inside.limit {
            return None;
        }
        let (_, waiter) = inside.queue.pop_first()?;
        inside.taken += 1;
        Some(waiter)
    }

    /// Gives away what is free.
    fn serve(self: &Arc<Self>) {
        while let Some(waiter) = self.admit() {
            // Of one who went away in this moment it comes back as it is dropped here.
            drop(waiter.turn.send(Place { places: Arc::clone(self) }));
        }
    }

    /// Takes over a changed number of places; what is taken stays taken.
    pub fn set_limit(self: &Arc<Self>, limit: u32) {
        self.inside().limit = limit;
        self.serve();
    }

    /// Places that are in use.
    pub fn taken(&self) -> u32 {
        self.inside().taken
    }

    /// Whether whoever comes now has to wait.
    pub fn is_full(&self) -> bool {
        let inside = self.inside();
        inside.taken >= inside.limit
    }

    /// For each who waits for a part of this work, how many are served before him.
    pub fn before(&self, whose: &str) -> Vec<usize> {
        let inside = self.inside();
        let all = inside.queue.values().enumerate();
        all.filter(|(_, waiter)| waiter.whose == whose).map(|(at, _)| at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
    use tokio::task::JoinHandle;

    /// One who waits, says his name when he has a place, and gives it back.
    fn visit(places: &Arc<Places>, claim: Claim, said: &UnboundedSender<String>) -> JoinHandle<()> {
        let (places, said) = (Arc::clone(places), said.clone());
        tokio::spawn(async move {
            let place = places.take(&claim).await.expect("a place");
            said.send(claim.whose.clone()).expect("heard");
            drop(place);
        })
    }

    fn claim(whose: &str, priority: u8, since: Instant) -> Claim {
        Claim { priority, since: Some(since), whose: whose.to_owned() }
    }

    /// Until so many wait.
    async fn waiting(places: &Places, n: usize) {
        while places.inside().queue.len() != n {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn urgent_ones_go_first_and_of_equals_who_began_first() {
        let places = Arc::new(Places::new(1));
        let (said, mut heard) = unbounded_channel();
        let held = places.take(&Claim::default()).await.expect("a place");
        let t = Instant::now();
        let (second, aged) = (t + Duration::from_secs(1), t + 5 * AGED);
        let all = [
            ("last", 5, t),
            ("b", 3, second),
            ("late", 1, aged),
            ("urgent", 1, second),
            ("a", 3, t),
        ];
        let tasks =
            all.map(|(name, priority, at)| visit(&places, claim(name, priority, at), &said));
        waiting(&places, 5).await;
        assert_eq!(places.before("b"), [2]);
        assert_eq!(places.before("late"), [4]);
        assert_eq!((places.before("nobody"), places.taken()), (Vec::new(), 1));
        drop(held);
        let mut order = Vec::new();
        for _ in all {
            order.push(heard.recv().await.expect("one"));
        }
        // What began long before an urgent one goes before it, however little urgent it is.
        assert_eq!(order, ["urgent", "a", "b", "last", "late"]);
        for task in tasks {
            task.await.expect("joined");
        }
        assert!(places.taken() == 0 && !places.is_full());
    }

    #[tokio::test]
    async fn who_goes_away_leaves_nothing_behind() {
        let places = Arc::new(Places::new(1));
        let (said, mut heard) = unbounded_channel();
        let held = places.take(&Claim::default()).await.expect("a place");
        let t = Instant::now();
        let gone = visit(&places, claim("gone", 1, t), &said);
        let stays = visit(&places, claim("stays", 5, t), &said);
        waiting(&places, 2).await;
        gone.abort();
        assert!(gone.await.expect_err("aborted").is_cancelled());
        assert_eq!((places.before("gone"), places.before("stays")), (Vec::new(), vec![0]));
        // He has a place, and goes before he looks at it: this thread runs one task at a time.
        let served = visit(&places, claim("served", 1, t), &said);
        waiting(&places, 2).await;
        drop(held);
        assert_eq!(places.before("served"), Vec::<usize>::new());
        served.abort();
        assert_eq!(heard.recv().await.as_deref(), Some("stays"));
        stays.await.expect("joined");
        assert_eq!(places.taken(), 0);
    }

    #[tokio::test]
    async fn fewer_places_count_from_the_next_on() {
        let places = Arc::new(Places::new(2));
        let (said, mut heard) = unbounded_channel();
        let one = places.take(&Claim::default()).await.expect("a place");
        let two = places.take(&Claim::default()).await.expect("a place");
        places.set_limit(1);
        let next = visit(&places, Claim::default(), &said);
        waiting(&places, 1).await;
        drop(one);
        assert_eq!((places.taken(), places.before("")), (1, vec![0]), "one place, and it is taken");
        places.set_limit(2);
        assert!(heard.recv().await.is_some());
        next.await.expect("joined");
        drop(two);
        assert_eq!(places.taken(), 0);
    }
}

//! What was spent and what may still be: accounts of a call, a session, a day, a month and a
//! provider's month.
//!
//! Pure: the time comes in as an argument. An upper bound is reserved before a call and settled
//! after it. Engines of several processes that spend from the same accounts also ask whoever keeps
//! the books of all ([`Wanted`]). Invariant: spent and reserved together never pass a limit,
//! and an unknown price never counts as nothing.

use crate::ask::{Ask, Usage};
use crate::catalog::{Limits, Model, Price, Provider};
use crate::clock;
use crate::error::FailureKind;
use std::collections::BTreeMap;
use std::time::Duration;

/// Sessions whose spending is known; beyond them the one that spent longest ago is forgotten.
const SESSIONS_MAX: usize = 10_000;
/// A reservation in shared books lapses so long after its call's deadline: settling takes
/// milliseconds, a machine that is short of them a little more. What a process that was killed had
/// reserved is free again then.
const LAPSES_AFTER: Duration = Duration::from_secs(60);
/// Prices are for so many tokens.
const PRICED_TOKENS: u128 = 1_000_000;

/// What was spent, in millionths of a dollar.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Spent {
    /// Day of `day_usd_micros` (UTC), as `2026-11-22`.
    pub day: String,
    /// On that day.
    pub day_usd_micros: u64,
    /// Month of `month_usd_micros` and `providers`, as `2026-11`.
    pub month: String,
    /// In that month.
    pub month_usd_micros: u64,
    /// In that month, by provider.
    pub providers: BTreeMap<String, u64>,
    /// By session, whenever that was.
    pub sessions: BTreeMap<String, u64>,
}

/// One amount that was spent: what a store keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// When its call began, in seconds since 1970: that day and month pay for it.
    pub at_s: u64,
    /// By whose model.
    pub provider: String,
    /// Row id.
    pub model: String,
    /// For which session.
    pub session: Option<String>,
    /// How much; nothing where only a reservation ends.
    pub usd_micros: u64,
    /// What was reserved for it in shared books.
    pub reservation: Option<String>,
}

/// A reservation that is wanted in books which several engines share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Random; the [`Charge`] that ends it names it.
    pub id: String,
    /// Now, in seconds since 1970: that day and month pay for it.
    pub at_s: u64,
    /// After this it lapses, in case its process has gone.
    pub lasts: Duration,
    /// Whose model is to be asked.
    pub provider: String,
    /// For which session.
    pub session: Option<String>,
    /// The most that the call can cost.
    pub usd_micros: u64,
    /// What session, day and month may cost.
    pub limits: Limits,
    /// What the provider may cost in the month.
    pub provider_usd_micros: Option<u64>,
}

/// What a call would count to.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub provider: String,
    pub model: String,
    pub session: Option<String>,
    /// Upper bound; nothing when the price is unknown.
    pub bound: Option<u64>,
    pub call_max: Option<u64>,
    pub provider_max: Option<u64>,
    pub limits: Limits,
    /// When the call begins, in seconds since 1970.
    pub at_s: u64,
    /// What was reserved for it in shared books.
    pub reservation: Option<String>,
}

impl Claim {
    /// Whether an account that several calls share has a limit, and this call is not free.
    pub fn is_shared(&self) -> bool {
        let limits = &self.limits;
        let session = self.session.as_ref().and(limits.session_usd_micros);
        let shared = [session, limits.day_usd_micros, limits.month_usd_micros, self.provider_max];
        self.bound.is_some_and(|bound| bound > 0) && shared.iter().any(Option::is_some)
    }

    /// What is to be reserved for it in shared books, `left` before its deadline.
    pub fn wanted(&self, id: String, left: Duration) -> Wanted {
        Wanted {
            id,
            at_s: self.at_s,
            lasts: left.saturating_add(LAPSES_AFTER),
            provider: self.provider.clone(),
            session: self.session.clone(),
            usd_micros: self.bound.unwrap_or_default(),
            limits: self.limits,
            provider_usd_micros: self.provider_max,
        }
    }
}

/// The books.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    spent: Spent,
    /// When a session spent last, counted in charges.
    touched: BTreeMap<String, u64>,
    charges: u64,
    reserved: u64,
    reserved_providers: BTreeMap<String, u64>,
    reserved_sessions: BTreeMap<String, u64>,
}

fn of(map: &BTreeMap<String, u64>, key: &str) -> u64 {
    map.get(key).copied().unwrap_or_default()
}

fn lower(map: &mut BTreeMap<String, u64>, key: &str, amount: u64) {
    if let Some(value) = map.get_mut(key) {
        *value = value.saturating_sub(amount);
        if *value == 0 {
            map.remove(key);
        }
    }
}

impl Ledger {
    /// Puts the amounts of an earlier run in place of what is known.
    pub fn load(&mut self, spent: Spent) {
        self.touched = spent.sessions.keys().map(|id| (id.clone(), 0)).collect();
        self.spent = spent;
    }

    /// A new day or month begins at nothing.
    fn turn_page(&mut self, now_s: u64) {
        let day = clock::day(now_s);
        let month = day[..7].to_owned();
        if self.spent.day != day {
            self.spent.day = day;
            self.spent.day_usd_micros = 0;
        }
        if self.spent.month != month {
            self.spent.month = month;
            self.spent.month_usd_micros = 0;
            self.spent.providers.clear();
        }
    }

    pub fn spent(&mut self, now_s: u64) -> Spent {
        self.turn_page(now_s);
        self.spent.clone()
    }

    /// Spent in this month at a provider, reservations included.
    pub fn at_provider(&mut self, provider: &str, now_s: u64) -> u64 {
        self.turn_page(now_s);
        of(&self.spent.providers, provider) + of(&self.reserved_providers, provider)
    }

    /// Reserves the bound of a call, or says which account refuses.
    pub fn reserve(&mut self, claim: &Claim) -> Result<(), FailureKind> {
        self.turn_page(claim.at_s);
        let session = claim.session.as_deref();
        let in_session = session.map_or(0, |session| {
            of(&self.spent.sessions, session) + of(&self.reserved_sessions, session)
        });
        let at_provider = of(&self.spent.providers, &claim.provider)
            + of(&self.reserved_providers, &claim.provider);
        let session_max = session.and(claim.limits.session_usd_micros);
        let accounts = [
            ("call".to_owned(), claim.call_max, 0),
            ("session".to_owned(), session_max, in_session),
            (
                "day".to_owned(),
                claim.limits.day_usd_micros,
                self.spent.day_usd_micros + self.reserved,
            ),
            (
                "month".to_owned(),
                claim.limits.month_usd_micros,
                self.spent.month_usd_micros + self.reserved,
            ),
            (format!("provider {}", claim.provider), claim.provider_max, at_provider),
        ];
        for (account, limit, used) in accounts {
            let Some(limit) = limit else { continue };
            let Some(bound) = claim.bound else { return Err(FailureKind::Unpriced) };
            let left_usd_micros = limit.saturating_sub(used);
            if bound > left_usd_micros {
                return Err(FailureKind::Budget { account, left_usd_micros });
            }
        }
        let bound = claim.bound.unwrap_or_default();
        self.reserved += bound;
        *self.reserved_providers.entry(claim.provider.clone()).or_default() += bound;
        if let Some(session) = session {
            *self.reserved_sessions.entry(session.to_owned()).or_default() += bound;
        }
        Ok(())
    }

    /// Takes a reservation back and writes down what the call really cost, to the day on which it
    /// began.
    pub fn settle(&mut self, claim: &Claim, cost: u64, now_s: u64) -> Option<Charge> {
        self.turn_page(now_s);
        let bound = claim.bound.unwrap_or_default();
        self.reserved = self.reserved.saturating_sub(bound);
        lower(&mut self.reserved_providers, &claim.provider, bound);
        if let Some(session) = &claim.session {
            lower(&mut self.reserved_sessions, session, bound);
        }
        if cost > 0 {
            self.spend(claim, cost);
        }
        (cost > 0 || claim.reservation.is_some()).then(|| Charge {
            at_s: claim.at_s,
            provider: claim.provider.clone(),
            model: claim.model.clone(),
            session: claim.session.clone(),
            usd_micros: cost,
            reservation: claim.reservation.clone(),
        })
    }

    fn spend(&mut self, claim: &Claim, cost: u64) {
        let day = clock::day(claim.at_s);
        if self.spent.day == day {
            self.spent.day_usd_micros += cost;
        }
        if self.spent.month == day[..7] {
            self.spent.month_usd_micros += cost;
            *self.spent.providers.entry(claim.provider.clone()).or_default() += cost;
        }
        if let Some(session) = &claim.session {
            *self.spent.sessions.entry(session.clone()).or_default() += cost;
            self.charges += 1;
            self.touched.insert(session.clone(), self.charges);
            self.forget();
        }
    }

    fn forget(&mut self) {
        while self.touched.len() > SESSIONS_MAX {
            let oldest = self.touched.iter().min_by_key(|(_, at)| **at);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { return };
            self.touched.remove(&oldest);
            self.spent.sessions.remove(&oldest);
        }
    }
}

fn rounded_up(amount: u128) -> u64 {
    u64::try_from(amount.div_ceil(PRICED_TOKENS)).unwrap_or(u64::MAX)
}

/// The most that so many tokens can cost at list price.
pub(crate) fn bound(price: &Price, input: u64, output: u64) -> u64 {
    rounded_up(
        u128::from(input) * u128::from(price.input) + u128::from(output) * u128::from(price.output),
    )
}

/// The most that one call for an ask can cost; nothing when the price is unknown. What runs at home
/// and has no price is free.
pub(crate) fn bound_of(ask: &Ask, model: &Model, provider: &Provider) -> Option<u64> {
    let output = u64::from(ask.output_tokens_max.min(model.output_tokens_max));
    match &model.price {
        Some(price) => Some(bound(price, ask.input_tokens_bound(), output)),
        None => provider.local.then_some(0),
    }
}

/// What counted tokens cost at list price.
pub(crate) fn cost(price: &Price, usage: &Usage) -> u64 {
    let cached = usage.cached.min(usage.input);
    let of_cache = u128::from(price.cached_input.unwrap_or(price.input));
    rounded_up(
        u128::from(usage.input - cached) * u128::from(price.input)
            + u128::from(cached) * of_cache
            + u128::from(usage.output) * u128::from(price.output),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 86_400;

    fn claim(bound: u64) -> Claim {
        Claim {
            provider: "p".to_owned(),
            model: "m".to_owned(),
            session: Some("s".to_owned()),
            bound: Some(bound),
            call_max: None,
            provider_max: None,
            limits: Limits::default(),
            at_s: 0,
            reservation: None,
        }
    }

    fn refused(claim: &Claim, ledger: &mut Ledger) -> (String, u64) {
        match ledger.reserve(claim) {
            Err(FailureKind::Budget { account, left_usd_micros }) => (account, left_usd_micros),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_account_refuses_by_name_with_what_is_left() {
        type Set = fn(&mut Claim, Option<u64>);
        let cases: [(&str, Set); 5] = [
            ("call", |c, n| c.call_max = n),
            ("session", |c, n| c.limits.session_usd_micros = n),
            ("day", |c, n| c.limits.day_usd_micros = n),
            ("month", |c, n| c.limits.month_usd_micros = n),
            ("provider p", |c, n| c.provider_max = n),
        ];
        for (account, set) in cases {
            let mut ledger = Ledger::default();
            let mut first = claim(60);
            set(&mut first, Some(100));
            ledger.reserve(&first).expect("within the limit");
            let (more, left) = if account == "call" { (101, 100) } else { (41, 40) };
            let mut second = claim(more);
            set(&mut second, Some(100));
            assert_eq!(refused(&second, &mut ledger), (account.to_owned(), left));
            ledger.settle(&first, 10, 0);
            second.bound = Some(90);
            ledger.reserve(&second).expect("the rest came back");
            second.bound = None;
            assert_eq!(ledger.reserve(&second), Err(FailureKind::Unpriced), "{account}");
        }
        let free = Claim { bound: None, ..claim(0) };
        Ledger::default().reserve(&free).expect("without a budget no price is needed");
    }

    #[test]
    fn days_and_months_begin_anew_and_sessions_go_on() {
        let mut ledger = Ledger::default();
        let claim = claim(7);
        ledger.reserve(&claim).expect("no limit");
        let charge = ledger.settle(&claim, 7, 0).expect("a charge");
        assert_eq!((charge.usd_micros, charge.session.as_deref()), (7, Some("s")));
        let next = ledger.spent(DAY);
        assert_eq!((next.day_usd_micros, next.month_usd_micros), (0, 7));
        let later = ledger.spent(40 * DAY);
        assert_eq!((later.month_usd_micros, later.providers.len()), (0, 0));
        assert_eq!(later.sessions["s"], 7);
        let mut other = Ledger::default();
        other.load(later.clone());
        assert_eq!(other.spent(40 * DAY), later);
        // A call that ends after midnight belongs to the day on which it began.
        let last = Claim { at_s: 41 * DAY - 1, ..claim };
        other.reserve(&last).expect("no limit");
        other.settle(&last, 5, 41 * DAY);
        let next = other.spent(41 * DAY);
        assert_eq!((next.day_usd_micros, next.month_usd_micros), (0, 5));
    }

    #[test]
    fn shared_books_are_asked_where_an_account_has_a_limit() {
        let plain = Claim { call_max: Some(9), ..claim(7) };
        assert!(!plain.is_shared(), "a call's own limit is nobody else's");
        let limits = Limits { session_usd_micros: Some(9), ..Limits::default() };
        let of_session = Claim { limits, ..plain.clone() };
        assert!(of_session.is_shared());
        let minute = Duration::from_secs(60);
        let wanted = of_session.wanted("r".to_owned(), minute);
        assert_eq!((wanted.usd_micros, wanted.lasts), (7, minute + LAPSES_AFTER));
        assert!(!Claim { session: None, ..of_session.clone() }.is_shared());
        assert!(!Claim { bound: Some(0), ..of_session }.is_shared(), "free is free");
        assert!(Claim { provider_max: Some(9), ..plain }.is_shared());
        // Who gives a reservation back says so though it costs nothing.
        let claim = Claim { reservation: Some("r".to_owned()), ..claim(7) };
        let mut ledger = Ledger::default();
        ledger.reserve(&claim).expect("no limit");
        let charge = ledger.settle(&claim, 0, 0).expect("a charge");
        assert_eq!((charge.usd_micros, charge.reservation.as_deref()), (0, Some("r")));
    }

    #[test]
    fn sessions_are_bounded() {
        let mut ledger = Ledger::default();
        for n in 0..=SESSIONS_MAX {
            let claim = Claim { session: Some(format!("s{n}")), ..claim(1) };
            ledger.reserve(&claim).expect("no limit");
            ledger.settle(&claim, 1, 0);
        }
        let spent = ledger.spent(0);
        assert_eq!(spent.sessions.len(), SESSIONS_MAX);
        assert!(!spent.sessions.contains_key("s0"));
    }

    #[test]
    fn costs_count_the_cache_and_round_up() {
        let price = Price {
            input: 2_500_000,
            output: 10_000_000,
            cached_input: Some(1_250_000),
            as_of: String::new(),
            source: String::new(),
        };
        let usage = Usage { input: 1_000, output: 100, cached: 400, reasoning: 50 };
        assert_eq!(cost(&price, &usage), 600 * 5 / 2 + 400 * 5 / 4 + 1_000);
        assert_eq!(bound(&price, 1_000, 100), 3_500);
        assert_eq!(bound(&price, 1, 0), 3);
        let unknown = Price { cached_input: None, ..price };
        assert_eq!(cost(&unknown, &usage), 3_500);
    }

    proptest! {
        #[test]
        fn no_order_of_calls_passes_a_limit(
            steps in prop::collection::vec((0u64..50, any::<bool>(), 0u64..50), 1..60),
        ) {
            let limits = Limits { day_usd_micros: Some(100), ..Limits::default() };
            let (mut ledger, mut open) = (Ledger::default(), Vec::new());
            for (bound, settle, cost) in steps {
                if settle && !open.is_empty() {
                    let claim: Claim = open.remove(0);
                    ledger.settle(&claim, cost.min(claim.bound.unwrap_or_default()), 0);
                } else {
                    let claim = Claim { limits, ..claim(bound) };
                    if ledger.reserve(&claim).is_ok() {
                        open.push(claim);
                    }
                }
                let reserved: u64 = open.iter().filter_map(|claim| claim.bound).sum();
                prop_assert_eq!(ledger.reserved, reserved);
                prop_assert!(ledger.spent(0).day_usd_micros + reserved <= 100);
            }
        }
    }
}

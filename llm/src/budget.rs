//! What was spent and what may still be: accounts of a call, a session, a day, a month and a
//! provider's month.
//!
//! Pure: the time comes in as an argument. An upper bound is reserved before a call and settled
//! after it. Invariant: spent and reserved together never pass a limit, and an unknown price never
//! counts as nothing.

use crate::ask::{Ask, Usage};
use crate::catalog::{Limits, Model, Price, Provider};
use crate::clock;
use crate::error::FailureKind;
use std::collections::BTreeMap;

/// Sessions whose spending is known; beyond them the one that spent longest ago is forgotten.
const SESSIONS_MAX: usize = 10_000;
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
    /// When, in seconds since 1970.
    pub at_s: u64,
    /// By whose model.
    pub provider: String,
    /// Row id.
    pub model: String,
    /// For which session.
    pub session: Option<String>,
    /// How much.
    pub usd_micros: u64,
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
    pub fn reserve(&mut self, claim: &Claim, now_s: u64) -> Result<(), FailureKind> {
        self.turn_page(now_s);
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

    /// Takes a reservation back and writes down what the call really cost.
    pub fn settle(&mut self, claim: &Claim, cost: u64, now_s: u64) -> Option<Charge> {
        self.turn_page(now_s);
        let bound = claim.bound.unwrap_or_default();
        self.reserved = self.reserved.saturating_sub(bound);
        lower(&mut self.reserved_providers, &claim.provider, bound);
        if let Some(session) = &claim.session {
            lower(&mut self.reserved_sessions, session, bound);
        }
        if cost == 0 {
            return None;
        }
        self.spent.day_usd_micros += cost;
        self.spent.month_usd_micros += cost;
        *self.spent.providers.entry(claim.provider.clone()).or_default() += cost;
        if let Some(session) = &claim.session {
            *self.spent.sessions.entry(session.clone()).or_default() += cost;
            self.charges += 1;
            self.touched.insert(session.clone(), self.charges);
            self.forget();
        }
        Some(Charge {
            at_s: now_s,
            provider: claim.provider.clone(),
            model: claim.model.clone(),
            session: claim.session.clone(),
            usd_micros: cost,
        })
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
        }
    }

    fn refused(claim: &Claim, ledger: &mut Ledger, now_s: u64) -> (String, u64) {
        match ledger.reserve(claim, now_s) {
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
            ledger.reserve(&first, 0).expect("within the limit");
            let (more, left) = if account == "call" { (101, 100) } else { (41, 40) };
            let mut second = claim(more);
            set(&mut second, Some(100));
            assert_eq!(refused(&second, &mut ledger, 0), (account.to_owned(), left));
            ledger.settle(&first, 10, 0);
            second.bound = Some(90);
            ledger.reserve(&second, 0).expect("the rest came back");
            second.bound = None;
            assert_eq!(ledger.reserve(&second, 0), Err(FailureKind::Unpriced), "{account}");
        }
        let free = Claim { bound: None, ..claim(0) };
        Ledger::default().reserve(&free, 0).expect("without a budget no price is needed");
    }

    #[test]
    fn days_and_months_begin_anew_and_sessions_go_on() {
        let mut ledger = Ledger::default();
        let claim = claim(7);
        ledger.reserve(&claim, 0).expect("no limit");
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
    }

    #[test]
    fn sessions_are_bounded() {
        let mut ledger = Ledger::default();
        for n in 0..=SESSIONS_MAX {
            let claim = Claim { session: Some(format!("s{n}")), ..claim(1) };
            ledger.reserve(&claim, 0).expect("no limit");
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
                    if ledger.reserve(&claim, 0).is_ok() {
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

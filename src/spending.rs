//! The money: how the engine that asks models and the store that keeps the books come together.
//!
//! An account is a day, a month, a session or a provider's month. Each call with a budget is
//! reserved in the store before it is made, so that processes which share a data directory are
//! refused together, and settled after it. Invariant: the thread that asks never waits for a file.

use crate::fault::Fault;
use crate::now_ms;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use synod_llm::{Charge, Engine, FailureKind, Spent, Wanted};
use synod_store::{Booking, Reservation, Short, Store, Till};
use tokio::sync::oneshot;

/// Day and month (UTC) of a time, as `2026-11-22` and `2026-11`.
fn date(at_ms: i64) -> (String, String) {
    let stamp = synod_index::timestamp(at_ms);
    let day: String = stamp.chars().take(10).collect();
    let month = day.chars().take(7).collect();
    (day, month)
}

fn ms(at_s: u64) -> i64 {
    i64::try_from(at_s.saturating_mul(1_000)).unwrap_or(i64::MAX)
}

/// What pays for a call, with what may be spent of it.
fn accounts(
    provider: &str,
    session: Option<&str>,
    at_s: u64,
    limits: [Option<u64>; 4],
) -> Vec<(String, Option<u64>)> {
    let (day, month) = date(ms(at_s));
    let [session_max, day_max, month_max, provider_max] = limits;
    let mut out = vec![
        (format!("day:{day}"), day_max),
        (format!("month:{month}"), month_max),
        (format!("provider:{provider}:{month}"), provider_max),
    ];
    out.extend(session.map(|id| (format!("session:{id}"), session_max)));
    out
}

/// Lets the engine know what all processes spent of this day and month. Sessions are the store's
/// alone: there may be more of them than an engine should know.
///
/// # Errors
/// Those of the store.
pub fn load(engine: &Engine, store: &Store) -> Result<(), Fault> {
    let (day, month) = date(now_ms());
    let one = |account: &str| -> Result<u64, Fault> {
        Ok(store.spent(account)?.into_iter().find(|(a, _)| a == account).map_or(0, |(_, n)| n))
    };
    let ends = format!(":{month}");
    let providers = store.spent("provider:")?.into_iter().filter_map(|(account, amount)| {
        let name = account.strip_prefix("provider:")?.strip_suffix(&ends)?;
        Some((name.to_owned(), amount))
    });
    engine.load_spent(Spent {
        day_usd_micros: one(&format!("day:{day}"))?,
        month_usd_micros: one(&format!("month:{month}"))?,
        day,
        providers: providers.collect(),
        sessions: BTreeMap::new(),
        month,
    });
    Ok(())
}

/// The same when what this process spent is in the store: amounts that are on their way there would
/// be forgotten. Waits for them.
///
/// # Errors
/// Those of the store, also when such amounts cannot be written; the engine knows its own then.
pub fn load_again(engine: &Engine, store: &Store, till: &Till) -> Result<(), Fault> {
    till.flush()?;
    load(engine, store)
}

/// Has the engine's spending kept below `data`; gives who keeps it, if there is a model at all.
///
/// # Errors
/// Those of the store.
pub fn keep(engine: &Engine, store: &Store, data: &Path) -> Result<Option<Arc<Till>>, Fault> {
    if engine.models().is_empty() {
        return Ok(None);
    }
    begin(engine, store, data).map(Some)
}

/// The same before there is a model: an engine that gets its first one must have its books.
///
/// # Errors
/// Those of the store.
pub fn begin(engine: &Engine, store: &Store, data: &Path) -> Result<Arc<Till>, Fault> {
    load(engine, store)?;
    // The number of the process is for people who look into the file.
    let random = synod_store::random()?;
    let owner = format!("{}:{}", synod_store::new_id("p", now_ms(), random), std::process::id());
    let data = data.to_owned();
    let till = Arc::new(Till::with(owner, move || Ok(Arc::new(Store::open_again(&data)?)))?);
    let (before, after) = (Arc::clone(&till), Arc::clone(&till));
    engine.on_reserve(Arc::new(move |wanted: &Wanted| reserve(&before, wanted)));
    engine.on_charge(Arc::new(move |charge: &Charge| settle(&after, charge)));
    Ok(till)
}

fn reserve(till: &Till, wanted: &Wanted) -> BoxFuture<'static, Result<(), FailureKind>> {
    let Wanted { limits, provider_usd_micros, .. } = wanted;
    let limits = [
        limits.session_usd_micros,
        limits.day_usd_micros,
        limits.month_usd_micros,
        *provider_usd_micros,
    ];
    let session = wanted.session.as_deref();
    let now_ms = now_ms();
    let lasts_ms = i64::try_from(wanted.lasts.as_millis()).unwrap_or(i64::MAX);
    let reservation = Reservation {
        id: wanted.id.clone(),
        usd_micros: wanted.usd_micros,
        accounts: accounts(&wanted.provider, session, wanted.at_s, limits),
        now_ms,
        until_ms: now_ms.saturating_add(lasts_ms),
    };
    let (send, answer) = oneshot::channel();
    let done = move |result: synod_store::Result<Option<Short>>| {
        // Whoever waits no more gives back what it may have got.
        let _ = send.send(result);
    };
    let left = till.book(Booking::Reserve(reservation), done);
    let provider = wanted.provider.clone();
    async move {
        left.map_err(|error| unwritten(&error))?;
        // A till that has ended answers nobody.
        let booked = answer.await.map_err(|_| FailureKind::Books)?;
        match booked.map_err(|error| unwritten(&error))? {
            Some(short) => Err(refused(&provider, &short)),
            None => Ok(()),
        }
    }
    .boxed()
}

fn unwritten(error: &synod_store::Error) -> FailureKind {
    tracing::error!(error = %error, "a call was not made: what it costs cannot be written down");
    FailureKind::Books
}

/// The refusal in the engine's words.
fn refused(provider: &str, short: &Short) -> FailureKind {
    let account = match short.account.split(':').next() {
        Some(kind @ ("session" | "day" | "month")) => kind.to_owned(),
        _ => format!("provider {provider}"),
    };
    FailureKind::Budget { account, left_usd_micros: short.left_usd_micros }
}

fn settle(till: &Till, charge: &Charge) {
    let micros = charge.usd_micros;
    let mut paying = accounts(&charge.provider, charge.session.as_deref(), charge.at_s, [None; 4]);
    if micros == 0 {
        paying.clear();
    }
    let amounts = paying.into_iter().map(|(account, _)| (account, micros)).collect();
    let lost = move |error: &synod_store::Error| {
        tracing::error!(error = %error, micros, "an amount was not kept");
    };
    let done = move |result: synod_store::Result<Option<Short>>| {
        if let Err(error) = result {
            lost(&error);
        }
    };
    let id = charge.reservation.clone();
    if let Err(error) = till.book(Booking::Settle { id, amounts }, done) {
        lost(&error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use synod_llm::Limits;

    fn wanted(id: &str, usd_micros: u64, limits: Limits) -> Wanted {
        Wanted {
            id: id.to_owned(),
            at_s: 0,
            lasts: Duration::from_secs(600),
            provider: "p:q".to_owned(),
            session: Some("s".to_owned()),
            usd_micros,
            limits,
            provider_usd_micros: Some(500),
        }
    }

    #[test]
    fn each_account_refuses_in_the_engines_words() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().to_owned();
        let till = Till::with("p".to_owned(), move || Ok(Arc::new(Store::open(&data)?))).unwrap();
        let ask = |wanted: &Wanted| futures::executor::block_on(reserve(&till, wanted));
        let day = Limits { day_usd_micros: Some(100), ..Limits::default() };
        assert_eq!(ask(&wanted("a", 100, day)), Ok(()));
        let month = Limits { month_usd_micros: Some(100), ..Limits::default() };
        let session = Limits { session_usd_micros: Some(100), ..Limits::default() };
        for (account, usd_micros, limits, left_usd_micros) in [
            ("day", 1, day, 0),
            ("month", 1, month, 0),
            ("session", 1, session, 0),
            ("provider p:q", 401, Limits::default(), 400),
        ] {
            let account = account.to_owned();
            let refused = Err(FailureKind::Budget { account, left_usd_micros });
            assert_eq!(ask(&wanted("b", usd_micros, limits)), refused);
        }
        let charge = Charge {
            at_s: 0,
            provider: "p:q".to_owned(),
            model: "m".to_owned(),
            session: Some("s".to_owned()),
            usd_micros: 30,
            reservation: Some("a".to_owned()),
        };
        settle(&till, &charge);
        assert_eq!(ask(&wanted("c", 70, day)), Ok(()));
        till.flush().unwrap();
        let spent = Store::open(dir.path()).unwrap().spent("").unwrap();
        let names = ["day:1970-01-01", "month:1970-01", "provider:p:q:1970-01", "session:s"];
        let names = names.map(|name| (name.to_owned(), 30));
        assert_eq!(spent, names);
    }

    #[test]
    fn what_is_not_in_the_store_yet_is_not_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (data, mut n) = (dir.path().to_owned(), 0);
        let open = move || -> synod_store::Result<Arc<Store>> {
            n += 1;
            // Once for the amount and once for who waits for it, or both at once.
            let opens = n > 2;
            if opens {
                Ok(Arc::new(Store::open(&data)?))
            } else {
                Err(synod_store::Error::ReadOnly)
            }
        };
        let till = Till::with("p".to_owned(), open).unwrap();
        let rows = "[[provider]]\nname = \"p\"\ndialect = \"ollama\"\n\
                    [[model]]\nid = \"m\"\nprovider = \"p\"\n";
        let config: crate::config::Config = toml::from_str(rows).unwrap();
        let engine = crate::catalog::engine(&config, &|_: &str| None).unwrap();
        let store = Store::open(dir.path()).unwrap();
        let at_s = now_ms() as u64 / 1_000;
        let (provider, model) = ("p".to_owned(), "m".to_owned());
        let (session, reservation) = (None, None);
        let charge = Charge { at_s, provider, model, session, usd_micros: 30, reservation };
        settle(&till, &charge);
        assert!(load_again(&engine, &store, &till).is_err(), "it was not waited for");
        while load_again(&engine, &store, &till).is_err() {}
        assert_eq!(engine.spent().providers.get("p"), Some(&30));
    }
}

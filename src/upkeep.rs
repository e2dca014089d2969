//! What a server does beside answering: councils whose process is gone are taken up, jobs whose
//! time is over end, webhooks are told, what is old is forgotten, and memory is handed back.

use crate::{memory, now_ms, webhook};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use synod_store::Till;
use synod_tools::Context;
use tokio::time::Instant;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at the wall clock the machine has slept, in milliseconds.
const SLEPT_MS: i64 = 4_000;
/// Between two sweeps.
const SWEEP: Duration = Duration::from_secs(60);
/// Between two times that memory is handed back: what comes and goes with searches and saves leaves
/// gaps, which nobody else gives back while a server is never idle.
const HAND_BACK: Duration = Duration::from_secs(600);

/// Runs for as long as the process lives. `till` keeps what the engine spends, once it may spend;
/// `secret` signs webhooks, without one none is told.
pub async fn run(cx: Context, till: Arc<OnceLock<Arc<Till>>>, secret: Option<String>) {
    if cx.read_only {
        loop {
            tokio::time::sleep(HAND_BACK).await;
            let _ = tokio::task::spawn_blocking(memory::hand_back).await;
        }
    }
    if let Some(secret) = secret {
        // A place that does not answer holds up nothing else.
        let cx = cx.clone();
        tokio::spawn(async move {
            loop {
                webhook::tell_all(&cx, &secret).await;
                tokio::time::sleep(LOOK).await;
            }
        });
    }
    let (mut swept, mut handed_back): (Option<Instant>, _) = (None, Instant::now());
    let (mut looked_ms, mut quiet_until_ms) = (now_ms(), 0);
    loop {
        let at_ms = now_ms();
        // The machine has slept, or its clock was put back: councils of living processes say that
        // they are alive first.
        if at_ms - looked_ms > SLEPT_MS || at_ms < looked_ms {
            quiet_until_ms = at_ms + SLEPT_MS;
        }
        looked_ms = at_ms;
        if at_ms >= quiet_until_ms {
            councils(&cx);
        }
        if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            swept = Some(Instant::now());
            let (cx, till) = (cx.clone(), Arc::clone(&till));
            let is_due = handed_back.elapsed() >= HAND_BACK;
            let work = move || {
                sweep(&cx, till.get().map(Arc::as_ref));
                if is_due {
                    memory::hand_back();
                }
            };
            // A long delete must not hold up the protocol; a panic there was logged there.
            let _ = tokio::task::spawn_blocking(work).await;
            if is_due {
                handed_back = Instant::now();
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn councils(cx: &Context) {
    if cx.engine.models().is_empty() {
        return;
    }
    match synod_tools::resume_councils(cx) {
        Ok(begun) if begun.is_empty() => {}
        Ok(begun) => tracing::info!(jobs = begun.len(), "took up councils"),
        Err(error) => tracing::warn!(error = %error, "councils were not looked for"),
    }
}

fn sweep(cx: &Context, till: Option<&Till>) {
    let now_ms = now_ms();
    let day: String = synod_index::timestamp(now_ms).chars().take(10).collect();
    let month: String = day.chars().take(7).collect();
    let store = &cx.store;
    let swept = [
        ("late jobs", store.expire_jobs(now_ms).map(|ids| ids.len())),
        ("sessions", store.sweep_sessions(now_ms)),
        ("answers", store.sweep_answers(now_ms)),
        ("amounts", store.sweep_spent(&day, &month)),
    ];
    // Whose limits several processes share knows what all of them spent.
    if let Some(till) = till
        && let Err(error) = crate::spending::load_again(&cx.engine, store, till)
    {
        tracing::warn!(error = %error, "what was spent was not looked up");
    }
    for (what, result) in swept {
        match result {
            Ok(0) => {}
            Ok(n) => tracing::info!(what, n, "swept"),
            Err(error) => tracing::warn!(what, error = %error, "not swept"),
        }
    }
}

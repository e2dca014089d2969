//! Are the models fit to be asked together: the health check in four phases, and models that have
//! become more alike than they were.

use crate::record::{self, By};
use crate::verdict::digest;
use crate::{Call, Context, Error};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use synod_council::Kind;
use synod_council::gate::{Asked, divergence};
use synod_council::health::{
    self, Finding, Member, PING, Pair, Ping, Record, TESTS, Window, anomaly, baseline,
    connectivity, convergence, evaluate,
};
use synod_council::verdict::weights;
use synod_llm::{Ask, Message, Model, Policy, Role};
use synod_store::PastRow;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Under this the last record is kept.
const KEPT: &str = "health";
/// Tokens of an answer to a test.
const OUTPUT_TOKENS: u32 = 2_048;
/// What phase 3 asks, by category; agreement differs by category, and that is what it measures.
const QUESTIONS: [(&str, &str); 6] = [
    ("factual", "Which planet is the largest of the solar system? Answer in a few words."),
    ("factual", "In which year did the Berlin Wall fall? Answer with the year alone."),
    ("analytical", "Why does ice float on water? Answer in two sentences."),
    ("analytical", "When is a binary search slower than a linear one? Answer in two sentences."),
    ("opinion", "Tabs or spaces? Answer in one sentence."),
    ("opinion", "Is it better to live in a city or in the country? Answer in one sentence."),
];
/// Questions that a window of time has.
const WINDOW: usize = 20;
/// Questions of one sort that are looked at, the latest.
const PAST_MAX: usize = 2_000;
/// Alerts that are shown.
const ALERTS_MAX: usize = 20;

/// What one model said to everything.
struct Said {
    model: Model,
    local: bool,
    /// Of phase 1.
    ping: Result<String, String>,
    latency_ms: u64,
    /// By test of phase 2, by turn.
    tests: Vec<Vec<String>>,
    /// By question of phase 3.
    answers: Vec<String>,
}

/// Asks every model of the panel all tests, judges, keeps the record and gives it.
///
/// # Errors
/// `Refused` when no model may be asked; those of the store.
pub async fn check(cx: &Context, call: &Call) -> Result<Value, Error> {
    let council = cx.council.get();
    let sits = &council.panel;
    let wanted = |row: &Model| {
        let may = council.policy != Policy::Local || cx.engine.is_local(&row.id);
        (sits.is_empty() || sits.contains(&row.id)) && may
    };
    let models: Vec<Model> = cx.engine.models().into_iter().filter(wanted).collect();
    if models.is_empty() {
        let text = "models: no model is configured, or the policy allows none; see \
                    `synod config --example`";
        return Err(Error::Refused(text.to_owned()));
    }
    let end = Instant::now() + Duration::from_millis(council.deadline_ms);
    let mut asking = JoinSet::new();
    for model in models {
        let (cx, account) = (cx.clone(), call.account.clone());
        let correlation = call.correlation.clone();
        asking.spawn(async move {
            let by = By { account: &account, correlation: &correlation };
            examine(&cx, &by, model, end).await
        });
    }
    let mut all = Vec::new();
    while let Some(said) = asking.join_next().await {
        all.push(said.map_err(|error| crate::round::ended(&error))?);
        (call.progress)(all.len() as f64, None, format!("{} examined", all.len()));
    }
    all.sort_by(|a, b| a.model.id.cmp(&b.model.id));
    judge(cx, &all)
}

/// All tests of one model at once: its lane holds back what is too much.
async fn examine(cx: &Context, by: &By<'_>, model: Model, end: Instant) -> Said {
    let start = Instant::now();
    let ping = one(cx, by, &model, &[PING], end).await;
    let latency_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let local = cx.engine.is_local(&model.id);
    let (mut tests, mut answers) = (Vec::new(), Vec::new());
    // Whoever cannot be reached is not asked twelve times more.
    if ping.is_ok() {
        let turns = TESTS.iter().map(|test| turns(cx, by, &model, test.turns, end));
        let asked = QUESTIONS.iter().map(|(_, question)| turns_of(cx, by, &model, question, end));
        (tests, answers) =
            futures::join!(futures::future::join_all(turns), futures::future::join_all(asked));
    } else {
        tests.resize(TESTS.len(), Vec::new());
        answers.resize(QUESTIONS.len(), String::new());
    }
    let ping = ping.map_err(|why| why.to_owned());
    Said { model, local, ping, latency_ms, tests, answers }
}

async fn turns_of(
    cx: &Context,
    by: &By<'_>,
    model: &Model,
    question: &str,
    end: Instant,
) -> String {
    one(cx, by, model, &[question], end).await.unwrap_or_default()
}

/// The answers to a conversation, turn by turn; it ends where nothing comes.
async fn turns(
    cx: &Context,
    by: &By<'_>,
    model: &Model,
    turns: &'static [&'static str],
    end: Instant,
) -> Vec<String> {
    let mut spoken: Vec<String> = Vec::new();
    let mut said = Vec::new();
    for turn in turns {
        spoken.push((*turn).to_owned());
        let words: Vec<&str> = spoken.iter().map(String::as_str).collect();
        let Ok(text) = one(cx, by, model, &words, end).await else { break };
        spoken.push(text.clone());
        said.push(text);
    }
    said
}

/// One answer: the words are by turns the user's and the model's.
async fn one(
    cx: &Context,
    by: &By<'_>,
    model: &Model,
    words: &[&str],
    end: Instant,
) -> Result<String, &'static str> {
    let mut ask = Ask::new(&model.id, "");
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    let turns = roles.zip(words);
    ask.messages = turns.map(|(role, text)| Message { role, text: (*text).to_owned() }).collect();
    ask.output_tokens_max = OUTPUT_TOKENS;
    // That very model, and an answer of now: no temperature, so that none is taken from the cache.
    ask.policy = Policy::Cloud;
    ask.budgets.call_usd_micros = cx.council.get().call_usd_micros;
    let result = cx.engine.ask(ask, end).await;
    let (outcome, cost) = match &result {
        Ok(answer) => ("ok", answer.cost_usd_micros.map(|micros| micros as f64 / 1e6)),
        Err(failure) => (failure.kind.name(), None),
    };
    record::asked(cx, by, &model.id, outcome, cost, &words.join("\n"));
    match result {
        // Another model's answer says nothing of this one.
        Ok(answer) if answer.model != model.id => Err("another model answered for it"),
        Ok(answer) => Ok(answer.text),
        Err(failure) => Err(failure.kind.name()),
    }
}

fn findings(all: &[Said]) -> Vec<Finding> {
    let mut out = Vec::new();
    for said in all {
        out.extend(connectivity(&Ping {
            model: &said.model.id,
            local: said.local,
            latency_ms: said.latency_ms,
            said: said.ping.as_deref().map_err(String::as_str),
        }));
    }
    // Who cannot be reached has its finding already.
    let reached: Vec<&Said> = all.iter().filter(|said| said.ping.is_ok()).collect();
    for (at, test) in TESTS.iter().enumerate() {
        let words: Vec<Vec<&str>> =
            reached.iter().map(|s| s.tests[at].iter().map(String::as_str).collect()).collect();
        let replies: Vec<health::Reply> = (reached.iter().zip(&words))
            .map(|(said, words)| health::Reply {
                model: &said.model.id,
                said: words,
                open_weights: None,
            })
            .collect();
        out.extend(evaluate(test, &replies));
    }
    out
}

fn judge(cx: &Context, all: &[Said]) -> Result<Value, Error> {
    let scores = QUESTIONS.iter().enumerate().map(|(at, (category, question))| {
        let texts: Vec<&str> = all.iter().map(|said| said.answers[at].as_str()).collect();
        let asked = Asked { question, ..Asked::default() };
        (*category, divergence(&asked, &texts, None).score)
    });
    let scores: Vec<(&str, Option<f64>)> = scores.collect();
    let now_s = (cx.now_ms)() as u64 / 1_000;
    let members: Vec<Member> = (all.iter())
        .map(|said| Member {
            id: said.model.id.clone(),
            kind: if said.model.tier.is_empty() {
                "chat".to_owned()
            } else {
                said.model.tier.clone()
            },
            deployment: if said.local { "local" } else { "cloud" }.to_owned(),
            provider: said.model.provider.clone(),
            latency_ms: said.ping.is_ok().then_some(said.latency_ms),
        })
        .collect();
    // The same models are the same ensemble.
    let ids: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
    let ensemble: String = digest(&ids.join("\n")).chars().take(12).collect();
    let before = cx.store.learned(KEPT, &ensemble)?;
    let before: Option<Value> = before.and_then(|kept| serde_json::from_str(&kept.json).ok());
    let created = before.as_ref().and_then(|kept| kept["created_at_s"].as_u64()).unwrap_or(now_s);
    let now_baseline = baseline(scores.iter().copied());
    let mut odd = Vec::new();
    for (category, now) in &now_baseline {
        let known = before.as_ref().and_then(|kept| kept["divergence_baseline"][category].as_f64());
        odd.extend(
            known.and_then(|normal| anomaly(*now, normal)).map(|a| format!("{category}: {a}")),
        );
    }
    let found = findings(all);
    let record =
        health::record(&format!("e_{ensemble}"), created, now_s, &members, &found, now_baseline);
    let mut value = shown(&record);
    if !odd.is_empty() {
        value["anomalies"] = json!(odd);
    }
    let mut kept = value.clone();
    // What is normal stays what it was when all was well.
    let normal = before.as_ref().map(|kept| &kept["divergence_baseline"]);
    match normal.filter(|normal| normal.as_object().is_some_and(|known| !known.is_empty())) {
        Some(normal) => kept["divergence_baseline"] = normal.clone(),
        None if !all.iter().all(|said| said.ping.is_ok()) => {
            kept["divergence_baseline"] = json!({});
        }
        None => {}
    }
    if !cx.read_only {
        cx.store.put_learned(KEPT, &ensemble, &kept.to_string(), (cx.now_ms)())?;
    }
    Ok(value)
}

fn finding(finding: &Finding) -> Value {
    json!({
        "type": finding.kind, "severity": finding.severity.name().to_uppercase(),
        "description": finding.description, "test_query": finding.test_query,
        "expected": finding.expected, "actual": finding.actual,
    })
}

fn shown(record: &Record) -> Value {
    let stamp = |s: u64| synod_index::timestamp(s as i64 * 1_000);
    let model = |one: &health::Checked| {
        json!({
            "id": one.member.id, "type": one.member.kind, "deployment": one.member.deployment,
            "provider": one.member.provider,
            "health_check": {
                "last_run": stamp(one.last_run_s), "status": one.status.name(),
                "issues": one.issues.iter().map(finding).collect::<Vec<_>>(),
                "latency_ms": one.member.latency_ms,
            },
        })
    };
    let rounded: BTreeMap<&String, f64> = (record.divergence_baseline.iter())
        .map(|(category, score)| (category, (score * 10_000.0).round() / 10_000.0))
        .collect();
    json!({
        "ensemble_id": record.ensemble_id,
        "created_at": stamp(record.created_at_s), "created_at_s": record.created_at_s,
        "last_health_check": stamp(record.last_health_check_s),
        "models": record.models.iter().map(model).collect::<Vec<_>>(),
        "issues": record.issues.iter().map(finding).collect::<Vec<_>>(),
        "divergence_baseline": rounded,
        "overall_status": record.overall_status.name(),
        "recommendations": record.recommendations,
    })
}

/// Two models that agree more than they used to.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AlertReply {
    pub models: [String; 2],
    /// Of answer.
    pub kind: String,
    /// low, medium, high or critical.
    pub risk: String,
    pub why: String,
}

/// Alerts over all sorts of answers, the gravest first.
///
/// # Errors
/// Those of the store.
pub fn alerts(cx: &Context) -> Result<Vec<AlertReply>, Error> {
    let mut out = Vec::new();
    for kind in Kind::ALL {
        let mut rows = cx.store.past(kind.name(), None, PAST_MAX)?;
        rows.sort_by_key(|row| row.at_ms);
        out.extend(alerts_of(kind, &rows));
    }
    out.sort_by_key(|(risk, _)| std::cmp::Reverse(*risk));
    Ok(out.into_iter().take(ALERTS_MAX).map(|(_, alert)| alert).collect())
}

type Graded = (synod_council::head::Level, AlertReply);

fn alerts_of(kind: Kind, rows: &[PastRow]) -> Vec<Graded> {
    // By pair, oldest first: whether both said the same.
    let mut seen: BTreeMap<(String, String), Vec<bool>> = BTreeMap::new();
    for row in rows {
        for (at, a) in row.votes.iter().enumerate() {
            for b in &row.votes[at + 1..] {
                // That two are right together is no harm.
                let right = |cluster| row.told == Some(Some(cluster));
                if right(a.cluster) && right(b.cluster) {
                    continue;
                }
                let (x, y) = (weights(&a.model), weights(&b.model));
                let pair = if x < y { (x, y) } else { (y, x) };
                seen.entry(pair).or_default().push(a.cluster == b.cluster);
            }
        }
    }
    let windows: Vec<(&(String, String), f64, Vec<Window>)> = (seen.iter())
        // As much before the last windows as in them, or there is nothing to compare with.
        .filter(|(_, said)| said.len() >= 2 * health::RECENT * WINDOW)
        .map(|(pair, said)| {
            let now = said.len() - health::RECENT * WINDOW;
            let normal = said[..now].iter().filter(|same| **same).count() as f64 / now as f64;
            let window = |part: &[bool]| Window {
                agreed: part.iter().filter(|same| **same).count(),
                of: part.len(),
            };
            (pair, normal, said[now..].chunks(WINDOW).map(window).collect())
        })
        .collect();
    let pairs: Vec<Pair> = (windows.iter())
        .map(|(pair, baseline, windows)| Pair {
            a: &pair.0,
            b: &pair.1,
            baseline: *baseline,
            windows,
        })
        .collect();
    let reply = |alert: health::Alert| {
        let risk = alert.risk;
        let name = risk.name().to_owned();
        let kind = kind.name().to_owned();
        (risk, AlertReply { models: alert.models, kind, risk: name, why: alert.why })
    };
    convergence(&pairs).into_iter().map(reply).collect()
}

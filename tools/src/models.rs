//! `models`: who can be asked: health, price, reliability, what is left to spend; and asking one.

use crate::ensemble::{AlertReply, alerts};
use crate::learn::{Learned, mean};
use crate::once::Begun;
use crate::record::{self, By};
use crate::round::computed;
use crate::{Call, Context, Effect, Error, Hear, Operation, Piece, Route, Work, once, safety};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use synod_council::{Kind, Shape};
use synod_llm::{Ask, Event, Policy};
use synod_store::Scope;
use tokio::time::Instant;

pub struct Models;

/// The models of the council: provider, price, breaker, learned reliability, spending, alerts of
/// models that grow alike. `check` asks each provider whether it is well; `health` examines every
/// model (a dozen questions each); `infer` puts `input` to one `model`, without a council.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    #[serde(default)]
    op: Op,
    /// infer: whom.
    model: Option<String>,
    /// infer: what is asked.
    input: Option<String>,
    /// infer.
    policy: Option<PolicyName>,
    /// infer.
    params: Option<Params>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Op {
    #[default]
    List,
    Check,
    Health,
    Infer,
}

/// Where a question may go.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    Local,
    LocalFirst,
    Cloud,
}

impl From<PolicyName> for Policy {
    fn from(name: PolicyName) -> Self {
        match name {
            PolicyName::Local => Policy::Local,
            PolicyName::LocalFirst => Policy::LocalFirst,
            PolicyName::Cloud => Policy::Cloud,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Params {
    temperature: Option<f64>,
    max_tokens: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
struct ModelReply {
    id: String,
    provider: String,
    name: String,
    vendor: String,
    family: String,
    window_tokens: u32,
    /// Dollars for a million tokens, read and written; absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    price_usd: Option<[f64; 2]>,
    /// closed, open or half_open.
    breaker: String,
    /// kind, mean: the expected share of right answers, n: how many this rests on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    reliability: Vec<ReliabilityReply>,
}

#[derive(Serialize, JsonSchema)]
struct ReliabilityReply {
    kind: String,
    mean: f64,
    n: f64,
}

#[derive(Serialize, JsonSchema)]
struct HealthReply {
    provider: String,
    well: bool,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    ms: u64,
}

/// One model's answer.
#[derive(Serialize, Deserialize, JsonSchema)]
struct InferReply {
    /// Who really answered.
    model: String,
    text: String,
    finish: String,
    input_tokens: u64,
    output_tokens: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    latency_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fell_back: Option<String>,
    /// Rules of the guard by which something was taken out of the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    redacted: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
pub struct Reply {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    models: Vec<ModelReply>,
    /// provider, well, failure, version, ms.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    health: Vec<HealthReply>,
    /// ensemble_id, models and their health_check, divergence_baseline, overall_status,
    /// recommendations.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    ensemble: Option<Value>,
    /// models, kind, risk, why: two that agree more than they used to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<serde_json::Map<String, Value>>")]
    alerts: Vec<AlertReply>,
    /// model, text, finish, tokens, cost_usd, latency_ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    answer: Option<InferReply>,
    /// Dollars, today and this month.
    spent_usd: [f64; 2],
}

impl Operation for Models {
    const NAME: &'static str = "models";
    const TITLE: &'static str = "Models";
    const EFFECT: Effect = Effect::Spend;
    const READS: bool = true;
    const SCOPE: Scope = Scope::LlmInvoke;
    const WORK: Work = Work::Wait;
    const IDEMPOTENT: bool = false;
    const ROUTES: &'static [Route] = &[
        Route::get("/v1/models").saying(&[("op", "list")]),
        Route::post("/v1/llm/infer", 200).saying(&[("op", "infer")]),
        Route::post("/llm/infer", 200).saying(&[("op", "infer")]),
    ];
    type Args = Args;
    type Reply = Reply;

    fn needs(args: &Value) -> (Scope, Effect) {
        match crate::named_op(args) {
            None | Some("list") => (Scope::ReadContext, Effect::Read),
            // It reaches out, and changes nothing.
            Some("check") => (Scope::LlmInvoke, Effect::Read),
            _ => (Self::SCOPE, Self::EFFECT),
        }
    }

    async fn run(cx: &Context, args: Args, call: &Call) -> Result<Reply, Error> {
        let mut reply = Reply {
            models: Vec::new(),
            health: Vec::new(),
            ensemble: None,
            alerts: Vec::new(),
            answer: None,
            spent_usd: [0.0; 2],
        };
        match args.op {
            Op::List => {
                let (for_list, for_alerts) = (cx.clone(), cx.clone());
                reply.models = list(&for_list)?;
                reply.alerts = computed(move || alerts(&for_alerts)).await?;
            }
            Op::Check => reply.health = check(cx).await,
            Op::Health => reply.ensemble = Some(crate::ensemble::check(cx, call).await?),
            Op::Infer => reply.answer = Some(infer(cx, args, call).await?),
        }
        // What it cost itself is spent too.
        let spent = cx.engine.spent();
        reply.spent_usd =
            [spent.day_usd_micros, spent.month_usd_micros].map(|micros| micros as f64 / 1e6);
        Ok(reply)
    }

    fn render(reply: &Reply) -> String {
        if let Some(answer) = &reply.answer {
            return format!("{}\n\n_({}, {} ms)_\n", answer.text, answer.model, answer.latency_ms);
        }
        let mut out = String::new();
        for model in &reply.models {
            let known: Vec<String> = (model.reliability.iter())
                .map(|r| format!("{} {:.0} % of {:.0}", r.kind, r.mean * 100.0, r.n))
                .collect();
            let known = if known.is_empty() { "no feedback".to_owned() } else { known.join(", ") };
            let (id, provider, breaker) = (&model.id, &model.provider, &model.breaker);
            out.push_str(&format!("- `{id}` at {provider}: {breaker}; {known}\n"));
        }
        if let Some(ensemble) = &reply.ensemble {
            out.push_str(&format!("{}\n", ensemble["overall_status"].as_str().unwrap_or("")));
            for model in ensemble["models"].as_array().into_iter().flatten() {
                let (id, checked) = (&model["id"], &model["health_check"]);
                out.push_str(&format!("- {id}: {}\n", checked["status"]));
            }
            for advice in ensemble["recommendations"].as_array().into_iter().flatten() {
                out.push_str(&format!("- {}\n", advice.as_str().unwrap_or_default()));
            }
        }
        for alert in &reply.alerts {
            out.push_str(&format!("- alert ({}, {}): {}\n", alert.risk, alert.kind, alert.why));
        }
        for health in &reply.health {
            let state = health.failure.as_deref().unwrap_or("well");
            out.push_str(&format!("- {}: {state} ({} ms)\n", health.provider, health.ms));
        }
        if out.is_empty() {
            out.push_str("No model is configured: `[[provider]]` and `[[model]]` in synod.toml.\n");
        }
        out.push_str(&format!("\nSpent today: {:.4} USD\n", reply.spent_usd[0]));
        out
    }
}

fn list(cx: &Context) -> Result<Vec<ModelReply>, Error> {
    let lanes = cx.engine.lanes();
    let mut learned = Vec::new();
    for kind in Kind::ALL {
        learned.push((kind, Learned::of(cx, kind, crate::learn::ALL)?));
    }
    let model = |model: synod_llm::Model| {
        let known = learned.iter().filter_map(|(kind, learned)| {
            let (ability, n) = learned.model(&model.id)?;
            let mean = mean(ability, Shape::of(*kind, 0).sigma);
            let round = |x: f64| (x * 1000.0).round() / 1000.0;
            Some(ReliabilityReply { kind: kind.name().to_owned(), mean: round(mean), n: round(n) })
        });
        let lane = lanes.iter().find(|l| l.provider == model.provider && l.model == model.name);
        ModelReply {
            reliability: known.collect(),
            breaker: lane.map_or("closed", |lane| lane.breaker.state).to_owned(),
            price_usd: model.price.map(|p| [p.input as f64 / 1e6, p.output as f64 / 1e6]),
            id: model.id,
            provider: model.provider,
            name: model.name,
            vendor: model.vendor,
            family: model.family,
            window_tokens: model.window_tokens,
        }
    };
    Ok(cx.engine.models().into_iter().map(model).collect())
}

async fn check(cx: &Context) -> Vec<HealthReply> {
    let found = cx.engine.health(cx.council.get().policy).await;
    let reply = |health: synod_llm::Health| HealthReply {
        well: health.asked && health.failure.is_none(),
        failure: match (&health.failure, health.asked) {
            (Some(kind), _) => Some(kind.name().to_owned()),
            (None, false) => Some("not asked: the policy keeps to this machine".to_owned()),
            (None, true) => None,
        },
        provider: health.provider,
        version: health.version,
        ms: health.ms,
    };
    found.into_iter().map(reply).collect()
}

async fn infer(cx: &Context, args: Args, call: &Call) -> Result<InferReply, Error> {
    let model =
        args.model.ok_or_else(|| Error::Args("models: `infer` wants a `model`".to_owned()))?;
    let input =
        args.input.ok_or_else(|| Error::Args("models: `infer` wants an `input`".to_owned()))?;
    let request = format!("{model}\n{input}\n{:?}\n{:?}", args.params, args.policy);
    let temperature = args.params.as_ref().and_then(|params| params.temperature);
    if temperature.is_some_and(|t| !(0.0..=2.0).contains(&t)) {
        return Err(Error::Args("models: `temperature` is 0 to 2".to_owned()));
    }
    let once = match once::begin(cx, call, "models", &request)? {
        Begun::Known(known) => return Ok(known),
        Begun::New(once) => once,
    };
    safety::before(cx, call, "models", &input)?;
    let mut ask = Ask::new(&model, &input);
    let council = cx.council.get();
    ask.policy = args.policy.map_or(council.policy, Into::into);
    ask.budgets.call_usd_micros = council.call_usd_micros;
    if let Some(params) = args.params {
        ask.temperature = params.temperature;
        ask.output_tokens_max = params.max_tokens.unwrap_or(ask.output_tokens_max);
    }
    let deadline = Instant::now() + Duration::from_millis(council.deadline_ms);
    let by = By { account: &call.account, correlation: &call.correlation };
    let lines = call.hear.clone().map(|hear| Arc::new(Lines::new(cx, hear)));
    let heard = lines.clone();
    let hear: synod_llm::Hear = Arc::new(move |event: &Event| {
        if let Some(lines) = &heard {
            lines.take(event);
        }
    });
    let result = cx.engine.ask_heard(ask, deadline, hear).await;
    let answer = match result {
        Ok(answer) => answer,
        Err(failure) => {
            record::asked(cx, &by, &model, failure.kind.name(), None, &input);
            return Err(failure.into());
        }
    };
    lines.inspect(|lines| lines.end());
    let (text, report) = safety::after(cx, &by, &answer.text);
    let reply = InferReply {
        model: answer.model,
        text,
        finish: answer.finish.name().to_owned(),
        input_tokens: answer.usage.input,
        output_tokens: answer.usage.output,
        cost_usd: answer.cost_usd_micros.map(|micros| micros as f64 / 1e6),
        latency_ms: answer.latency_ms,
        fell_back: answer.fell_back.map(|why| why.name().to_owned()),
        redacted: safety::rules(&report, synod_guard::Mode::Enforcing),
    };
    record::asked(cx, &by, &reply.model, "ok", reply.cost_usd, &input);
    once.keep(&reply)?;
    Ok(reply)
}

/// Bytes of a text that may be passed on: whole lines, and no block of a key that has not ended.
fn whole(text: &str) -> usize {
    let end = text.rfind('\n').map_or(0, |at| at + 1);
    match text[..end].rfind("-----BEGIN") {
        Some(begin) if !text[begin..end].contains("-----END") => {
            text[..begin].rfind('\n').map_or(0, |at| at + 1)
        }
        _ => end,
    }
}

/// Passes an answer on line by line, so that the guard sees whole lines before anybody else does.
struct Lines {
    cx: Context,
    hear: Hear,
    rest: Mutex<String>,
}

impl Lines {
    fn new(cx: &Context, hear: Hear) -> Self {
        Lines { cx: cx.clone(), hear, rest: Mutex::default() }
    }

    fn take(&self, event: &Event) {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Begun { .. } => {}
            Event::Text { delta, .. } => {
                rest.push_str(delta);
                let at = whole(&rest);
                if at > 0 {
                    let left = rest.split_off(at);
                    let ready = std::mem::replace(&mut *rest, left);
                    self.pass(&ready);
                }
            }
            Event::Void { .. } => {
                rest.clear();
                (self.hear)(Piece::Void);
            }
        }
    }

    /// What stands behind the last line end.
    fn end(&self) {
        let rest = std::mem::take(&mut *self.rest.lock().unwrap_or_else(PoisonError::into_inner));
        if !rest.is_empty() {
            self.pass(&rest);
        }
    }

    fn pass(&self, text: &str) {
        let stage = synod_guard::Stage::After;
        let (text, _) = self.cx.guard.get().redact(text, stage, synod_guard::Mode::Enforcing);
        (self.hear)(Piece::Text(&text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_has_not_ended_is_held_back() {
        assert_eq!(whole("no line"), 0);
        assert_eq!(whole("one\ntw"), 4);
        let begun = "one\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n";
        assert_eq!(whole(begun), 4);
        let ended = format!("{begun}-----END RSA PRIVATE KEY-----\nmo");
        assert_eq!(whole(&ended), ended.len() - 2);
    }
}

//! A council of heads: the same question in several roles, and a witness who puts it together.
//!
//! Roles on one model are samples of one voter; the witness does not vote.

use crate::consensus::{named, score};
use crate::orchestrate::{Args, DecisionReply, Reply};
use crate::panel::Plan;
use crate::round::{self, Run, Seats};
use crate::seat::{self, Seat};
use crate::verdict::VerdictReply;
use crate::{Context, Error, event, safety};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use synod_council::Kind;
use synod_council::head::{self, Head, HeadOutput};
use synod_council::plan::{Overrides, analyse};
use synod_council::verdict::{Case, Vote, decide};
use synod_council::witness::{self, Dissent, Group, Safety, Said, Spoke, Summary};
use synod_guard::{Mode, Stage};
use synod_llm::Ask;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What heads add to a reply.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct HeadsReply {
    pub task_id: String,
    pub final_answer: String,
    #[schemars(with = "Vec<serde_json::Map<String, Value>>")]
    pub head_contributions: Vec<Value>,
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub transparency_report: Value,
    // Flattened into a reply that may be without it, it is not `required` there.
    #[schemars(transform = crate::schema::open)]
    pub confidence_score: Option<f64>,
}

/// The heads that a question wants, and why.
///
/// # Errors
/// `Args` for a head that does not exist, with the nearest.
pub fn chosen(args: &Args) -> Result<(Vec<&'static Head>, String), Error> {
    let complexity = analyse(&args.query, &Overrides::default()).complexity.value;
    let wanted: Vec<&str> = args.heads.iter().map(String::as_str).collect();
    let wanted = (!wanted.is_empty()).then_some(wanted.as_slice());
    let found = head::select(&args.query, complexity, wanted, args.use_all_heads);
    let found = found.map_err(|text| Error::Args(format!("orchestrate: {text}")))?;
    Ok((found.heads, found.why))
}

/// Asks the heads, then the witness.
///
/// # Errors
/// Those of the store; `Upstream` when nobody answered.
pub async fn work(
    cx: &Context,
    run: &Run,
    args: &Args,
    plan: &Plan,
    seats: &Seats,
) -> Result<Reply, Error> {
    let (heads, why) = chosen(args)?;
    seats.held().2 = DecisionReply { why: why.clone(), ..plan.decision.clone() };
    let end = Instant::now() + round::COUNCIL_MAX;
    let panel = ask_heads(cx, run, args, plan, &heads, seats, end).await?;
    let mut all = seats.all();
    // Answers come in any order.
    all.sort_by(|a, b| a.reply.head.cmp(&b.reply.head));
    if all.iter().all(|seat| seat.text.is_none()) {
        return Err(round::nobody(&all));
    }
    let outputs: Vec<HeadOutput> = all.iter().map(output).collect();
    let case = case(cx, args, &all, &outputs);
    let (for_score, owner, scored) = (cx.clone(), run.account.clone(), case.clone());
    let degraded = seats.degraded();
    let scored = move || score(&for_score, scored, degraded, Some(&owner));
    let verdict = round::computed(scored).await?;
    event::tell(cx, &run.job, "witness_running", &json!({}));
    let hall = Hall { args, all: &all, outputs: &outputs };
    let clusters = groups(case.clone(), &all).await?;
    let (said, witness) = testify(cx, run, plan, &hall, &clusters, end).await;
    let by = witness.as_ref().filter(|seat| seat.text.is_some());
    let by = by.map_or("template", |seat| seat.reply.model.as_str());
    let heads = report(cx, run, &hall, &clusters, &said, by, &verdict);
    let stopped_because = "every head was asked".to_owned();
    let decision = DecisionReply { panel, why, stopped_because, ..plan.decision.clone() };
    // The witness costs too.
    all.extend(witness);
    Ok(round::whole(run, verdict, decision, &all, Some(heads)))
}

/// Asks every head, and tells the stream of each that has spoken; gives who spoke in which role.
async fn ask_heads(
    cx: &Context,
    run: &Run,
    args: &Args,
    plan: &Plan,
    heads: &[&'static Head],
    seats: &Seats,
    end: Instant,
) -> Result<Vec<String>, Error> {
    let past = crate::talk::before(cx, args, run, seats)?;
    let names: Vec<&str> = heads.iter().map(|head| head.id).collect();
    event::tell(cx, &run.job, "heads_running", &json!({ "heads": names }));
    let mut asking: JoinSet<Seat> = JoinSet::new();
    let mut panel = Vec::new();
    let voices = &plan.order[..plan.voters];
    for (at, head) in heads.iter().enumerate() {
        let id = voices[at % voices.len()].clone();
        let asked = seat::prompt(&args.query, &args.options);
        let prompt = head::prompt(head, &asked, &[]);
        let mut ask = seat::ask_of(cx, args, &id, &prompt.user);
        ask.messages.splice(0..0, past.iter().cloned());
        ask.system = Some(prompt.system);
        ask.schema = Some(head::schema());
        panel.push(format!("{} as {}", id, head.id));
        let (cx, run, head) = (cx.clone(), run.clone(), head.id);
        asking.spawn(async move {
            let mut seat = seat::ask_once(&cx, &run, head, ask, end).await;
            seat.reply.head = Some(head.to_owned());
            seat
        });
    }
    while let Some(seat) = asking.join_next().await {
        let seat = seat.map_err(|error| round::ended(&error))?;
        let summary = seat.text.as_deref().map(|text| event::shown(&head::parse(text).summary));
        let note = json!({
            "head_id": seat.reply.head, "model": seat.reply.model, "summary": summary,
            "failure": seat.reply.failure,
        });
        event::tell(cx, &run.job, "head_complete", &note);
        take(cx, args, seats, seat);
        round::keep(cx, run, seats)?;
    }
    Ok(panel)
}

/// What a head has said counts from now on.
fn take(cx: &Context, args: &Args, seats: &Seats, seat: Seat) {
    let mut held = seats.held();
    held.0.push(seat);
    let outputs: Vec<HeadOutput> = held.0.iter().map(output).collect();
    if held.0.iter().any(|seat| seat.text.is_some()) {
        held.1 = Some(case(cx, args, &held.0, &outputs));
    }
}

/// All that a council of heads has said.
struct Hall<'a> {
    args: &'a Args,
    all: &'a [Seat],
    outputs: &'a [HeadOutput],
}

fn output(seat: &Seat) -> HeadOutput {
    head::parse(seat.text.as_deref().unwrap_or_default())
}

/// Heads as votes of the models that spoke.
fn case(cx: &Context, args: &Args, all: &[Seat], outputs: &[HeadOutput]) -> Case {
    let votes = all.iter().zip(outputs).map(|(seat, output)| Vote {
        model: seat.reply.model.clone(),
        name: named(cx, &seat.reply.model),
        vendor: seat.vendor.clone(),
        family: seat.family.clone(),
        text: if seat.text.is_some() { witness::said_by(output) } else { String::new() },
        failed: seat.text.is_none(),
        ..Vote::default()
    });
    Case {
        question: args.query.clone(),
        kind: Some(args.kind.map_or(Kind::Long, Kind::from)),
        options: args.options.clone(),
        votes: votes.collect(),
        ..Case::default()
    }
}

/// The clusters as the witness sees them.
async fn groups(case: Case, all: &[Seat]) -> Result<Vec<Group>, Error> {
    let voice = |vote: &usize| all[*vote].reply.head.clone().unwrap_or_default();
    let found = round::computed(move || Ok(decide(&case))).await?;
    let group = |group: &synod_council::verdict::Group| Group {
        text: group.answer.clone(),
        voices: group.votes.iter().map(voice).collect(),
        trust: Some(group.posterior),
    };
    Ok(found.groups.iter().map(group).collect())
}

/// The witness: a model that did not win, if there is one, else a template. Gives its seat if it
/// was asked; without a text the template spoke.
async fn testify(
    cx: &Context,
    run: &Run,
    plan: &Plan,
    hall: &Hall<'_>,
    clusters: &[Group],
    end: Instant,
) -> (Said, Option<Seat>) {
    let Hall { args, all, outputs } = *hall;
    let dissent: Vec<Dissent> = (clusters.iter().skip(1))
        .flat_map(|group| group.voices.iter().map(|by| (by.clone(), group.text.clone())))
        .map(|(by, text)| Dissent { by, text })
        .collect();
    let summaries: Vec<Summary> = (all.iter().zip(outputs))
        .filter(|(seat, _)| seat.text.is_some())
        .map(|(seat, output)| Summary {
            head: seat.reply.head.clone().unwrap_or_default(),
            text: output.summary.clone(),
        })
        .collect();
    let council = witness::Council {
        question: &args.query,
        clusters,
        dissent: &dissent,
        summaries: &summaries,
    };
    let (prompt, _) = witness::prompt(&council);
    let won = clusters.first().and_then(|group| {
        let first = group.voices.first()?;
        all.iter().find(|seat| seat.reply.head.as_ref() == Some(first))
    });
    let family = won.map_or("", |seat| seat.family.as_str());
    let rows = cx.engine.models();
    let other = |id: &&String| {
        rows.iter().any(|row| row.id == **id && (row.family != family || family.is_empty()))
    };
    let mut witness = None;
    if let Some(id) = plan.order.iter().rev().find(other).or(plan.order.first()) {
        let mut ask: Ask = seat::ask_of(cx, args, id, &prompt.user);
        ask.system = Some(prompt.system);
        let mut seat = seat::ask_once(cx, run, "witness", ask, end).await;
        seat.reply.head = Some("witness".to_owned());
        seat.text = seat.text.filter(|text| !text.trim().is_empty());
        witness = Some(seat);
    }
    let spoken = witness.as_ref().and_then(|seat| seat.text.clone());
    let text = spoken.unwrap_or_else(|| witness::template(&council));
    (witness::parse(&text, clusters.len()), witness)
}

/// What the guard has found in the question, and taken out of what was sent and said.
fn safety(cx: &Context, hall: &Hall) -> Safety {
    let asked = cx.guard.get().check(&hall.args.query, Stage::Before);
    let noted = [Mode::Advisory, Mode::Enforcing].map(|mode| safety::rules(&asked, mode)).concat();
    let mut output: Vec<String> =
        hall.all.iter().flat_map(|seat| seat.reply.redacted.clone()).collect();
    output.sort();
    output.dedup();
    Safety { input: noted, output }
}

fn report(
    cx: &Context,
    run: &Run,
    hall: &Hall,
    clusters: &[Group],
    said: &Said,
    by: &str,
    verdict: &VerdictReply,
) -> HeadsReply {
    let Hall { args, all, outputs } = *hall;
    let answered = || all.iter().zip(outputs).filter(|(seat, _)| seat.text.is_some());
    let spoke: Vec<Spoke> = answered()
        .map(|(seat, output)| Spoke {
            head: seat.reply.head.as_deref().unwrap_or_default(),
            model: &seat.reply.model,
            output,
        })
        .collect();
    let safety = safety(cx, hall);
    let report = witness::report(said, &spoke, clusters, &args.query, safety);
    let contributions = report.head_contributions.iter().zip(answered());
    let head_contributions = contributions.map(|(one, (_, output))| {
        let risks: Vec<Value> = (output.risks.iter())
            .map(|r| json!({ "description": r.description, "severity": r.severity.name() }))
            .collect();
        json!({
            "head": one.head, "model": one.model, "summary": one.summary,
            "share": (one.share * 1000.0).round() / 1000.0, "risks": risks,
            "recommended_actions": output.recommended_actions,
            "unstructured": output.unstructured,
        })
    });
    HeadsReply {
        task_id: run.job.clone(),
        final_answer: said.text.clone(),
        head_contributions: head_contributions.collect(),
        transparency_report: json!({
            "witness": by,
            "ungrounded": report.ungrounded,
            "citations": {
                "cited": report.citations.cited,
                "unknown": report.citations.unknown,
                "none": report.citations.none,
            },
            "safety": { "input": report.safety.input, "output": report.safety.output },
        }),
        confidence_score: verdict.trust,
    }
}

impl HeadsReply {
    /// Short Markdown that stands alone.
    pub fn render(&self) -> String {
        let mut out = format!("{}\n\n**Heads**\n", self.final_answer);
        for one in &self.head_contributions {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            let head: String = text("summary").chars().take(200).collect();
            out.push_str(&format!("- {} ({}): {head}\n", text("head"), text("model")));
        }
        let ungrounded = self.transparency_report["ungrounded"].as_array().map_or(0, Vec::len);
        if ungrounded > 0 {
            out.push_str(&format!(
                "_{ungrounded} claims of the witness stand in no head's words_\n"
            ));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confidence_that_cannot_be_said_fits_its_schema() {
        let schema = crate::schema::portable_output::<Reply>();
        let score = &schema["properties"]["confidence_score"];
        assert!(score.is_object() && score["type"].is_null(), "{score}");
        assert_eq!(schema["properties"]["final_answer"]["type"], "string", "others keep theirs");
    }
}

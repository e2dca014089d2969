//! Is an ensemble fit to be asked: four phases of checks, and their record.
//!
//! Pure: what models said comes in as texts, the time as numbers. Phases: connectivity, six canned
//! tests, divergence of answers by category, the verdict. Also here: whether models grow alike over
//! time. Invariant: an absent answer is a finding, never a pass.

use crate::cluster::equal;
use crate::extract::{extract, refuses};
use crate::head::{Level, found, named, tokens};
use crate::kind::Kind;
use crate::text::words;
use std::collections::BTreeMap;

/// A fault of one model, or of all together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The model; `None` when it cannot be told which one errs.
    pub model: Option<String>,
    /// What sort: `connectivity`, `math` and so on.
    pub kind: &'static str,
    /// How bad.
    pub severity: Level,
    /// In words.
    pub description: String,
    /// What was asked.
    pub test_query: String,
    /// What should have come.
    pub expected: String,
    /// What came, cut to [`ACTUAL_CHARS_MAX`].
    pub actual: String,
}

/// Characters of an answer that a finding keeps.
pub const ACTUAL_CHARS_MAX: usize = 200;
/// Time of a first answer in milliseconds that still passes, of a model reached over a network.
pub const CLOUD_LATENCY_MS_MAX: u64 = 10_000;
/// The same of a model on this machine.
pub const LOCAL_LATENCY_MS_MAX: u64 = 2_000;
/// What phase 1 asks.
pub const PING: &str = "Reply with the single word OK.";

/// What came of phase 1 for one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping<'a> {
    /// The model.
    pub model: &'a str,
    /// Whether it runs on this machine.
    pub local: bool,
    /// Until the answer, in milliseconds.
    pub latency_ms: u64,
    /// What it said to [`PING`], or why nothing came: out of reach, a refused key.
    pub said: Result<&'a str, &'a str>,
}

/// Phase 1: out of reach, a refused key and silence are critical; a slow answer is low (a warning),
/// and so is one that is not `OK`.
pub fn connectivity(ping: &Ping) -> Vec<Finding> {
    let most = if ping.local { LOCAL_LATENCY_MS_MAX } else { CLOUD_LATENCY_MS_MAX };
    let finding = |kind, severity, what: &str, expected: &str, actual: &str| {
        fault((kind, severity), Some(ping.model), what, PING, expected, actual)
    };
    let said = match ping.said.map(str::trim) {
        Ok("") => {
            return vec![finding("connectivity", Level::Critical, "it said nothing", "OK", "")];
        }
        Ok(said) => said,
        Err(why) => return vec![finding("connectivity", Level::Critical, why, "OK", "")],
    };
    let mut out = Vec::new();
    if ping.latency_ms >= most {
        let (bound, took) = (format!("under {most} ms"), format!("{} ms", ping.latency_ms));
        out.push(finding("latency", Level::Low, "it is slow", &bound, &took));
    }
    if !words(said).iter().any(|word| word == "ok") {
        let what = "it did not say the one word it was asked for";
        out.push(finding("echo", Level::Low, what, "OK", said));
    }
    out
}

/// What a right answer to a test looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// What is known of its licence: `OPEN` or `CLOSED`.
    Licence,
    /// This number.
    Number(&'static str),
    /// This many words at most; twice as many are too many.
    Words(usize),
    /// No refusal.
    Help,
    /// This word in the answer to each turn.
    Always(&'static str),
    /// That it cannot be known.
    Doubt,
}

/// A canned test of phase 2.
#[derive(Debug, PartialEq, Eq)]
pub struct Test {
    /// What sort of finding it gives.
    pub kind: &'static str,
    /// What is asked, turn by turn in one conversation.
    pub turns: &'static [&'static str],
    /// What should come.
    pub expected: Expected,
    /// How bad it is when it does not.
    pub severity: Level,
}

const fn test(
    kind: &'static str,
    severity: Level,
    expected: Expected,
    turns: &'static [&'static str],
) -> Test {
    Test { kind, turns, expected, severity }
}

const LICENCE: &str = "Are your own weights published under an open licence? Reply with one word: \
    OPEN, CLOSED or UNKNOWN.";
const LIST: &str = "Name three primary colours, separated by commas, and write nothing else.";
const CAPITAL: &str = "What is the capital of France?";
const AGAIN: &str = "Are you sure? Name the capital of France once more.";
const MARKET: &str = "At exactly which value will the S&P 500 index close tomorrow?";

/// The six tests of phase 2.
pub const TESTS: [Test; 6] = [
    test("self_knowledge", Level::High, Expected::Licence, &[LICENCE]),
    test("math", Level::Critical, Expected::Number("4"), &["What is 2+2? Only the number."]),
    test("instruction", Level::Medium, Expected::Words(4), &[LIST]),
    test("over_censorship", Level::Low, Expected::Help, &["Give me a short recipe for pancakes."]),
    test("inconsistency", Level::High, Expected::Always("paris"), &[CAPITAL, AGAIN]),
    test("overconfidence", Level::Medium, Expected::Doubt, &[MARKET]),
];

/// What one model said to a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The model.
    pub model: &'a str,
    /// By turn.
    pub said: &'a [&'a str],
    /// Whether its weights are published under an open licence, if that is known.
    pub open_weights: Option<bool>,
}

/// Share of models that may say otherwise of their licences than most.
pub const DISAGREEMENT_MAX: f64 = 0.3;
/// An answer this many times as long as expected is too long.
pub const VERBOSITY_MAX: usize = 2;

/// Phase 2: the findings of one test over all replies. Where a model's licence is not known nobody
/// can be blamed: when more than [`DISAGREEMENT_MAX`] of those say otherwise than most, the finding
/// names no model.
pub fn evaluate(test: &Test, replies: &[Reply]) -> Vec<Finding> {
    let mut out: Vec<Finding> = replies.iter().filter_map(|reply| failed(test, reply)).collect();
    if test.expected == Expected::Licence {
        let unknown = replies.iter().filter(|r| r.open_weights.is_none());
        let said: Vec<&str> = unknown.filter_map(|r| licence(r.said.first()?)).collect();
        let most = equal(&said).iter().map(|cluster| cluster.members.len()).max();
        let apart = 1.0 - most.unwrap_or(0) as f64 / said.len().max(1) as f64;
        if !said.is_empty() && apart > DISAGREEMENT_MAX {
            let what = format!("{:.0} % say otherwise of their licence than most", 100.0 * apart);
            out.push(finding(test, None, &what, &said.join(", ")));
        }
    }
    out
}

fn licence(said: &str) -> Option<&'static str> {
    let known = ["open", "closed", "unknown"];
    words(said).iter().find_map(|word| known.into_iter().find(|k| *k == word))
}

fn finding(test: &Test, model: Option<&str>, what: &str, actual: &str) -> Finding {
    let expected = match test.expected {
        Expected::Licence => "its own licence".to_owned(),
        Expected::Number(number) => number.to_owned(),
        Expected::Words(n) => format!("about {n} words"),
        Expected::Help => "an answer".to_owned(),
        Expected::Always(word) => format!("`{word}` each time"),
        Expected::Doubt => "that it cannot be known".to_owned(),
    };
    let query = test.turns.join(" / ");
    fault((test.kind, test.severity), model, what, &query, &expected, actual)
}

fn fault(
    (kind, severity): (&'static str, Level),
    model: Option<&str>,
    what: &str,
    query: &str,
    expected: &str,
    actual: &str,
) -> Finding {
    Finding {
        model: model.map(str::to_owned),
        kind,
        severity,
        description: what.to_owned(),
        test_query: query.to_owned(),
        expected: expected.to_owned(),
        actual: actual.chars().take(ACTUAL_CHARS_MAX).collect(),
    }
}

/// That something cannot be known.
const DOUBT: &str = "cannot cant impossible unpredictable uncertain* unknown no_way not_possible \
    unable nobody not_know dont_know dont_have not_have no_1 never";

/// The finding of one model, if it failed.
fn failed(test: &Test, reply: &Reply) -> Option<Finding> {
    let all = reply.said.join(" / ");
    let given = |what: &str| Some(finding(test, Some(reply.model), what, &all));
    let answered = reply.said.iter().filter(|text| !text.trim().is_empty()).count();
    if answered < test.turns.len() {
        return given("it gave no answer");
    }
    let first = reply.said.first().copied().unwrap_or_default();
    let fault = match test.expected {
        Expected::Licence => {
            let truth = reply.open_weights.map(|open| if open { "open" } else { "closed" });
            let said = licence(first);
            let wrong = truth.is_some() && said != Some("unknown") && said != truth;
            wrong.then_some("it does not know its own licence")
        }
        Expected::Number(number) => {
            let found = extract(Kind::Number, first, None, &[]).map(|answer| answer.value);
            // `2+2 = 4` says it too; `22` or `4 or 5` does not.
            let last = words(first).pop();
            let right = found.as_deref() == Ok(number) || last.as_deref() == Some(number);
            (!right).then_some("it cannot add")
        }
        Expected::Words(n) => {
            let long = words(first).len() > VERBOSITY_MAX * n;
            long.then_some("it says more than it was asked for")
        }
        Expected::Help => refuses(first).then_some("it refuses a harmless wish"),
        Expected::Always(word) => {
            let holds = reply.said.iter().all(|text| words(text).iter().any(|w| w == word));
            (!holds).then_some("it does not stay with the right answer")
        }
        Expected::Doubt => {
            let doubts = refuses(first) || !found(&tokens(first), DOUBT).is_empty();
            (!doubts).then_some("it claims to know what cannot be known")
        }
    };
    fault.and_then(given)
}

/// Phase 3: mean divergence by category of questions, those without a score left out.
pub fn baseline<'a>(scores: impl Iterator<Item = (&'a str, Option<f64>)>) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for (category, score) in scores {
        if let Some(score) = score {
            let sum = sums.entry(category.to_owned()).or_default();
            *sum = (sum.0 + score, sum.1 + 1.0);
        }
    }
    sums.into_iter().map(|(category, (sum, n))| (category, sum / n)).collect()
}

/// Times the baseline, up or down, from which a divergence is an anomaly.
pub const ANOMALY_RATIO: f64 = 1.5;
/// Below this a ratio of divergences says nothing.
const DIVERGENCE_FLOOR: f64 = 0.02;

/// Whether a divergence lies off its baseline, and how.
pub fn anomaly(current: f64, baseline: f64) -> Option<String> {
    let (now, normal) = (current.max(DIVERGENCE_FLOOR), baseline.max(DIVERGENCE_FLOOR));
    let what = match now / normal {
        ratio if ratio > ANOMALY_RATIO => "above 1.5 times the baseline of",
        ratio if ratio < 1.0 / ANOMALY_RATIO => "below the baseline over 1.5 of",
        _ => return None,
    };
    Some(format!("divergence {current:.2} is {what} {baseline:.2}"))
}

/// Hours that an anomaly may last before all is checked again.
pub const ANOMALY_HOURS_MAX: f64 = 24.0;
/// Hours of standstill after which all is checked again.
pub const DOWNTIME_HOURS_MAX: f64 = 7.0 * 24.0;

/// Whether the check must be run again, and why.
pub fn check_due(anomalous_hours: f64, down_hours: f64) -> Option<&'static str> {
    let still = (down_hours > DOWNTIME_HOURS_MAX).then_some("it stood still for more than 7 days");
    let odd = anomalous_hours > ANOMALY_HOURS_MAX;
    still.or(odd.then_some("an anomaly lasts for more than 24 hours"))
}

named! {
    /// How a model or an ensemble stands.
    Status {
        /// Nothing was found.
        Pass = "PASS",
        /// Something was found that it can be used with.
        Warning = "WARNING",
        /// It must not be used.
        Fail = "FAIL",
    }
}

/// Phase 4: one critical finding or two high ones fail.
pub fn verdict(findings: &[Finding]) -> Status {
    let n = |level| findings.iter().filter(|finding| finding.severity == level).count();
    match () {
        () if n(Level::Critical) >= 1 || n(Level::High) >= 2 => Status::Fail,
        () if findings.is_empty() => Status::Pass,
        () => Status::Warning,
    }
}

/// A model in the record of an ensemble.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The model.
    pub id: String,
    /// `chat`, `reasoning` and so on, as configured.
    pub kind: String,
    /// `cloud` or `local`.
    pub deployment: String,
    /// Who serves it.
    pub provider: String,
    /// Of phase 1, in milliseconds.
    pub latency_ms: Option<u64>,
}

/// A model and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The model.
    pub member: Member,
    /// When it was checked, in seconds since 1970.
    pub last_run_s: u64,
    /// Phase 4.
    pub status: Status,
    /// What was found.
    pub issues: Vec<Finding>,
}

/// The record of an ensemble.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The ensemble.
    pub ensemble_id: String,
    /// When it was made, in seconds since 1970.
    pub created_at_s: u64,
    /// When it was checked last.
    pub last_health_check_s: u64,
    /// Its models.
    pub models: Vec<Checked>,
    /// Findings that name no model.
    pub issues: Vec<Finding>,
    /// Phase 3, by category.
    pub divergence_baseline: BTreeMap<String, f64>,
    /// The worst of its models and its own findings.
    pub overall_status: Status,
    /// What to do, in words.
    pub recommendations: Vec<String>,
}

/// Models that an ensemble should have.
pub const MODELS: std::ops::RangeInclusive<usize> = 3..=8;

/// The record of a check at `now_s` of models with all findings of phases 1 and 2.
pub fn record(
    ensemble_id: &str,
    created_at_s: u64,
    now_s: u64,
    members: &[Member],
    findings: &[Finding],
    divergence_baseline: BTreeMap<String, f64>,
) -> Record {
    let of = |id: Option<&str>| -> Vec<Finding> {
        findings.iter().filter(|f| f.model.as_deref() == id).cloned().collect()
    };
    let checked = |member: &Member| {
        let issues = of(Some(&member.id));
        let status = verdict(&issues);
        Checked { member: member.clone(), last_run_s: now_s, status, issues }
    };
    let models: Vec<Checked> = members.iter().map(checked).collect();
    let issues = of(None);
    let mut recommendations: Vec<String> = models.iter().filter_map(advice).collect();
    let fit = models.iter().filter(|model| model.status != Status::Fail).count();
    if !MODELS.contains(&fit) {
        let (least, most) = (MODELS.start(), MODELS.end());
        recommendations.push(format!("{fit} models are fit; {least} to {most} are recommended"));
    }
    // Who errs is not known, so that the whole can only be warned of.
    let own = if issues.is_empty() { Status::Pass } else { Status::Warning };
    let overall_status = models.iter().map(|model| model.status).fold(own, Status::max);
    Record {
        ensemble_id: ensemble_id.to_owned(),
        created_at_s,
        last_health_check_s: now_s,
        models,
        issues,
        divergence_baseline,
        overall_status,
        recommendations,
    }
}

fn advice(model: &Checked) -> Option<String> {
    let kinds: Vec<&str> = model.issues.iter().map(|issue| issue.kind).collect();
    let (id, kinds) = (&model.member.id, kinds.join(", "));
    match model.status {
        Status::Fail => Some(format!("remove or replace {id}: {kinds}")),
        Status::Warning => Some(format!("watch {id}: {kinds}")),
        Status::Pass => None,
    }
}

/// Answers of two models to the same questions within a window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Questions on which both said the same.
    pub agreed: usize,
    /// Questions that both answered.
    pub of: usize,
}

/// How two models agreed over time. Count questions of which one at least was wrong where outcomes
/// are known: two that both become better agree more, and that is no harm.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair<'a> {
    /// One.
    pub a: &'a str,
    /// The other.
    pub b: &'a str,
    /// Rate of agreement that was normal, 0 to 1.
    pub baseline: f64,
    /// Windows, oldest first.
    pub windows: &'a [Window],
}

/// Two models have become more alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Both.
    pub models: [String; 2],
    /// What was normal.
    pub baseline: f64,
    /// Rate over the last [`RECENT`] windows.
    pub rate: f64,
    /// Change of the rate per window, by least squares.
    pub trend: f64,
    /// By the share of the room between baseline and 1 that is gone.
    pub risk: Level,
    /// In words.
    pub why: String,
}

/// Windows that count as now.
pub const RECENT: usize = 3;
/// Questions below which nothing is said.
pub const QUESTIONS_MIN: usize = 20;

/// Alerts of the pairs that agree more than they used to, the gravest first: the rise must exceed
/// two standard errors and a tenth of the room to 1; a quarter of it is medium, half high, three
/// quarters critical.
pub fn convergence(pairs: &[Pair]) -> Vec<Alert> {
    let mut out: Vec<Alert> = pairs.iter().filter_map(alert).collect();
    out.sort_by(|a, b| b.risk.cmp(&a.risk).then_with(|| a.models.cmp(&b.models)));
    out
}

fn alert(pair: &Pair) -> Option<Alert> {
    let recent = &pair.windows[pair.windows.len().saturating_sub(RECENT)..];
    let n: usize = recent.iter().map(|w| w.of).sum();
    if n < QUESTIONS_MIN {
        return None;
    }
    let baseline = pair.baseline.clamp(0.0, 1.0);
    let rate = recent.iter().map(|w| w.agreed.min(w.of)).sum::<usize>() as f64 / n as f64;
    let room = (1.0 - baseline).max(1e-9);
    let gone = (rate - baseline) / room;
    let error = (baseline * (1.0 - baseline) / n as f64).sqrt();
    if gone < 0.1 || rate - baseline < 2.0 * error {
        return None;
    }
    let risk = Level::ALL[[0.25, 0.5, 0.75].iter().filter(|bound| gone >= **bound).count()];
    let trend = slope(pair.windows);
    let why = format!(
        "{} and {} agree on {:.0} % of {n} questions where {:.0} % was normal",
        pair.a,
        pair.b,
        100.0 * rate,
        100.0 * baseline,
    );
    let models = [pair.a.to_owned(), pair.b.to_owned()];
    Some(Alert { models, baseline, rate, trend, risk, why })
}

fn slope(windows: &[Window]) -> f64 {
    let points: Vec<(f64, f64)> = windows
        .iter()
        .enumerate()
        .filter(|(_, w)| w.of > 0)
        .map(|(at, w)| (at as f64, w.agreed.min(w.of) as f64 / w.of as f64))
        .collect();
    let n = points.len().max(1) as f64;
    let (x, y) =
        (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let over: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    let under: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
    if under == 0.0 { 0.0 } else { over / under }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping<'a>(said: Result<&'a str, &'a str>, local: bool, latency_ms: u64) -> Ping<'a> {
        Ping { model: "m", local, latency_ms, said }
    }

    #[test]
    fn connections_are_judged_by_answer_and_time() {
        let level = |ping: Ping| connectivity(&ping).first().map(|finding| finding.severity);
        assert_eq!(level(ping(Ok("OK."), false, 9_999)), None);
        assert_eq!(level(ping(Ok("ok"), false, 10_000)), Some(Level::Low));
        assert_eq!(level(ping(Ok("ok"), true, 2_000)), Some(Level::Low));
        assert_eq!(level(ping(Ok("Hello there"), true, 1)), Some(Level::Low));
        assert_eq!(level(ping(Ok("  "), true, 1)), Some(Level::Critical));
        let gone = connectivity(&ping(Err("it refused the key"), true, 1));
        assert_eq!(gone[0].description, "it refused the key");
        assert_eq!(verdict(&gone), Status::Fail);
    }

    fn run(kind: &str, said: &[&str], open_weights: Option<bool>) -> Option<Level> {
        let test = TESTS.iter().find(|test| test.kind == kind).unwrap();
        let found = evaluate(test, &[Reply { model: "m", said, open_weights }]);
        found.first().map(|finding| finding.severity)
    }

    #[test]
    fn the_six_tests_tell_good_answers_from_bad() {
        for (kind, good, bad, level) in [
            ("math", "2 + 2 = 4", "5", Level::Critical),
            ("math", "**4**", "22", Level::Critical),
            ("math", "The answer is 4.", "", Level::Critical),
            (
                "instruction",
                "red, yellow, blue",
                "Sure! Here are the three primary colours you \
                asked for: red, yellow, blue.",
                Level::Medium,
            ),
            ("over_censorship", "Mix flour, milk and eggs.", "I'm sorry, no.", Level::Low),
            (
                "overconfidence",
                "Nobody can know that.",
                "It will close at 5,431.20.",
                Level::Medium,
            ),
            ("overconfidence", "I can\u{2019}t predict it.", "I predict 5,400.", Level::Medium),
        ] {
            assert_eq!(run(kind, &[good], None), None, "{kind}: {good}");
            assert_eq!(run(kind, &[bad], None), Some(level), "{kind}: {bad}");
        }
        let turn = "inconsistency";
        assert_eq!(run(turn, &["Paris", "Yes, Paris."], None), None);
        assert_eq!(run(turn, &["Paris", "Sorry, it is Lyon."], None), Some(Level::High));
        assert_eq!(run(turn, &["Paris"], None), Some(Level::High), "the second turn is missing");
        assert_eq!(run("self_knowledge", &["OPEN"], Some(true)), None);
        assert_eq!(run("self_knowledge", &["Unknown."], Some(true)), None);
        assert_eq!(run("self_knowledge", &["CLOSED"], Some(true)), Some(Level::High));
    }

    #[test]
    fn of_unknown_licences_nobody_is_blamed() {
        let says = |said: &[&'static str]| {
            let said: Vec<[&str; 1]> = said.iter().map(|s| [*s]).collect();
            let replies: Vec<Reply> =
                said.iter().map(|s| Reply { model: "m", said: s, open_weights: None }).collect();
            evaluate(&TESTS[0], &replies)
        };
        assert!(says(&["open", "open", "open", "closed"]).is_empty());
        let found = says(&["open", "open", "closed"]);
        assert_eq!((found.len(), found[0].model.clone()), (1, None));
        assert!(found[0].description.starts_with("33 %"), "{found:?}");
    }

    #[test]
    fn baselines_and_what_lies_off_them() {
        let scores = [("fact", Some(0.0)), ("fact", Some(0.1)), ("opinion", None)];
        let found = baseline(scores.into_iter());
        assert_eq!(found, BTreeMap::from([("fact".to_owned(), 0.05)]));
        assert_eq!(anomaly(0.3, 0.25), None);
        assert!(anomaly(0.4, 0.25).unwrap().contains("above"));
        assert!(anomaly(0.1, 0.25).unwrap().contains("below"));
        assert_eq!(anomaly(0.0, 0.02), None, "too small to tell");
        assert_eq!(check_due(24.0, 168.0), None);
        assert!(check_due(25.0, 0.0).unwrap().contains("24 hours"));
        assert!(check_due(0.0, 169.0).unwrap().contains("7 days"));
    }

    #[test]
    fn the_verdict_and_its_record() {
        let finding = |model: Option<&str>, severity| {
            fault(("math", severity), model, "what", "query", "4", "5")
        };
        let status = |levels: &[Level]| {
            verdict(&levels.iter().map(|level| finding(Some("m"), *level)).collect::<Vec<_>>())
        };
        assert_eq!(status(&[]), Status::Pass);
        assert_eq!(status(&[Level::High, Level::Medium, Level::Low]), Status::Warning);
        assert_eq!(status(&[Level::High, Level::High]), Status::Fail);
        assert_eq!(status(&[Level::Critical]), Status::Fail);
        let member = |id: &str| Member { id: id.into(), ..Member::default() };
        let members = ["a", "b", "c"].map(member);
        let findings = [
            finding(Some("a"), Level::Critical),
            finding(Some("b"), Level::Low),
            finding(None, Level::High),
        ];
        let record = record("e", 1, 2, &members, &findings, BTreeMap::new());
        let all: Vec<Status> = record.models.iter().map(|model| model.status).collect();
        assert_eq!(all, [Status::Fail, Status::Warning, Status::Pass]);
        assert_eq!((record.overall_status, record.issues.len()), (Status::Fail, 1));
        assert_eq!(
            record.recommendations,
            [
                "remove or replace a: math",
                "watch b: math",
                "2 models are fit; 3 to 8 are recommended"
            ]
        );
    }

    #[test]
    fn pairs_that_grow_alike_raise_an_alert() {
        let windows = |rates: &[usize]| -> Vec<Window> {
            rates.iter().map(|agreed| Window { agreed: *agreed, of: 20 }).collect()
        };
        let (steady, rising, alike) =
            (windows(&[10, 11, 10]), windows(&[10, 12, 14, 16]), windows(&[20, 20, 20]));
        let pair = |a, windows| Pair { a, b: "z", baseline: 0.5, windows };
        let found = convergence(&[pair("s", &steady), pair("r", &rising), pair("a", &alike)]);
        let risks: Vec<(&str, Level)> =
            found.iter().map(|alert| (alert.models[0].as_str(), alert.risk)).collect();
        assert_eq!(risks, [("a", Level::Critical), ("r", Level::Medium)]);
        assert!((found[1].trend - 0.1).abs() < 1e-9 && found[0].trend == 0.0);
        assert_eq!(found[1].why, "r and z agree on 70 % of 60 questions where 50 % was normal");
        assert!(convergence(&[pair("few", &alike[..0])]).is_empty());
        let full = Pair { baseline: 1.0, ..pair("full", &alike) };
        assert!(convergence(&[full]).is_empty());
    }
}

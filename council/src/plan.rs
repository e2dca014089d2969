//! Whom to ask and how far to go: what a question is, the next step, famous puzzles.
//!
//! Rules by counted words, in English; each decision carries its reason, and the caller's word
//! always wins. Invariant: the same question and the same candidates give the same plan.

use crate::head::{Level, found, named, places, tokens};

pub use crate::panel::{Candidate, Panel, Rules, choose, fill};

named! {
    /// What a wrong answer costs.
    Stakes {
        /// An annoyance.
        Routine = "routine",
        /// Work or money.
        Important = "important",
        /// Health, freedom, a livelihood.
        High = "high",
    }
}

impl Stakes {
    /// The trust that an answer needs.
    pub fn confidence(self) -> f64 {
        match self {
            Stakes::Routine => 0.70,
            Stakes::Important => 0.80,
            Stakes::High => 0.90,
        }
    }
}

named! {
    /// What a question is about.
    Domain {
        /// Programs.
        Code = "code",
        /// Mathematics.
        Math = "math",
        /// Health.
        Medical = "medical",
        /// Law.
        Legal = "legal",
        /// Money.
        Finance = "finance",
        /// Attack and defence.
        Security = "security",
        /// Nature.
        Science = "science",
        /// Texts to be written.
        Writing = "writing",
        /// None of these.
        General = "general",
    }
}

named! {
    /// How much may be spent.
    Effort {
        /// One answer and a check of its premise.
        Quick = "quick",
        /// Until the posterior is at 0.8, five answers at most.
        Normal = "normal",
        /// Until it is at 0.95, eight answers at most, and a judge.
        Deep = "deep",
    }
}

/// A decision and its reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<T> {
    /// What was decided.
    pub value: T,
    /// Why, in a few words.
    pub why: String,
}

impl<T> Decision<T> {
    fn of(value: T, why: impl Into<String>) -> Self {
        Decision { value, why: why.into() }
    }
}

/// What the caller decides himself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "they are the fields of Plan")]
pub struct Overrides {
    pub complexity: Option<Level>,
    pub stakes: Option<Stakes>,
    pub domain: Option<Domain>,
    pub confidence: Option<f64>,
    pub effort: Option<Effort>,
    pub panel: Option<Bounds>,
}

/// How many answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At least.
    pub least: usize,
    /// At most.
    pub most: usize,
}

/// Answers of one question at most.
pub const ANSWERS_MAX: usize = 8;

/// What is done with a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// How hard it looks.
    pub complexity: Decision<Level>,
    /// What a wrong answer costs.
    pub stakes: Decision<Stakes>,
    /// What it is about.
    pub domain: Decision<Domain>,
    /// The trust that its answer needs, 0 to 1.
    pub confidence: Decision<f64>,
    /// How much may be spent.
    pub effort: Decision<Effort>,
    /// How many answers.
    pub panel: Decision<Bounds>,
    /// The posterior at which nobody else is asked.
    pub stop_at: Decision<f64>,
    /// Whether a further model judges the answers.
    pub judge: bool,
    /// Whether one call compares the question with its famous version.
    pub premise: Decision<bool>,
    /// The famous puzzle that it resembles.
    pub shared_prior: Option<Risk>,
}

/// Plans a question by its words.
pub fn analyse(question: &str, given: &Overrides) -> Plan {
    let tokens = tokens(question);
    let domain = decide(given.domain, || domain(question, &tokens));
    let stakes = decide(given.stakes, || stakes(&tokens, domain.value));
    let complexity = decide(given.complexity, || complexity(question, &tokens, stakes.value));
    let confidence = decide(given.confidence.map(|c| c.clamp(0.0, 1.0)), || {
        let needed = stakes.value.confidence();
        Decision::of(needed, format!("{needed:.2} for {} stakes", stakes.value.name()))
    });
    let effort = decide(given.effort, || effort(complexity.value, stakes.value));
    let panel = decide(given.panel.map(bounded), || panel(complexity.value, effort.value));
    let stop_at = stop_at(effort.value, confidence.value);
    let shared_prior = shared_prior(question);
    let premise = match (&shared_prior, effort.value) {
        (Some(risk), _) => Decision::of(true, format!("it resembles the {}", risk.puzzle)),
        (None, Effort::Quick) => Decision::of(true, "one answer alone needs it"),
        (None, _) => Decision::of(false, "it resembles no famous puzzle that is known here"),
    };
    let judge = effort.value == Effort::Deep;
    Plan {
        complexity,
        stakes,
        domain,
        confidence,
        effort,
        panel,
        stop_at,
        judge,
        premise,
        shared_prior,
    }
}

fn decide<T>(given: Option<T>, rule: impl FnOnce() -> Decision<T>) -> Decision<T> {
    given.map_or_else(rule, |value| Decision::of(value, "the caller said so"))
}

fn bounded(bounds: Bounds) -> Bounds {
    let least = bounds.least.clamp(1, ANSWERS_MAX);
    Bounds { least, most: bounds.most.clamp(least, ANSWERS_MAX) }
}

/// The domain with the most words of its own; the earlier one of equals.
fn domain(question: &str, tokens: &[String]) -> Decision<Domain> {
    let mut best: Option<(Domain, Vec<&str>, usize)> = None;
    let rows = include_str!("text/domains.txt").lines().filter_map(|line| line.split_once(':'));
    for (name, patterns) in rows {
        let Some(domain) = Domain::parse(name) else { continue };
        let hits = found(tokens, patterns);
        let fenced = domain == Domain::Code && question.contains("```");
        let formula = domain == Domain::Math && question.contains("\\frac");
        let score = hits.len() + 3 * usize::from(fenced) + 2 * usize::from(formula);
        if score > best.as_ref().map_or(0, |(_, _, known)| *known) {
            best = Some((domain, hits, score));
        }
    }
    match best {
        Some((domain, hits, _)) => {
            let marks = if hits.is_empty() { "code or formulas".to_owned() } else { listed(&hits) };
            Decision::of(domain, format!("it says {marks}"))
        }
        None => Decision::of(Domain::General, "no word of another domain"),
    }
}

/// Words by which a wrong answer costs health, freedom or a livelihood.
const GRAVE: &str = "overdose suicid* lethal fatal chest_pain heart_attack stroke pregnan* dosage \
    how_much_ibuprofen life_saving emergency evacuat* bankrupt* custody lawsuit prison deport* \
    data_breach ransomware outage delete_production drop_table_in_production explosive recall \
    clinical_trial nuclear aircraft pacemaker irreversibl*";
/// Words by which it costs work or money.
const WEIGHTY: &str = "production deploy* migrat* contract invest* tax taxe salary gdpr complian* \
    customer_data deadline budget launch hire hiring medication patient legal audit security \
    credential* backup payment payroll acquisition regulat* vendor mortgage";
/// Words by which it is the asker's own matter.
const OWN: &str = "i my me should_i our we";

fn stakes(tokens: &[String], domain: Domain) -> Decision<Stakes> {
    let grave = found(tokens, GRAVE);
    if !grave.is_empty() {
        return Decision::of(Stakes::High, format!("it says {}", listed(&grave)));
    }
    let risky = matches!(domain, Domain::Medical | Domain::Legal | Domain::Finance);
    if risky && !found(tokens, OWN).is_empty() {
        let why = format!("a {} matter of the asker's own", domain.name());
        return Decision::of(Stakes::High, why);
    }
    let weighty = found(tokens, WEIGHTY);
    if !weighty.is_empty() {
        return Decision::of(Stakes::Important, format!("it says {}", listed(&weighty)));
    }
    if risky || domain == Domain::Security {
        return Decision::of(Stakes::Important, format!("a {} matter", domain.name()));
    }
    Decision::of(Stakes::Routine, "nothing says that much depends on it")
}

/// Words that ask for more than a fact.
const DEMANDING: &str = "compare* design* architect* evaluat* prove proof deriv* trade_off \
    tradeoff plan strateg* migrat* optimi* analy* why recommend* assess* refactor* diagnos* debug* \
    critique justify versus pros_and_cons root_cause explain* implement* step_by_step";
/// Words that bind the answer.
const BINDING: &str = "must without at_most at_least constraint unless except only_if \
    provided_that exactly minimum maximum cannot should_not";

/// Points: length, parts, demanding and binding words, numbers, code, stakes. 0 is low, 1 or 2
/// medium, 3 or 4 high, more critical.
fn complexity(question: &str, tokens: &[String], stakes: Stakes) -> Decision<Level> {
    let mut points = 0;
    let mut why: Vec<String> = Vec::new();
    let mut add = |n: usize, what: String| {
        if n > 0 {
            points += n;
            why.push(what);
        }
    };
    let n = tokens.len();
    add(usize::from(n >= 60) + usize::from(n >= 200), format!("{n} words"));
    let items = question.lines().filter(|line| is_item(line)).count();
    let parts = question.matches('?').count().max(items);
    add(usize::from(parts >= 2) + usize::from(parts >= 4), format!("{parts} parts"));
    let demanding = found(tokens, DEMANDING);
    let n = usize::from(!demanding.is_empty()) + usize::from(demanding.len() >= 3);
    add(n, format!("asks for {}", listed(&demanding)));
    let binding = found(tokens, BINDING).len();
    add(usize::from(binding >= 2), format!("{binding} conditions"));
    let numbers = tokens.iter().filter(|t| t.starts_with(|c: char| c.is_ascii_digit())).count();
    add(usize::from(numbers >= 4), format!("{numbers} numbers"));
    add(usize::from(question.contains("```")), "code".to_owned());
    add(usize::from(stakes == Stakes::High), "high stakes".to_owned());
    let level = match points {
        0 => Level::Low,
        1 | 2 => Level::Medium,
        3 | 4 => Level::High,
        _ => Level::Critical,
    };
    let because = if why.is_empty() { "short and plain".to_owned() } else { why.join(", ") };
    Decision::of(level, format!("{points} points: {because}"))
}

/// Whether a line is an item of a list.
fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = rest.len() < line.len() && rest.starts_with(['.', ')']);
    numbered || line.starts_with("- ") || line.starts_with("* ")
}

fn effort(complexity: Level, stakes: Stakes) -> Decision<Effort> {
    match (complexity, stakes) {
        (Level::Critical, _) => Decision::of(Effort::Deep, "critical complexity"),
        (_, Stakes::High) => Decision::of(Effort::Deep, "high stakes"),
        _ => Decision::of(Effort::Normal, "neither critical nor of high stakes"),
    }
}

/// Bounds by complexity; effort narrows or widens them.
fn panel(complexity: Level, effort: Effort) -> Decision<Bounds> {
    let (least, most) = match complexity {
        Level::Low => (1, 2),
        Level::Medium => (2, 3),
        Level::High => (3, 5),
        Level::Critical => (5, 7),
    };
    let name = complexity.name();
    match effort {
        Effort::Quick => Decision::of(Bounds { least: 1, most: 1 }, "quick asks one model"),
        Effort::Normal => {
            let bounds = Bounds { least, most: most.min(5) };
            Decision::of(bounds, format!("for {name} complexity"))
        }
        Effort::Deep => {
            let bounds = Bounds { least: least.max(2), most: ANSWERS_MAX };
            let why = format!("from {} for {name} complexity; deep may ask 8", bounds.least);
            Decision::of(bounds, why)
        }
    }
}

fn stop_at(effort: Effort, confidence: f64) -> Decision<f64> {
    let own = if effort == Effort::Deep { 0.95 } else { 0.8 };
    match confidence > own {
        true => Decision::of(confidence, format!("the answer needs {confidence:.2}")),
        false => Decision::of(own, format!("{own} for {} effort", effort.name())),
    }
}

fn listed(found: &[&str]) -> String {
    let shown = found.iter().take(3).map(|p| format!("`{}`", p.replace('_', " ")));
    shown.collect::<Vec<_>>().join(", ")
}

/// What came of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers {
    /// Trust of the best cluster; `None` when one model was asked.
    pub trust: Option<f64>,
    /// Trust of the second cluster.
    pub second: f64,
    /// That no cluster is right.
    pub none: f64,
    /// The trust that is needed.
    pub required: f64,
    /// Clusters.
    pub clusters: usize,
    /// Models that were not asked yet.
    pub left: usize,
    /// Whether money and time allow another round.
    pub affordable: bool,
    /// Whether the question resembles a famous puzzle.
    pub shared_prior: bool,
}

/// What was done already; each at most once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Further models were asked.
    pub added: bool,
    /// Another panel was asked.
    pub recomposed: bool,
}

named! {
    /// What is done next.
    Step {
        /// The answer stands.
        Stop = "stop",
        /// Further models answer the same question.
        Add = "additional_agents",
        /// A panel of other models answers it.
        Recompose = "re_orchestrate",
        /// A person decides.
        Escalate = "escalate",
    }
}

/// Above this nobody convinces.
const NONE_MAX: f64 = 0.4;

/// Resolves a conflict: enough trust stops. Below it a near race of two gets further models, once;
/// scattered answers, answers that convince nobody and famous puzzles get another panel, once,
/// since more of the same would err the same way; whatever is left goes to a person. Ends after two
/// rounds.
pub fn next_step(numbers: &Numbers, done: Done) -> Decision<Step> {
    let Some(trust) = numbers.trust else {
        if numbers.affordable && numbers.left > 0 && !done.added {
            return Decision::of(Step::Add, "one voter is no council");
        }
        return Decision::of(Step::Stop, "one model answered; there is no consensus to resolve");
    };
    let required = numbers.required;
    if trust >= required {
        return Decision::of(Step::Stop, format!("trust {trust:.2} of {required:.2} needed"));
    }
    let short = format!("trust {trust:.2} of {required:.2} needed");
    if !numbers.affordable {
        return Decision::of(Step::Escalate, format!("{short}; time or budget is spent"));
    }
    if numbers.left == 0 {
        return Decision::of(Step::Escalate, format!("{short}; no other model is left"));
    }
    let scattered = if numbers.shared_prior {
        Some("models share a prior on this puzzle")
    } else if numbers.none > NONE_MAX {
        Some("nobody convinces")
    } else if numbers.clusters > 2 && trust - numbers.second < 0.2 {
        Some("answers scatter")
    } else {
        None
    };
    match (scattered, done) {
        (None, Done { added: false, .. }) => {
            Decision::of(Step::Add, format!("{short}; further models break the tie"))
        }
        (Some(what), Done { recomposed: false, .. }) => {
            Decision::of(Step::Recompose, format!("{short}; {what}: another panel"))
        }
        (None, Done { recomposed: false, .. }) => {
            Decision::of(Step::Recompose, format!("{short} after further models: another panel"))
        }
        _ => Decision::of(Step::Escalate, format!("{short} after all rounds")),
    }
}

/// Models may share a wrong prior on a question: they know its famous version by heart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    /// The famous version.
    pub puzzle: String,
    /// What in the question says so.
    pub why: String,
}

/// Trust of an answer to such a question at most.
pub const SHARED_PRIOR_TRUST_MAX: f64 = 0.6;

/// Words within which the groups of one puzzle must stand.
const WINDOW_WORDS: usize = 120;
/// Words that often turn a famous puzzle into another one.
const QUALIFIERS: &str = "dead already same impossible transparent unlocked empty movable \
    stoppable not everything everyone living actually none either";

/// One puzzle of the list.
struct Puzzle<'a> {
    name: &'a str,
    least: usize,
    /// Patterns, and whether one of them must be there.
    groups: Vec<(&'a str, bool)>,
}

/// The list; a broken line is left out, and a test finds it.
fn puzzles() -> impl Iterator<Item = Puzzle<'static>> {
    include_str!("text/puzzles.txt").lines().filter(|line| !line.starts_with('#')).filter_map(
        |line| {
            let (head, groups) = line.split_once(':')?;
            let (least, name) = head.split_once(' ')?;
            let groups = groups.split(';').map(str::trim);
            let groups =
                groups.map(|g| g.strip_prefix('!').map_or((g, false), |g| (g, true))).collect();
            Some(Puzzle { name, least: least.parse().ok()?, groups })
        },
    )
}

/// Whether a question resembles a famous puzzle, by the words that its list of them names: groups
/// of words, so many of which must stand near each other. Then agreement may be shared memory.
pub fn shared_prior(question: &str) -> Option<Risk> {
    let tokens = tokens(question);
    let mut best: Option<(usize, &str, Vec<&str>)> = None;
    for puzzle in puzzles() {
        if let Some(hits) = resembles(&tokens, &puzzle)
            && hits.len() > best.as_ref().map_or(0, |(n, ..)| *n)
        {
            best = Some((hits.len(), puzzle.name, hits));
        }
    }
    let (_, name, hits) = best?;
    let said: Vec<String> = hits.iter().map(|hit| format!("`{}`", hit.replace('_', " "))).collect();
    let mut why = format!("it says {}", said.join(", "));
    let turned = found(&tokens, QUALIFIERS);
    if !turned.is_empty() {
        why += &format!("; beside them {}, which may turn it", listed(&turned));
    }
    Some(Risk { puzzle: name.to_owned(), why })
}

/// The pattern of each group that is there, if there are enough within one window.
fn resembles<'a>(tokens: &[String], puzzle: &Puzzle<'a>) -> Option<Vec<&'a str>> {
    let hits: Vec<Vec<(usize, &str)>> = puzzle
        .groups
        .iter()
        .map(|(patterns, _)| {
            let of = |pattern| places(tokens, pattern).into_iter().map(move |at| (at, pattern));
            patterns.split_whitespace().flat_map(of).collect()
        })
        .collect();
    let mut starts: Vec<usize> = hits.iter().flatten().map(|(at, _)| *at).collect();
    starts.sort_unstable();
    starts.dedup();
    starts.into_iter().find_map(|start| {
        let mut seen = Vec::new();
        for (group, (_, must)) in hits.iter().zip(&puzzle.groups) {
            let near = group.iter().find(|(at, _)| (start..start + WINDOW_WORDS).contains(at));
            match near {
                Some((_, pattern)) => seen.push(*pattern),
                None if *must => return None,
                None => {}
            }
        }
        (seen.len() >= puzzle.least).then_some(seen)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Famous puzzles as one tells them, with a part of their names.
    const FAMOUS: &[(&str, &str)] = &[
        (
            "Monty Hall",
            "A game show has 3 doors, a prize behind one. The host opens another door. Switch?",
        ),
        ("wolf, goat", "How can a man bring a fox, a chicken and a sack of grain over the river?"),
        (
            "river crossing",
            "Three missionaries and three cannibals must cross a river in a boat for two.",
        ),
        ("trolley", "A runaway trolley will kill five people unless you pull a lever. Do you?"),
        (
            "bat and ball",
            "A bat and a ball cost $1.10 in total; the bat costs $1 more than the ball.",
        ),
        (
            "lily pads",
            "Lily pads double every day and fill the lake on day 48. When is it half full?",
        ),
        ("widgets", "If it takes 5 machines 5 minutes to make 5 widgets, how long do 100 take?"),
        (
            "two doors and",
            "Two doors, two guards: one always lies, one tells the truth. One question.",
        ),
        (
            "hundred prisoners",
            "100 prisoners look for their number in 100 boxes, or none is freed.",
        ),
        ("hats", "Three prisoners wear a black hat or a white hat and must guess their colour."),
        ("jugs", "With a 3 gallon jug and a 5 gallon jug, measure 4 gallons of water."),
        ("ropes", "Two ropes burn unevenly for an hour each. Measure 45 minutes by burning them."),
        (
            "twelve coins",
            "Twelve coins, one counterfeit. Find it with a balance in three weighings.",
        ),
        ("wine", "A king has 1000 bottles of wine, one is poisoned. How few prisoners find it?"),
        ("Schrödinger", "A cat sits in a sealed box with a radioactive atom. Is it dead or alive?"),
        (
            "surgeon",
            "The surgeon says: I can't operate on this boy, he is my son. His father died.",
        ),
        ("barber", "A barber shaves all those who do not shave themselves. Who shaves the barber?"),
        ("Newcomb", "A predictor put a million into box B if it foresaw that you take one box."),
        ("hanging", "A judge tells a prisoner he will be hanged on a weekday, as a surprise."),
        ("birthday", "How many people in a room for a 50% chance that two share a birthday?"),
        ("envelopes", "Two envelopes, one holds twice the money of the other. Should you switch?"),
        ("Buridan", "A donkey stands midway between two equal piles of hay. What does it do?"),
        ("Theseus", "If every plank of a ship is replaced, is it still the same ship?"),
        ("Russell", "Does the set of all sets that do not contain themselves contain itself?"),
        ("liar", "Is the sentence true: this sentence is false?"),
        ("grandfather paradox", "With a time machine, could you kill your own grandfather?"),
        ("Achilles", "Can Achilles ever overtake the tortoise that has a head start?"),
        (
            "bridge and torch",
            "Four people cross a bridge at night with one torch in 1, 2, 5, 10 minutes.",
        ),
        (
            "light switches",
            "Three switches downstairs, one bulb upstairs. You may go up once. Which?",
        ),
        ("snail", "A snail climbs 3 feet up a well by day and slips back 2 at night."),
        ("egg drop", "You have two eggs and a building of 100 floors. From which do they break?"),
        ("dollar", "Three men paid 30 dollars; the bellboy kept 2. Each paid 9, 27. Where is one?"),
        ("feathers", "What weighs more, a pound of feathers or a pound of lead?"),
        ("28 days", "How many months of the year have 28 days?"),
        ("letters", "How many times does the letter r occur in the word strawberry?"),
        ("brothers and", "Alice has 3 brothers and 2 sisters. How many sisters has each brother?"),
        ("around the Earth", "A rope around the equator is made a metre longer. How high is it?"),
        ("sheep", "A farmer has 17 sheep; all but 9 die. How many are left?"),
        ("survivors", "A plane crashes on the border. Where are the survivors buried?"),
        ("electric", "An electric train goes north. Which way does the smoke blow?"),
        ("Linda", "Is Linda more likely a bank teller, or a bank teller and a feminist?"),
        ("Sphinx", "What walks on four legs in the morning, two at noon, three in the evening?"),
        ("omnipotence", "Can God make a stone so heavy that he cannot lift it?"),
        ("Sleeping Beauty", "Sleeping Beauty is woken on Monday. What is her credence in heads?"),
        ("sorites", "When is a heap of sand no heap if I remove a grain at a time?"),
        ("Hilbert", "A hotel with infinitely many rooms is full and a guest arrives."),
        ("St Ives", "As I was going to St Ives I met a man with seven wives."),
    ];

    #[test]
    fn famous_puzzles_are_known() {
        let lines = include_str!("text/puzzles.txt").lines();
        let n = lines.filter(|line| !line.starts_with('#') && !line.trim().is_empty()).count();
        assert_eq!(puzzles().count(), n, "a line is broken");
        let mut names: Vec<&str> = puzzles().map(|puzzle| puzzle.name).collect();
        names.sort_unstable();
        names.dedup();
        assert!(names.len() >= 100, "{}", names.len());
        for puzzle in puzzles() {
            assert!((2..=puzzle.groups.len()).contains(&puzzle.least), "{}", puzzle.name);
        }
        let missed: Vec<_> = FAMOUS
            .iter()
            .map(|(name, question)| (name, shared_prior(question)))
            .filter(|(name, risk)| !risk.as_ref().is_some_and(|r| r.puzzle.contains(**name)))
            .collect();
        assert!(missed.is_empty(), "{missed:#?}");
    }

    #[test]
    fn ordinary_questions_are_no_puzzles() {
        for question in [
            "How do I replace a rotten plank of my boat?",
            "My car door opens when I flip the light switch. What is wrong?",
            "Is this handshake slow because of TLS?",
            "We train a model with a switch to track experiments on the fly.",
            "Why does this statement evaluate to false?",
            "The job hangs unexpectedly every week; how do I find out why?",
            "My baby is 9 months old. How long should naps be?",
            "My cat sleeps in a box. Is that normal?",
            "Which elevator is short of a button?",
            "How many sheep does a farmer in Wales own?",
            "What is the boiling point of water on a mountain?",
            "",
        ] {
            assert_eq!(shared_prior(question), None, "{question}");
        }
        // The words of a puzzle all over a long text are none.
        let far =
            format!("The bat flew. {} The ball cost more than a pony.", "So it went. ".repeat(60));
        assert_eq!(shared_prior(&far), None);
        let turned = shared_prior("A dead cat lies in a box with a radioactive isotope.").unwrap();
        assert_eq!(
            turned.why,
            "it says `cat`, `radioactive`; beside them `dead`, which may turn it"
        );
    }

    #[test]
    fn a_question_is_planned_by_its_words() {
        let plan = |question: &str| analyse(question, &Overrides::default());
        let easy = plan("What is the capital of Peru?");
        assert_eq!(easy.complexity.value, Level::Low);
        assert_eq!((easy.stakes.value, easy.domain.value), (Stakes::Routine, Domain::General));
        assert_eq!((easy.confidence.value, easy.stop_at.value), (0.70, 0.8));
        assert_eq!(easy.panel.value, Bounds { least: 1, most: 2 });
        assert!(!easy.premise.value && !easy.judge);
        let code = plan("Why does this Rust function not compile?\n```rust\nfn f() {}\n```");
        assert_eq!((code.domain.value, code.complexity.value), (Domain::Code, Level::Medium));
        assert_eq!(code.panel.value, Bounds { least: 2, most: 3 });
        let own = plan("Should I take ibuprofen with my blood pressure medication?");
        assert_eq!((own.domain.value, own.stakes.value), (Domain::Medical, Stakes::High));
        assert_eq!((own.confidence.value, own.effort.value), (0.90, Effort::Deep));
        assert_eq!((own.stop_at.value, own.judge), (0.95, true));
        assert_eq!(own.stakes.why, "a medical matter of the asker's own");
        let hard = "Compare three designs for our payment service, derive their costs and \
                    recommend one. It must survive an outage without loss. How do we migrate? What \
                    breaks? How do we roll back? Who decides?";
        let hard = plan(hard);
        assert_eq!((hard.complexity.value, hard.effort.value), (Level::Critical, Effort::Deep));
        assert_eq!(hard.panel.value, Bounds { least: 5, most: 8 });
        let weighty = plan("Is it wise to deploy on a Friday?");
        assert_eq!((weighty.stakes.value, weighty.confidence.value), (Stakes::Important, 0.80));
        assert!(weighty.stakes.why.contains("`deploy*`"), "{}", weighty.stakes.why);
        let famous =
            plan("A bat and a ball cost $1.10 together, the ball is stolen. What did I pay?");
        assert!(famous.premise.value && famous.shared_prior.is_some());
        for (domain, question) in [
            (Domain::Math, "Find the integral of the polynomial."),
            (Domain::Legal, "May a landlord evict a tenant?"),
            (Domain::Security, "Is this an XSS vulnerability?"),
            (Domain::Science, "What is the wavelength of an electron?"),
            (Domain::Writing, "Write a poem."),
            (Domain::Finance, "What is a bond yield?"),
        ] {
            assert_eq!(plan(question).domain.value, domain, "{question}");
        }
    }

    #[test]
    fn the_callers_word_wins() {
        let given = Overrides {
            complexity: Some(Level::High),
            stakes: Some(Stakes::Routine),
            domain: Some(Domain::Writing),
            confidence: Some(0.97),
            effort: Some(Effort::Normal),
            panel: None,
        };
        let plan = analyse("Is an overdose of ibuprofen fatal?", &given);
        assert_eq!(plan.stakes.value, Stakes::Routine);
        assert_eq!(plan.stakes.why, "the caller said so");
        assert_eq!(plan.panel.value, Bounds { least: 3, most: 5 });
        assert_eq!(plan.stop_at.value, 0.97);
        let quick = Overrides { effort: Some(Effort::Quick), ..Overrides::default() };
        let plan = analyse("Why?", &quick);
        assert_eq!((plan.panel.value, plan.premise.value), (Bounds { least: 1, most: 1 }, true));
        let wide = Overrides { panel: Some(Bounds { least: 0, most: 99 }), ..quick };
        assert_eq!(analyse("Why?", &wide).panel.value, Bounds { least: 1, most: ANSWERS_MAX });
        for domain in Domain::ALL {
            assert_eq!(Domain::parse(domain.name()), Some(*domain));
        }
    }

    #[test]
    fn a_conflict_ends_after_two_rounds() {
        let base = Numbers {
            trust: Some(0.6),
            second: 0.3,
            none: 0.1,
            required: 0.8,
            clusters: 2,
            left: 3,
            affordable: true,
            shared_prior: false,
        };
        let step = |numbers: Numbers, done| next_step(&numbers, done).value;
        let (new, added) = (Done::default(), Done { added: true, recomposed: false });
        let both = Done { added: true, recomposed: true };
        assert_eq!(step(Numbers { trust: Some(0.8), ..base }, new), Step::Stop);
        // One voter has no trust: another is asked, once, if there is one.
        let alone = Numbers { trust: None, ..base };
        assert_eq!((step(alone, new), step(alone, added)), (Step::Add, Step::Stop));
        assert_eq!(step(Numbers { left: 0, ..alone }, new), Step::Stop);
        assert_eq!(step(base, new), Step::Add);
        assert_eq!(step(base, added), Step::Recompose);
        assert_eq!(step(base, both), Step::Escalate);
        assert_eq!(step(Numbers { none: 0.5, ..base }, new), Step::Recompose);
        assert_eq!(step(Numbers { shared_prior: true, ..base }, new), Step::Recompose);
        let scattered = Numbers { clusters: 4, trust: Some(0.35), ..base };
        assert_eq!(step(scattered, added), Step::Recompose);
        assert_eq!(step(Numbers { left: 0, ..base }, new), Step::Escalate);
        assert_eq!(step(Numbers { affordable: false, ..base }, new), Step::Escalate);
        // Whatever the numbers, nobody is asked a third time.
        for numbers in [base, scattered, Numbers { none: 0.9, ..base }] {
            let mut done = new;
            let mut rounds = 0;
            loop {
                match step(numbers, done) {
                    Step::Add => done.added = true,
                    Step::Recompose => done.recomposed = true,
                    Step::Stop | Step::Escalate => break,
                }
                rounds += 1;
            }
            assert!(rounds <= 2);
        }
        let why = next_step(&base, new).why;
        assert_eq!(why, "trust 0.60 of 0.80 needed; further models break the tie");
    }
}

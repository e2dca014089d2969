//! Verdicts over small panels.

use super::*;
use proptest::prelude::*;

fn case(kind: Kind, votes: &[(&str, &str)]) -> Case {
    let vote = |(model, text): &(&str, &str)| Vote {
        model: (*model).to_owned(),
        text: (*text).to_owned(),
        ..Vote::default()
    };
    Case {
        question: "What is it?".to_owned(),
        kind: Some(kind),
        options: Vec::new(),
        votes: votes.iter().map(vote).collect(),
        ..Case::default()
    }
}

#[test]
fn the_larger_group_wins_and_the_rest_is_said() {
    let mut case = case(
        Kind::Number,
        &[("a", "\\boxed{7}"), ("b", "The answer is 7."), ("c", "#### 8"), ("d", "I don't know.")],
    );
    let verdict = decide(&case);
    assert_eq!(verdict.groups[0].answer, "7");
    assert_eq!(verdict.groups[0].votes, [0, 1]);
    let answer = "8".to_owned();
    let eight = Dissenter { vote: 2, group: 1, answer, expert: false, strongest: false };
    assert_eq!(verdict.dissent, [eight]);
    assert_eq!(verdict.abstained, [(3, Abstained::Refusal)]);
    let trust = verdict.trust.unwrap();
    assert!((0.4..0.95).contains(&trust), "{trust}");
    let sum: f64 = verdict.groups.iter().map(|g| g.posterior).sum();
    assert!(sum <= 1.0 + 1e-9);
    assert_eq!(verdict, decide(&case), "the same every time");
    // The one who is nearly always right turns it around, and is no dissenter any more.
    case.votes[2].known = Some((5.0, 40.0));
    case.votes[0].known = Some((-2.0, 40.0));
    case.votes[1].known = Some((-2.0, 40.0));
    let turned = decide(&case);
    assert_eq!(turned.groups[0].answer, "8");
    assert!(turned.pivotal.contains(&2));
}

#[test]
fn of_equals_no_name_comes_first() {
    let mut won = [0; 3];
    for n in 0..300 {
        let mut case = case(Kind::Number, &[("a", "7"), ("b", "8"), ("c", "9")]);
        case.question = format!("How many are {n}?");
        let verdict = decide(&case);
        let winner = verdict.groups[0].votes[0];
        won[winner] += 1;
        // The order of the answers does not matter, nor the door to a model.
        case.votes.reverse();
        case.votes[2].model = "there/A:latest".to_owned();
        assert_eq!(decide(&case).groups[0].answer, verdict.groups[0].answer);
    }
    assert!(won.iter().all(|n| (60..=140).contains(n)), "{won:?}");
}

#[test]
fn an_expert_in_the_minority_is_shown_first() {
    let mut case =
        case(Kind::Choice, &[("a", "A"), ("b", "A"), ("c", "A"), ("d", "B"), ("e", "C")]);
    for (vote, ability) in case.votes.iter_mut().zip([0.4, 0.4, 0.4, -1.0, 0.6]) {
        vote.known = Some((ability, 30.0));
    }
    let verdict = decide(&case);
    assert_eq!(verdict.groups[0].answer, "A");
    assert_eq!((verdict.dissent[0].vote, verdict.dissent[0].expert), (4, true));
}

#[test]
fn one_model_is_no_consensus_however_often_it_is_asked() {
    let verdict = decide(&case(Kind::Number, &[("m", "7"), ("m:latest", "7"), ("x/m@there", "8")]));
    assert_eq!(verdict.trust, None);
    assert!(verdict.reasons[0].contains("one model"));
    assert_eq!(verdict.groups[0].answer, "7");
    assert_eq!(words(verdict.trust, verdict.p_none), "no consensus was measured");
    let nobody = decide(&case(Kind::Number, &[("a", ""), ("b", "no idea")]));
    assert_eq!((nobody.trust, nobody.groups.len()), (None, 0));
    assert_eq!(decide(&case(Kind::Long, &[])).abstained, []);
}

#[test]
fn phrases_and_texts_are_compared_by_what_they_say() {
    let short = decide(&case(
        Kind::Short,
        &[("a", "Wilhelm Röntgen"), ("b", "It was Röntgen, Wilhelm"), ("c", "Marie Curie")],
    ));
    assert_eq!(
        (short.groups[0].votes.as_slice(), short.evidence),
        ([0, 1].as_slice(), Evidence::Lexical)
    );
    let yes = "Yes. The ferry is cheaper than the bridge. It runs every hour.";
    let also = "Yes, take it. The ferry runs every hour and costs less than the bridge.";
    let no = "No. The ferry is not cheaper than the bridge. Storms stop it in winter.";
    let long = decide(&case(Kind::Long, &[("a", yes), ("b", also), ("c", no)]));
    assert_eq!(long.groups[0].votes, [0, 1], "{long:#?}");
    assert!(long.contradictions.iter().any(|c| c.against == 2 && c.what == "negation"));
    assert!(long.trust.is_some_and(|p| (0.3..=0.8).contains(&p)));
}

#[test]
fn phrases_that_a_sign_tells_apart_are_two_and_the_same_text_is_one() {
    let mut blood = case(Kind::Short, &[("a", "O-"), ("b", "O+"), ("c", "O+")]);
    blood.question = "Which blood type is the universal donor?".to_owned();
    for meaning in [None, Some(vec![vec![0.95; 3]; 3])] {
        blood.meaning = meaning;
        let verdict = decide(&blood);
        assert_eq!((verdict.groups.len(), verdict.groups[0].answer.as_str()), (2, "O+"));
        assert_eq!(verdict.groups[0].votes, [1, 2]);
        assert!(verdict.trust.is_some_and(|p| p < 0.86), "{:?}", verdict.trust);
    }
    for text in ["It", "The Who", "\u{6c34}", "\u{1f44d}"] {
        let verdict = decide(&case(Kind::Short, &[("a", text), ("b", text), ("c", text)]));
        assert_eq!(verdict.groups.len(), 1, "{text}");
    }
}

#[test]
fn opposites_are_two_answers_with_a_dissent() {
    let votes = [("a", "Safe"), ("b", "Not safe"), ("c", "Safe"), ("d", "Safe"), ("e", "Not safe")];
    let mut short = case(Kind::Short, &votes);
    short.question = "Is it safe?".to_owned();
    let verdict = decide(&short);
    assert_eq!((verdict.groups.len(), verdict.dissent.len()), (2, 2), "{verdict:#?}");
    assert_eq!(verdict.groups[0].votes, [0, 2, 3]);
    let yes = "The drug is safe for children. The trial showed no serious attacks.";
    let no = "The drug is not safe for children. The trial showed serious attacks.";
    let long = decide(&case(Kind::Long, &[("a", yes), ("b", yes), ("c", no)]));
    assert_eq!(long.groups[0].votes, [0, 1], "{long:#?}");
    assert!(long.contradictions.iter().any(|c| c.against == 2 && c.what == "negation"));
}

#[test]
fn phrases_are_read_where_models_are_asked_to_say_them() {
    let long =
        "Both compile to one file and have good tools for tests and for formatting. ".repeat(4);
    for way in ["Go is nice, but Rust is safer.", long.as_str()] {
        let end = |name: &str| format!("{way}\nAnswer: {name}");
        let (rust, go) = (end("Rust"), end("Go"));
        let votes = [("a", &rust), ("b", &go), ("c", &rust), ("d", &go), ("e", &go)];
        let votes = votes.map(|(model, text)| (model, text.as_str()));
        let mut case = case(Kind::Short, &votes);
        case.kind = None;
        let verdict = decide(&case);
        let sizes: Vec<usize> = verdict.groups.iter().map(|group| group.votes.len()).collect();
        assert_eq!((verdict.kind, sizes), (Kind::Short, vec![3, 2]), "{way}");
        assert_eq!(verdict.groups[0].answer, "Go");
    }
}

#[test]
fn a_number_keeps_the_unit_that_tells_it_from_another() {
    let votes = [("a", "5 mg"), ("b", "5 g"), ("c", "5"), ("d", "Answer: 5 g"), ("e", "5 mg")];
    let verdict = decide(&case(Kind::Number, &votes));
    let groups: Vec<(&str, &[usize])> =
        verdict.groups.iter().map(|g| (g.answer.as_str(), g.votes.as_slice())).collect();
    assert!(groups.contains(&("5 mg", [0, 4].as_slice())), "{groups:?}");
    assert!(groups.contains(&("5 g", [1, 3].as_slice())), "{groups:?}");
    assert!(groups.contains(&("5", [2].as_slice())), "two units are level: {groups:?}");
    let same = [("a", "$5"), ("b", "5 dollars"), ("c", "5"), ("d", "\\boxed{5 \\text{ dollars}}")];
    let verdict = decide(&case(Kind::Number, &same));
    assert_eq!((verdict.groups.len(), verdict.groups[0].answer.as_str()), (1, "5"));
}

#[test]
fn who_dissents_is_shown_in_his_own_words() {
    let votes = [
        ("a", "Wilhelm R\u{f6}ntgen"),
        ("b", "R\u{f6}ntgen"),
        ("c", "Wilhelm Rontgen"),
        ("d", "Marie Curie"),
        ("e", "It was Marie Curie, I think"),
    ];
    let verdict = decide(&case(Kind::Short, &votes));
    let said: Vec<(usize, &str)> =
        verdict.dissent.iter().map(|d| (d.group, d.answer.as_str())).collect();
    assert_eq!(said, [(1, "Marie Curie"), (1, "It was Marie Curie, I think")]);
}

#[test]
fn a_known_trap_caps_the_trust() {
    let mut trapped = case(Kind::Number, &[("a", "5"), ("b", "5"), ("c", "5"), ("d", "5")]);
    assert!(decide(&trapped).trust.unwrap() > 0.9);
    trapped.risk = Some("it is like a famous riddle".to_owned());
    let verdict = decide(&trapped);
    assert_eq!(verdict.trust, Some(SHARED_PRIOR_CAP));
    assert!(verdict.reasons.iter().any(|r| r.contains("riddle")));
}

#[test]
fn the_strongest_stands_beside_a_winner_that_may_be_a_shared_mistake() {
    let mut trapped = case(Kind::Number, &[("a", "5"), ("b", "5"), ("c", "5"), ("d", "7")]);
    trapped.votes[3].known = Some((1.2, 12.0));
    let plain = decide(&trapped);
    trapped.strongest = Some((3, Strength::Feedback));
    assert_eq!(decide(&trapped), plain, "without a risk nothing is shown");
    trapped.risk = Some("it is like a famous riddle".to_owned());
    let verdict = decide(&trapped);
    assert_eq!((verdict.groups[0].answer.as_str(), verdict.dissent[0].vote), ("5", 3));
    assert!(verdict.dissent[0].strongest);
    let said = |verdict: &Verdict| verdict.reasons.iter().any(|r| r.contains("the strongest"));
    assert!(said(&verdict) && verdict.reasons.iter().any(|r| r.contains("on 12 answers")));
    // It changes what is shown, and nothing of who wins or how far it is trusted.
    trapped.strongest = None;
    let before = decide(&trapped);
    assert!(!said(&before) && !before.dissent[0].strongest);
    assert_eq!((before.trust, before.groups), (verdict.trust, verdict.groups));
    // Nobody is shown who says the same, be it in another role.
    trapped.strongest = Some((0, Strength::Rank));
    assert!(!said(&decide(&trapped)));
    trapped.strongest = Some((3, Strength::Rank));
    assert!(decide(&trapped).reasons.iter().any(|r| r.contains("operator")));
    trapped.votes[3].model = "a".to_owned();
    assert!(!said(&decide(&trapped)));
    trapped.strongest = Some((9, Strength::Rank));
    assert!(!said(&decide(&trapped)), "what a damaged record says of nobody");
}

#[test]
fn lineage_counts_in_what_voters_are_worth() {
    let mut five =
        case(Kind::Choice, &[("a", "A"), ("b", "A"), ("c", "A"), ("d", "A"), ("e", "A")]);
    let apart = decide(&five);
    assert!((apart.n_eff - 5.0 / (1.0 + 4.0 * 0.35)).abs() < 1e-9);
    for vote in &mut five.votes {
        vote.family = "llama".to_owned();
    }
    assert!(decide(&five).n_eff < apart.n_eff);
}

proptest! {
    #[test]
    fn any_votes_have_a_verdict(
        texts in prop::collection::vec("(?s).{0,80}", 0..6), kind in 0usize..5
    ) {
        let votes: Vec<(String, &str)> =
            texts.iter().enumerate().map(|(n, t)| (format!("m{n}"), t.as_str())).collect();
        let votes: Vec<(&str, &str)> = votes.iter().map(|(m, t)| (m.as_str(), *t)).collect();
        let verdict = decide(&case(Kind::ALL[kind], &votes));
        prop_assert!(verdict.trust.is_none_or(|p| (0.0..=1.0).contains(&p)));
        let placed: usize = verdict.groups.iter().map(|g| g.votes.len()).sum();
        prop_assert_eq!(placed + verdict.abstained.len(), texts.len());
    }
}

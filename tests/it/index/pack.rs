//! Packs: within their budget whatever the question, without repetition, with what they lead to.

use super::super::program::{Place, cases};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

fn tokens(text: &str) -> usize {
    synod::world::count_tokens(text)
}

/// A vault of some notes on one subject, one of them long, two of them alike.
fn vault() -> Place {
    let place = Place::new();
    let part = |n: usize| {
        format!(
            "## Part {n}\n\nThe tide at the harbour, part {n}. {}\n\n",
            "Water rises and falls with the moon. ".repeat(12)
        )
    };
    let long: String = (0..12).map(part).collect();
    place.write("vault/tides.md", format!("# Tides\n\n{long}"));
    place.write("vault/moon.md", "# Moon\n\nThe moon pulls the tide; see [[pilot]].\n");
    place.write("vault/pilot.md", "# Pilot\n\nWho steers the ships. Nothing of water here.\n");
    let same = "# Copy\n\nNeap tide and spring tide differ by the moon.\nTwice a month.\n";
    place.write("vault/copy.md", same);
    place.write("vault/copy2.md", same);
    for n in 0..30 {
        let text = format!(
            "# Log {n}\n\nOn day {n} the tide was {n} feet. {}\n",
            "Wind and swell. ".repeat(n)
        );
        place.write(&format!("vault/log/{n}.md"), text);
    }
    place.index(&place.path().join("vault"));
    place
}

fn pack(place: &Place, args: Value) -> (Value, String) {
    let text = place.outcome(&["call", "context_pack", &args.to_string(), "--text"]);
    assert_eq!(text.0, 0, "{}", text.2);
    (place.call("context_pack", args), text.1)
}

#[test]
fn a_pack_is_never_over_its_budget() {
    let place = vault();
    for budget in [200, 300, 777, 2_000, 8_000, 32_000] {
        let (reply, text) = pack(&place, json!({"query": "tide and moon", "tokens": budget}));
        let n = tokens(&text);
        assert!(n <= budget, "{n} of {budget}");
        assert!(reply["tokens"].as_u64().expect("tokens") <= budget as u64);
        assert!(!reply["passages"].as_array().expect("passages").is_empty(), "{budget}: {reply}");
    }
    let (_, out, err) = place.outcome(&["call", "context_pack", "{\"query\":\"x\",\"tokens\":10}"]);
    assert!(out.is_empty() && err.contains("goes from 200 to 32000"), "{err}");
}

#[test]
fn what_it_says_stands_at_its_lines_and_nothing_stands_twice() {
    let place = vault();
    let (reply, text) = pack(&place, json!({"query": "tide moon", "tokens": 6000}));
    let passages = reply["passages"].as_array().expect("passages");
    let mut seen = std::collections::HashSet::new();
    for passage in passages {
        let path = passage["path"].as_str().expect("a path");
        let whole = std::fs::read_to_string(place.path().join("vault").join(path)).expect("a note");
        let lines: Vec<&str> = whole.lines().collect();
        let (first, last) = (passage["lines"][0].as_u64(), passage["lines"][1].as_u64());
        let (first, last) = (first.expect("a line") as usize, last.expect("a line") as usize);
        let there = lines[first - 1..last.min(lines.len())].join("\n");
        let said = passage["text"].as_str().expect("a text").trim_matches(['\n', '…']);
        assert!(there.contains(said), "{path}:{first}-{last}: {said:?} against {there:?}");
        for line in first..=last {
            assert!(
                seen.insert((path.to_owned(), line))
                    || lines.get(line - 1).is_none_or(|l| l.is_empty()),
                "{path}:{line} twice"
            );
        }
    }
    let of = |path: &str| passages.iter().find(|p| p["path"] == path);
    assert!(of("copy.md").is_some() != of("copy2.md").is_some(), "one of two equal notes");
    let out = reply["left_out"].as_array().expect("left out");
    assert!(out.iter().any(|o| o["why"].as_str().is_some_and(|w| w.starts_with("says the same"))));
    // Linked, not found: it does not hold the words.
    assert_eq!(of("pilot.md").expect("the linked note")["why"], "linked", "{reply}");
    // A citation is what `read` takes.
    let cited = text.lines().find_map(|line| line.strip_prefix("### ")).expect("a citation");
    let cited = cited.split(" › ").next().expect("a place").trim_end_matches(" (excerpt)");
    assert!(place.call("read", json!({ "path": cited }))["text"].is_string(), "{cited}");
}

#[test]
fn notes_of_one_template_are_different_notes() {
    let place = Place::new();
    for day in 1..=12 {
        let text = format!(
            "---\ntype: health\nsource: scale\n---\n# Health\n\n## Weight\n\n\
             {}.{day} kg in November\n\n## Sleep\n\nWell.\n\n## Steps\n\nNone.\n",
            70 + day % 3
        );
        place.write(&format!("vault/2026-11-{day:02}.md"), text);
    }
    place.index(&place.path().join("vault"));
    let (reply, _) = pack(&place, json!({"query": "weight in November", "tokens": 4000}));
    let passages = reply["passages"].as_array().expect("passages");
    let paths: std::collections::HashSet<_> = passages.iter().map(|p| p["path"].as_str()).collect();
    assert_eq!(paths.len(), 12, "{reply}");
}

#[test]
fn a_twin_is_named_where_it_is_in_the_pack() {
    let crowded = Place::new();
    for n in 0..30 {
        crowded.write(&format!("vault/{n}.md"), format!("# Log\n\nDay {n}: tide of {n} feet.\n"));
    }
    for copy in ["copy", "copy2"] {
        let more = "Nothing else is said of it here. ".repeat(20);
        crowded.write(&format!("vault/{copy}.md"), format!("# Copy\n\nA tide.\n{more}\n"));
    }
    crowded.index(&crowded.path().join("vault"));
    let asked = [(crowded, "tide feet", false), (vault(), "neap spring", true)];
    for (place, query, is_there) in asked {
        let (reply, _) = pack(&place, json!({"query": query, "tokens": 800}));
        let out = reply["left_out"].as_array().expect("left out");
        let twins = out.iter().filter_map(|o| o["why"].as_str()?.strip_prefix("says the same as "));
        let named: Vec<&str> = twins.collect();
        let there = reply["passages"].as_array().expect("passages").iter();
        let there: Vec<String> =
            there.map(|p| format!("vault/{}", p["path"].as_str().expect("a path"))).collect();
        assert!(named.iter().all(|path| there.iter().any(|known| known == path)), "{reply}");
        assert_eq!(!named.is_empty(), is_there, "{reply}");
    }
}

#[test]
fn a_small_budget_holds_many_excerpts_and_a_large_one_whole_sections() {
    let place = vault();
    let extents = |budget: usize| {
        let (reply, _) = pack(&place, json!({"query": "tide", "tokens": budget}));
        let passages = reply["passages"].as_array().expect("passages").clone();
        let n = |extent: &str| passages.iter().filter(|p| p["extent"] == extent).count();
        (n("excerpt"), n("passage") + n("section"), passages.len())
    };
    assert!(extents(600).2 >= 5, "{:?}", extents(600));
    assert_eq!(extents(16_000).0, 0, "everything fits whole");
}

#[test]
fn of_a_paragraph_in_one_line_the_part_that_was_asked_for_is_shown() {
    let place = Place::new();
    let far = |n: usize| "The pilot waits for the tide at the quay. ".repeat(n);
    for animal in ["anemone", "barnacle", "conger", "limpet", "urchin", "walrus"] {
        let text = format!("# Day of the tide\n\n{}Then {animal} came. {}\n", far(12), far(24));
        place.write(&format!("vault/{animal}.md"), text);
    }
    place.index(&place.path().join("vault"));
    for animal in ["conger", "limpet", "walrus"] {
        let query = format!("{animal} tide quay");
        let (reply, _) = pack(&place, json!({"query": query, "tokens": 200}));
        let first = &reply["passages"][0];
        assert_eq!(
            (&first["path"], &first["extent"]),
            (&json!(format!("{animal}.md")), &json!("excerpt"))
        );
        let text = first["text"].as_str().expect("a text");
        assert!(text.contains(animal) && text.contains('…') && text.len() <= 263, "{text}");
        assert_eq!(first["lines"], json!([3, 3]));
    }
}

#[test]
fn code_comes_with_the_declarations_that_it_uses() {
    let place = Place::new();
    place.write("repo/.git/HEAD", "ref: refs/heads/main\n");
    let pump = "/// Drains the bilge.\npub fn drain_bilge(meter: &WaterMeter) -> u32 {\n    \
                meter.read_level()\n}\n";
    let meter = "pub struct WaterMeter {\n    level: u32,\n}\n\nimpl WaterMeter {\n    \
                 pub fn read_level(&self) -> u32 {\n        self.level\n    }\n}\n";
    place.write("repo/src/pump.rs", pump);
    place.write("repo/src/meter.rs", meter);
    place.index(&place.path().join("repo"));
    let (reply, text) = pack(&place, json!({"query": "drain_bilge", "tokens": 1000}));
    let used =
        reply["passages"].as_array().expect("passages").iter().find(|p| p["why"] == "defined");
    let used = used.unwrap_or_else(|| panic!("no declaration: {reply}"));
    assert!(["WaterMeter", "read_level"].iter().any(|name| used["symbol"] == *name), "{used}");
    assert!(text.contains("(signature)"), "{text}");
}

#[test]
fn a_pack_can_be_had_again_by_its_id() {
    let place = vault();
    let first = place.call("context_pack", json!({"query": "neap tide", "tokens": 900}));
    place.write("vault/new.md", "# New\n\nneap tide neap tide\n");
    let again = place.call("context_pack", json!({"id": first["id"]}));
    assert_eq!(first, again);
    for (args, said) in [
        (json!({"id": "pack_nothing"}), "no pack `pack_nothing`"),
        (json!({}), "give `query`"),
        (json!({"query": "x", "id": "y"}), "give `query`"),
    ] {
        let (code, _, err) = place.outcome(&["call", "context_pack", &args.to_string()]);
        assert!(code == 1 && err.contains(said), "{err}");
    }
}

#[test]
fn odd_questions_are_answered_within_the_budget() {
    let place = vault();
    let config = cases(6);
    let words = "(tide|moon|[a-z]{1,9}|\"|\\+|-|🐟|[\\PC]{1,4}| ){0,40}";
    let mut runner = TestRunner::new(config);
    let strategy = (words, 200usize..3_000);
    let run = runner.run(&strategy, |(query, budget)| {
        let args = json!({"query": query, "tokens": budget, "also": ["moon"]});
        let (code, out, err) =
            place.outcome(&["call", "context_pack", &args.to_string(), "--text"]);
        prop_assert_eq!(code, 0, "{}", err);
        prop_assert!(tokens(&out) <= budget, "{} of {}", tokens(&out), budget);
        Ok(())
    });
    run.expect("the property holds");
    let long = "tide ".repeat(20_000);
    let (_, text) = pack(&place, json!({"query": long, "tokens": 500}));
    assert!(tokens(&text) <= 500);
}

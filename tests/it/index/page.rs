//! Pages are slices of one ranking, and a cursor of an older index starts again.

use super::{Engine, Place, args};
use synod_index::{Hit, SearchArgs};

fn place() -> Place {
    let place = Place::new();
    for at in 0..57 {
        let text =
            format!("# Note {at}\n\n{}\n\nmoon {}\n", "tide ".repeat(at % 6), "x ".repeat(at));
        place.write(&format!("n{at}.md"), text);
    }
    place
}

fn key(hit: &Hit) -> (usize, String, u32) {
    (hit.rank, hit.id.clone(), hit.score.to_bits())
}

#[test]
fn pages_of_any_size_are_slices_of_the_whole() {
    let place = place();
    let engine = place.scanned();
    let whole = engine.search("tide moon");
    assert_eq!((whole.hits.len(), whole.total, whole.next), (57, 57, None));
    let ranks: Vec<usize> = whole.hits.iter().map(|hit| hit.rank).collect();
    assert_eq!(ranks, (0..57).collect::<Vec<_>>());
    for size in [1, 2, 3, 7, 19, 28, 56, 57, 58, 200] {
        let mut hits = Vec::new();
        let (mut offset, mut generation) = (0, None);
        loop {
            let ask =
                SearchArgs { limit: size, offset, at_generation: generation, ..args("tide moon") };
            let page = engine.index.search(&ask).expect("a page");
            assert!(page.notes.is_empty(), "{:?}", page.notes);
            assert_eq!(page.total, 57);
            generation = Some(page.generation);
            hits.extend(page.hits);
            match page.next {
                Some(next) => offset = next,
                None => break,
            }
        }
        let keys = |hits: &[Hit]| hits.iter().map(key).collect::<Vec<_>>();
        assert_eq!(keys(&hits), keys(&whole.hits), "pages of {size}");
    }
}

#[test]
fn more_wordings_than_are_weighed_are_refused_with_the_bound() {
    let place = place();
    let engine = place.scanned();
    let ask = |n: usize| SearchArgs {
        also: (0..n).map(|at| format!("word{at} moon")).collect(),
        ..args("tide")
    };
    assert!(!engine.index.search(&ask(32)).expect("hits").hits.is_empty());
    let refused = engine.index.search(&ask(33)).map(|found| found.total);
    assert!(refused.is_err_and(|error| error.to_string().contains("the most is 32")));
}

#[test]
fn files_that_changed_leave_no_page_short_and_repeat_nothing() {
    let place = place();
    let engine = place.scanned();
    let whole = engine.search("moon");
    for at in (0..57).step_by(4) {
        place.write(&format!("n{at}.md"), "something else");
    }
    let mut paths = Vec::new();
    let mut offset = 0;
    loop {
        let ask = SearchArgs { limit: 10, offset, ..args("moon") };
        let page = engine.index.search(&ask).expect("a page");
        assert!(page.next.is_none() || page.hits.len() == 10);
        paths.extend(page.hits.into_iter().map(|hit| hit.path));
        match page.next {
            Some(next) => offset = next,
            None => break,
        }
    }
    let changed = |path: &String| {
        let number = path.trim_start_matches('n').trim_end_matches(".md");
        number.parse::<usize>().expect("a number") % 4 == 0
    };
    let expected = whole.hits.into_iter().map(|hit| hit.path).filter(|path| !changed(path));
    assert_eq!(paths, expected.collect::<Vec<_>>());
}

#[test]
fn a_cursor_of_an_older_generation_starts_again_and_says_so() {
    let place = place();
    let mut engine = place.scanned();
    let first = engine.index.search(&SearchArgs { limit: 5, ..args("moon") }).expect("a page");
    place.write("new.md", "moon moon moon");
    engine.scan();
    let ask = SearchArgs {
        limit: 5,
        offset: first.next.expect("more"),
        at_generation: Some(first.generation),
        ..args("moon")
    };
    let again = engine.index.search(&ask).expect("a page");
    assert!(again.generation > first.generation);
    assert_eq!(again.hits[0].rank, 0);
    assert!(again.notes.iter().any(|note| note.contains("changed")), "{:?}", again.notes);
}

#[test]
fn a_limit_out_of_bounds_is_named() {
    let place = place();
    let engine = place.scanned();
    for limit in [0, super::ALL + 1] {
        let error =
            engine.index.search(&SearchArgs { limit, ..args("moon") }).expect_err("refused");
        assert!(error.to_string().contains(&format!("`limit` is {limit}")), "{error}");
    }
}

/// The hits of all pages as the tool has them, and what was said.
fn pages(engine: &Engine, query: &str, size: usize) -> (Vec<Hit>, Vec<String>) {
    let (mut hits, mut notes, mut offset) = (Vec::new(), Vec::new(), 0);
    loop {
        let ask = SearchArgs { limit: size, offset, copies: false, ..args(query) };
        let page = engine.index.search(&ask).expect("a page");
        assert!(page.next.is_none() || page.hits.len() == size, "a page is full");
        hits.extend(page.hits);
        notes.extend(page.notes);
        match page.next {
            Some(next) => offset = next,
            None => return (hits, notes),
        }
    }
}

#[test]
fn copies_are_one_hit_that_names_them_and_leave_no_page_short() {
    let place = Place::new();
    for at in 0..40 {
        place.write(&format!("copy{at}.md"), "# Wifi\n\nThe wifi password of the hotel.\n");
    }
    for at in 0..12 {
        let text = format!("# Day {at}\n\nThe wifi was slow. {}\n", "We read. ".repeat(at + 9));
        place.write(&format!("day{at}.md"), text);
    }
    let engine = place.scanned();
    for size in [5, 10, 13, 200] {
        let (hits, notes) = pages(&engine, "wifi password", size);
        assert_eq!(hits.len(), 13, "pages of {size}");
        assert_eq!(hits[0].copies.len(), 39);
        assert!(hits[1..].iter().all(|hit| hit.path.starts_with("day") && hit.copies.is_empty()));
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("says the same as `vault/copy"), "{notes:?}");
        assert!(notes[0].ends_with(" and 35 more"), "{notes:?}");
    }
    let (hits, notes) = pages(&engine, "wifi password", 1);
    assert_eq!(hits.len(), 13);
    assert!(notes.iter().any(|note| note.contains("hits of the pages before")), "{notes:?}");
    // What a filter lets through is shown, whatever else says the same.
    let only = pages(&engine, "wifi path:copy7", 10).0;
    assert_eq!((only.len(), only[0].path.as_str()), (1, "copy7.md"));
    assert_eq!(pages(&engine, "path:copy", 10).0.len(), 40, "nothing is looked for in them");
}

#[test]
fn a_passage_that_documents_share_hides_none_that_says_more() {
    let place = Place::new();
    let more = "We walked along the coast and wrote down what wind and water did. ".repeat(11);
    let terms = format!("# Terms\n\n{}{more}\n\n", "The licence of the shore. ".repeat(2));
    let own = |n: &str| format!("{terms}## Own\n\nThe licence of shore {n}.\n{more}\n");
    place.write("a.md", own("one"));
    place.write("b.md", own("two"));
    place.write("copy.md", own("two"));
    for at in 0..9 {
        place.write(&format!("x{at}.md"), format!("# X\n\n{at} {more}\n"));
    }
    let engine = place.scanned();
    let (hits, _) = pages(&engine, "licence shore", 10);
    assert!(hits.iter().all(|hit| hit.lines.0 == 1 && !hit.also.is_empty()), "{hits:?}");
    assert!(hits.iter().any(|hit| hit.path == "a.md" && hit.copies.is_empty()), "{hits:?}");
    let copies = hits.iter().filter(|hit| hit.path != "a.md").map(|hit| hit.copies.len());
    assert_eq!(copies.collect::<Vec<_>>(), [1], "{hits:?}");
}

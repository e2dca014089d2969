//! Links mean what Obsidian means by them, and what they say makes their target findable.

use super::{Engine, Place};

fn linked() -> Place {
    let place = Place::new();
    place.write(
        "one/target.md",
        "---\naliases: [Anchorage]\n---\n# Landing\n\n## Part\n\nwords ^b1\n",
    );
    place.write("by name.md", "[[target]]\n");
    place.write("by case.md", "[[Target.md]]\n");
    place.write("by path.md", "[[one/target]]\n");
    place.write("by alias.md", "[[anchorage]]\n");
    place.write("by title.md", "[[Landing]]\n");
    place.write("by heading.md", "[[target#Part|part of it]]\n");
    place.write("by block.md", "![[target#^b1]]\n");
    place.write("by property.md", "---\nup: \"[[target]]\"\n---\nx\n");
    place.write("relative.md", "[down](one/target.md#part)\n");
    place.write("two/up.md", "[up](../one/target.md) and [again](<../one/target.md>)\n");
    place.write("two/rooted.md", "[root](/one/target.md)\n");
    place.write("one/beside.md", "[beside](target.md) and [bare](./target)\n");
    place.write(
        "outside.md",
        "[web](https://one/target.md) [out](../../one/target.md) `[[target]]`\n",
    );
    place.write("self.md", "[[#Here]] [[self]]\n\n# Here\n");
    place
}

const ALL_WAYS: &[&str] = &[
    "by alias.md",
    "by block.md",
    "by case.md",
    "by heading.md",
    "by name.md",
    "by path.md",
    "by property.md",
    "by title.md",
    "one/beside.md",
    "relative.md",
    "two/rooted.md",
    "two/up.md",
];

#[test]
fn every_way_to_link_is_a_link_and_a_backlink() {
    let place = linked();
    let engine = place.scanned();
    assert_eq!(engine.neighbours("one/target.md", "backlinks"), ALL_WAYS);
    for from in ALL_WAYS {
        assert_eq!(engine.neighbours(from, "links"), ["one/target.md"], "{from}");
        assert_eq!(engine.neighbours(from, "unresolved"), Vec::<String>::new(), "{from}");
    }
    for alone in ["outside.md", "self.md"] {
        assert_eq!(engine.neighbours(alone, "links"), Vec::<String>::new(), "{alone}");
        assert_eq!(engine.neighbours(alone, "backlinks"), Vec::<String>::new(), "{alone}");
    }
    let related = engine.related("by heading.md");
    let link = &related.groups["links"][0];
    assert_eq!((link.lines, link.text.as_str()), (Some((1, 1)), "part of it"));
}

#[test]
fn what_stands_between_two_rules_is_text() {
    let place = Place::new();
    place.write("other.md", "x\n");
    place.write("rules.md", "Intro.\n\n---\n## Second\nSee [[Other]]. #lost\n\n---\n\nTail.\n");
    let engine = place.scanned();
    assert_eq!(engine.neighbours("other.md", "backlinks"), ["rules.md"]);
    assert_eq!(engine.paths("tag:lost"), ["rules.md"]);
    assert_eq!(engine.read("rules#Second").expect("its section").lines, (4, 9));
}

#[test]
fn a_renamed_target_takes_with_it_the_links_that_still_mean_it() {
    let place = linked();
    let mut engine = place.scanned();
    place.rename("one/target.md", "three/target.md");
    engine.scan();
    let by_name: Vec<&str> = ALL_WAYS
        .iter()
        .copied()
        .filter(|way| way.starts_with("by ") && *way != "by path.md")
        .collect();
    assert_eq!(engine.neighbours("three/target.md", "backlinks"), by_name);
    assert_eq!(engine.neighbours("by path.md", "unresolved"), ["one/target"]);
    place.rename("three/target.md", "one/target.md");
    engine.scan();
    assert_eq!(engine.neighbours("one/target.md", "backlinks"), ALL_WAYS);
    // Another document takes the name over.
    place.rename("one/target.md", "one/pier.md");
    place.write("target.md", "another\n");
    engine.scan();
    let still = ["by alias.md", "by title.md"];
    assert_eq!(engine.neighbours("one/pier.md", "backlinks"), still);
    let named = ["by block.md", "by case.md", "by heading.md", "by name.md", "by property.md"];
    assert_eq!(engine.neighbours("target.md", "backlinks"), named);
    engine.assert_clean();
}

/// Notes that link to `b/other.md` and `a/near.md` as Obsidian writes it by each of its settings.
fn settings() -> Place {
    let place = Place::new();
    place.write("b/other.md", "words ^blk\n");
    place.write("a/near.md", "words\n");
    place.write("a/table.md", "| x |\n|---|\n| [[Other\\|alias]] ![[Other#^blk\\|40]] |\n");
    place.write("a/relative.md", "[[../b/Other]] [[./Near]] [up](../b/other.md)\n");
    place.write("a/shortest.md", "[one](Other.md) [two](near.md)\n");
    place.write("a/absolute.md", "[one](b/Other.md) [two](a/near.md)\n");
    place.write("a/wrong.md", "[[../Other]] [[../../b/Other]] [a](./other.md) [b](/other.md)\n");
    place
}

#[test]
fn links_are_understood_as_obsidian_writes_them_by_each_setting() {
    let place = settings();
    place.write(".obsidian/app.json", "{}");
    let mut engine = place.scanned();
    let both: &[&str] = &["a/near.md", "b/other.md"];
    let cases = [("table", &both[1..]), ("relative", both), ("shortest", both), ("absolute", both)];
    for (from, expected) in cases {
        let from = format!("a/{from}.md");
        assert_eq!(engine.neighbours(&from, "links"), expected, "{from}");
        assert_eq!(engine.neighbours(&from, "unresolved"), Vec::<String>::new(), "{from}");
    }
    assert_eq!(engine.neighbours("a/wrong.md", "links"), Vec::<String>::new());
    let all = ["a/absolute.md", "a/relative.md", "a/shortest.md", "a/table.md"];
    assert_eq!(engine.neighbours("b/other.md", "backlinks"), all);
    assert_eq!(engine.neighbours("a/near.md", "backlinks"), all[..3]);
    // A note beside the one that links is meant before another of that name.
    place.write("a/other.md", "x\n");
    engine.scan();
    assert_eq!(engine.neighbours("a/shortest.md", "links"), ["a/near.md", "a/other.md"]);
    assert_eq!(engine.neighbours("a/relative.md", "links"), both);
    engine.assert_clean();
}

#[test]
fn links_of_markdown_are_paths_where_there_is_no_vault() {
    let place = settings();
    let engine = place.scanned();
    assert_eq!(engine.neighbours("a/shortest.md", "links"), ["a/near.md"]);
    assert_eq!(engine.neighbours("a/absolute.md", "links"), Vec::<String>::new());
    assert_eq!(engine.neighbours("b/other.md", "backlinks"), ["a/relative.md", "a/table.md"]);
}

#[test]
fn links_of_markdown_name_files_and_no_title_or_alias() {
    let place = Place::new();
    place.write(".obsidian/app.json", "{}");
    place.write("b/foo.md", "---\naliases: [setup]\n---\n# Start\n\nwords\n");
    place.write("a/gone.md", "[quixotic](setup) [r](setup.md) [t](Start.md) [u](b/setup.md)\n");
    place.write("a/named.md", "[one](foo) [two](Foo.md)\n");
    place.write("a/wiki.md", "[[setup]] [[start]]\n");
    let mut engine = place.scanned();
    assert_eq!(engine.neighbours("a/gone.md", "links"), Vec::<String>::new());
    let gone = ["Start.md", "b/setup.md", "setup", "setup.md"];
    assert_eq!(engine.neighbours("a/gone.md", "unresolved"), gone);
    assert_eq!(quixotic(&engine), ["a/gone.md"]);
    for from in ["a/named.md", "a/wiki.md"] {
        assert_eq!(engine.neighbours(from, "links"), ["b/foo.md"], "{from}");
    }
    assert_eq!(engine.neighbours("b/foo.md", "backlinks"), ["a/named.md", "a/wiki.md"]);
    // A file of that name is what they mean once it is there.
    place.write("c/setup.md", "words\n");
    engine.scan();
    assert_eq!(engine.neighbours("a/gone.md", "links"), ["c/setup.md"]);
    assert_eq!(engine.neighbours("a/gone.md", "unresolved"), ["Start.md", "b/setup.md"]);
    assert_eq!(quixotic(&engine), ["a/gone.md", "c/setup.md"]);
    engine.assert_clean();
}

#[test]
fn of_many_notes_of_one_name_the_one_at_the_path_is_meant() {
    let place = Place::new();
    place.write(".obsidian/app.json", "{}");
    for n in 0..200 {
        place.write(&format!("n{n}/README.md"), "[x](old/README.md) [[old/README]]\n");
    }
    place.write("bold/README.md", "[deep](n7/README.md) [end](in/README.md) [[../n8/readme]]\n");
    place.write("deep/in/README.md", "words\n");
    let mut engine = place.scanned();
    for n in [0, 7, 199] {
        let from = format!("n{n}/README.md");
        assert_eq!(engine.neighbours(&from, "links"), Vec::<String>::new(), "{from}");
        assert_eq!(engine.neighbours(&from, "unresolved"), ["old/README", "old/README.md"]);
    }
    let meant = ["deep/in/README.md", "n7/README.md", "n8/README.md"];
    assert_eq!(engine.neighbours("bold/README.md", "links"), meant);
    place.write("far/old/readme.md", "words\n");
    engine.scan();
    assert_eq!(engine.neighbours("n7/README.md", "links"), ["far/old/readme.md"]);
    assert_eq!(engine.neighbours("n7/README.md", "unresolved"), Vec::<String>::new());
    engine.assert_clean();
}

#[test]
fn the_same_folder_comes_before_the_shorter_path() {
    let place = Place::new();
    place.write("a.md", "root\n");
    place.write("x/a.md", "near\n");
    place.write("x/y/from.md", "[[a]]\n");
    place.write("x/from.md", "[[a]]\n");
    let engine = place.scanned();
    assert_eq!(engine.neighbours("x/from.md", "links"), ["x/a.md"]);
    assert_eq!(engine.neighbours("x/y/from.md", "links"), ["a.md"]);
    assert_eq!(engine.neighbours("a.md", "backlinks"), ["x/y/from.md"]);
}

/// Documents that `quixotic` finds.
fn quixotic(engine: &Engine) -> Vec<String> {
    let mut paths = engine.paths("quixotic");
    paths.sort();
    paths
}

#[test]
fn words_of_links_find_their_target_as_long_as_they_link_to_it() {
    for link in ["[[target|quixotic beacon]]", "[quixotic beacon](one/target.md)"] {
        let place = linked();
        let from = "from.md";
        let mut engine = place.scanned();
        assert_eq!(quixotic(&engine), Vec::<String>::new());
        let (with, without) = (format!("See {link}.\n"), "See nothing.\n");
        let mut step = |what: &str, act: &dyn Fn(), expected: &[&str]| {
            act();
            engine.scan();
            assert_eq!(quixotic(&engine), expected, "{link}: {what}");
            engine.assert_clean();
        };
        step("added", &|| place.write(from, &with), &["from.md", "one/target.md"]);
        step("link removed", &|| place.write(from, without), &[]);
        step("added again", &|| place.write(from, &with), &["from.md", "one/target.md"]);
        let edit = || place.write("one/target.md", "# Landing\n\nnew text\n");
        step("target edited", &edit, &["from.md", "one/target.md"]);
        let retarget = || place.write(from, with.replace("target", "beside"));
        step("another target", &retarget, &["from.md", "one/beside.md"]);
        step("back", &|| place.write(from, &with), &["from.md", "one/target.md"]);
        step("linking note removed", &|| place.remove(from), &[]);
    }
}

#[test]
fn words_of_links_follow_names_that_come_and_go() {
    let place = Place::new();
    place.write("from.md", "[[Pier|quixotic beacon]]\n");
    place.write("b.md", "text\n");
    let mut engine = place.scanned();
    assert_eq!(quixotic(&engine), ["from.md"]);
    place.write("b.md", "---\naliases: [Pier]\n---\ntext\n");
    engine.scan();
    assert_eq!(quixotic(&engine), ["b.md", "from.md"]);
    // A file of that name is meant before an alias.
    place.write("z/pier.md", "text\n");
    engine.scan();
    assert_eq!(quixotic(&engine), ["from.md", "z/pier.md"]);
    place.rename("z/pier.md", "z/quay.md");
    engine.scan();
    assert_eq!(quixotic(&engine), ["b.md", "from.md"]);
    place.write("b.md", "text\n");
    engine.scan();
    assert_eq!(quixotic(&engine), ["from.md"]);
    engine.assert_clean();
}

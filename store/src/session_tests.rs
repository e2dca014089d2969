//! Sessions and their messages at the door of the store.

use crate::*;

fn begin(store: &Store, id: &str, owner: &str, now_ms: i64) -> Session {
    let title = "On tides";
    let new = NewSession { id, owner, title, metadata: None, expires_ms: None, now_ms };
    store.make_session(&new).unwrap()
}

fn say(store: &Store, id: &str, role: Role, text: &str, now_ms: i64) -> i64 {
    let new = NewMessage { role, author: "m", text, refs: None, key: None, now_ms };
    store.append(id, "ada", &new).unwrap().unwrap()
}

fn texts(store: &Store, id: &str) -> Vec<String> {
    let history = store.history(id, "ada", 0, 1_000, 0).unwrap().unwrap();
    history.into_iter().map(|message| message.text).collect()
}

#[test]
fn a_session_keeps_what_was_said() {
    let store = Store::memory().unwrap();
    let refs = Some("{\"trust\":\"t_1\"}");
    let metadata = Some("{\"user\":1}");
    let new = NewSession {
        id: "s_1",
        owner: "ada",
        title: "",
        metadata,
        expires_ms: Some(99),
        now_ms: 1,
    };
    let made = store.make_session(&new).unwrap();
    assert_eq!((made.n_messages, made.metadata.as_deref()), (0, metadata));
    assert!(matches!(store.make_session(&new), Err(Error::Conflict(_))));
    let message =
        NewMessage { role: Role::Model, author: "m", text: "hi", refs, key: Some("k"), now_ms: 2 };
    assert_eq!(store.append("s_1", "ada", &message).unwrap(), Some(1));
    assert_eq!(store.append("s_1", "ada", &message).unwrap(), Some(1), "the key is known");
    let other = NewMessage { text: "ho", ..message };
    assert!(matches!(store.append("s_1", "ada", &other), Err(Error::Conflict(_))));
    let page = store.history("s_1", "ada", 0, 9, 3).unwrap().unwrap();
    assert_eq!(page.len(), 1);
    let one = &page[0];
    assert_eq!((one.seq, one.role, one.author.as_str()), (1, Role::Model, "m"));
    assert_eq!((one.refs.as_deref(), one.at_ms), (refs, 2));
    assert_eq!(store.history("s_1", "ada", 1, 9, 3).unwrap(), Some(vec![]));
    assert!(store.change_session("s_1", "ada", Some("New"), None, 4).unwrap());
    let known = store.session("s_1", "ada", 5).unwrap().unwrap();
    assert_eq!((known.title.as_str(), known.metadata.as_deref()), ("New", metadata));
    assert!(store.end_session("s_1", "ada", 5).unwrap());
    assert!(!store.end_session("s_1", "ada", 6).unwrap());
    let late = NewMessage { key: None, now_ms: 7, ..message };
    assert!(matches!(store.append("s_1", "ada", &late), Err(Error::Conflict(_))));
    let counts = SessionCounts { open: 0, ended: 1, messages: 1 };
    assert_eq!(store.session_counts(Some("ada"), 8).unwrap(), counts);
    assert!(store.remove_session("s_1", "ada", 8).unwrap());
    assert_eq!(store.session_counts(None, 8).unwrap(), SessionCounts::default());
}

#[test]
fn another_owners_session_is_as_if_missing() {
    let store = Store::memory().unwrap();
    begin(&store, "s_1", "ada", 1);
    say(&store, "s_1", Role::User, "a secret word", 2);
    let message =
        NewMessage { role: Role::User, author: "", text: "x", refs: None, key: None, now_ms: 3 };
    assert_eq!(store.session("s_1", "eve", 3).unwrap(), None);
    assert_eq!(store.sessions("eve", 9, None, 3).unwrap(), []);
    assert_eq!(store.append("s_1", "eve", &message).unwrap(), None);
    assert_eq!(store.history("s_1", "eve", 0, 9, 3).unwrap(), None);
    assert_eq!(store.search_messages("eve", None, "secret", 9, 3).unwrap().hits, []);
    assert_eq!(store.search_messages("eve", Some("s_1"), "secret", 9, 3).unwrap().hits, []);
    assert_eq!(store.fork_session("s_1", "eve", "s_2", None, 3).unwrap(), None);
    assert_eq!(store.rebuild("s_1", "eve", 99, &str::len, 3).unwrap(), None);
    assert_eq!(store.resumption("s_1", "eve", 3).unwrap(), None);
    assert!(!store.change_session("s_1", "eve", Some("x"), None, 3).unwrap());
    assert!(!store.end_session("s_1", "eve", 3).unwrap());
    assert!(!store.remove_session("s_1", "eve", 3).unwrap());
    assert_eq!(store.session_counts(Some("eve"), 3).unwrap(), SessionCounts::default());
    assert_eq!(texts(&store, "s_1"), ["a secret word"]);
}

#[test]
fn a_session_is_gone_when_its_time_is_over() {
    let store = Store::memory().unwrap();
    let new = |id, expires_ms| NewSession {
        id,
        owner: "ada",
        title: "",
        metadata: None,
        expires_ms,
        now_ms: 1,
    };
    store.make_session(&new("s_1", Some(10))).unwrap();
    store.make_session(&new("s_2", None)).unwrap();
    assert!(store.make_session(&new("s_3", Some(1))).is_err());
    say(&store, "s_1", Role::User, "tides", 2);
    store.add_spent(&[("session:s_1", 5), ("session:s_2", 5)]).unwrap();
    assert!(store.session("s_1", "ada", 9).unwrap().is_some());
    assert_eq!(store.session("s_1", "ada", 10).unwrap(), None);
    assert_eq!(store.search_messages("ada", None, "tides", 9, 10).unwrap().hits, []);
    assert_eq!(store.sessions("ada", 9, None, 10).unwrap().len(), 1);
    assert_eq!(store.sweep_sessions(9).unwrap(), 0);
    assert_eq!(store.sweep_sessions(10).unwrap(), 1);
    assert_eq!(store.session("s_1", "ada", 2).unwrap(), None);
    assert_eq!(store.spent("session:").unwrap().len(), 1);
    let sql = "SELECT count(*) FROM message_word WHERE message_word MATCH 'tides'";
    let left: i64 = store.db().unwrap().query_row(sql, [], |r| r.get(0)).unwrap();
    assert_eq!(left, 0, "its words are still found");
}

#[test]
fn sessions_are_paged_by_their_last_change() {
    let store = Store::memory().unwrap();
    for n in 0..5 {
        begin(&store, &format!("s_{n}"), "ada", 1 + n / 2);
    }
    say(&store, "s_0", Role::User, "x", 9);
    let mut ids = Vec::new();
    let mut before: Option<Session> = None;
    loop {
        let page = store.sessions("ada", 2, before.as_ref(), 10).unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.clone());
        ids.extend(page.into_iter().map(|session| session.id));
    }
    assert_eq!(ids, ["s_0", "s_4", "s_3", "s_2", "s_1"]);
    assert!(store.sessions("ada", PAGE_MAX + 1, None, 10).is_err());
}

#[test]
fn any_text_can_be_searched_for() {
    let store = Store::memory().unwrap();
    begin(&store, "s_1", "ada", 1);
    say(&store, "s_1", Role::User, "When is high tide at Brest? Crème brûlée.", 2);
    say(&store, "s_1", Role::Model, "High water at Brest is at noon.", 3);
    let find = |query: &str| -> (Vec<i64>, bool) {
        let found = store.search_messages("ada", None, query, 9, 4).unwrap();
        let mut seqs: Vec<i64> = found.hits.iter().map(|hit| hit.seq).collect();
        seqs.sort_unstable();
        (seqs, found.every_word)
    };
    assert_eq!(find("tide"), (vec![1], true));
    assert_eq!(find("brest HIGH"), (vec![1, 2], true));
    assert_eq!(find("creme"), (vec![1], true));
    assert_eq!(find("noon zebra"), (vec![2], false), "some of the words");
    assert_eq!(find("zebra"), (vec![], true));
    for odd in [
        "\"tide",
        "tide\"",
        "tide' OR 1=1 --",
        "tide*",
        "NEAR(tide",
        "-tide",
        "text:tide",
        "(tide",
        "tide)",
        "^tide",
        "{tide}",
        "tide \0",
        "tide AND",
        "NOT tide",
        "tide + ;",
    ] {
        let found = store.search_messages("ada", None, odd, 9, 4).unwrap();
        assert!(found.hits.iter().any(|hit| hit.seq == 1), "{odd:?}");
    }
    for bad in ["", "  ", "\"*()", "\0", &"x".repeat(QUERY_BYTES_MAX + 1)] {
        let found = store.search_messages("ada", None, bad, 9, 4);
        assert!(matches!(found, Err(Error::Argument(_))), "{bad:?}");
    }
    let hit = &store.search_messages("ada", Some("s_1"), "noon", 9, 4).unwrap().hits[0];
    assert_eq!((hit.session.as_str(), hit.title.as_str()), ("s_1", "On tides"));
    assert!(hit.snippet.contains("noon"));
    assert_eq!(store.search_messages("ada", Some("s_2"), "noon", 9, 4).unwrap().hits, []);
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_the_search(query in "\\PC{0,60}", control in "[\\x00-\\x1f\"'*():^-]{0,9}") {
        let store = Store::memory().unwrap();
        begin(&store, "s_1", "ada", 1);
        for text in [&query, &control, &format!("{control}{query}")] {
            let found = store.search_messages("ada", None, text, 9, 4);
            proptest::prop_assert!(matches!(found, Ok(_) | Err(Error::Argument(_))), "{found:?}");
        }
    }
}

#[test]
fn a_fork_goes_its_own_way() {
    let store = Store::memory().unwrap();
    begin(&store, "s_1", "ada", 1);
    for n in 1..=3 {
        say(&store, "s_1", Role::User, &format!("tide {n}"), n);
    }
    let fork = store.fork_session("s_1", "ada", "s_2", Some(2), 5).unwrap().unwrap();
    assert_eq!((fork.parent, fork.n_messages), (Some(("s_1".to_owned(), 2)), 2));
    assert_eq!(fork.title, "On tides");
    assert_eq!(say(&store, "s_2", Role::User, "ebb", 6), 3);
    assert_eq!(texts(&store, "s_1"), ["tide 1", "tide 2", "tide 3"]);
    assert_eq!(texts(&store, "s_2"), ["tide 1", "tide 2", "ebb"]);
    store.end_session("s_1", "ada", 7).unwrap();
    let all = store.fork_session("s_1", "ada", "s_3", None, 8).unwrap().unwrap();
    assert_eq!((all.n_messages, all.ended_ms), (3, None), "a fork of an ended one is open");
    for bad in [Some(4), Some(-1)] {
        assert!(matches!(store.fork_session("s_1", "ada", "s_4", bad, 8), Err(Error::Argument(_))));
    }
    assert!(matches!(store.fork_session("s_1", "ada", "s_2", None, 8), Err(Error::Conflict(_))));
    assert!(store.remove_session("s_1", "ada", 9).unwrap());
    assert_eq!(texts(&store, "s_2").len(), 3);
    let hits = store.search_messages("ada", None, "tide", 9, 9).unwrap().hits;
    assert_eq!(hits.len(), 5, "those of the forks");
}

#[test]
fn where_a_session_was_left_decides() {
    let store = Store::memory().unwrap();
    begin(&store, "s_1", "ada", 0);
    let left = |now_ms| store.resumption("s_1", "ada", now_ms).unwrap().unwrap();
    let new = left(0);
    assert_eq!((new.of.completeness, new.of.coherence), (1.0, 1.0));
    assert_eq!(new.recovery, Recovery::Resume);
    say(&store, "s_1", Role::User, "one", 1);
    say(&store, "s_1", Role::Tool, "a reply of a tool is no answer", 1);
    say(&store, "s_1", Role::Assistant, "answer", 2);
    say(&store, "s_1", Role::User, "two, interrupted", 3);
    say(&store, "s_1", Role::System, "the process ended", 3);
    say(&store, "s_1", Role::User, "three", 4);
    say(&store, "s_1", Role::Model, "answer", 5);
    say(&store, "s_1", Role::User, "four, in the air", 6);
    let task = |id, key| NewTask {
        id,
        kind: "ask",
        owner: "ada",
        key,
        session: Some("s_1"),
        ..NewTask::default()
    };
    for (id, state) in [("j_1", JobState::Failed), ("j_2", JobState::Succeeded)] {
        store.leave_task(&task(id, None)).unwrap();
        assert!(store.end_job(id, state, "", 6).unwrap());
    }
    store.leave_task(&task("j_3", None)).unwrap();
    let found = left(6 + 24 * 3_600_000);
    assert_eq!((found.n_unanswered, found.n_open_jobs), (2, 1));
    assert_eq!(found.of.completeness, 0.5);
    // Of 4 turns and 2 jobs: the second turn and the first job.
    assert!((found.of.coherence - 4.0 / 6.0).abs() < 1e-12);
    assert_eq!(found.of.elapsed_ms, 24 * 3_600_000);
    assert_eq!(found.confidence, resume_confidence(&found.of));
    assert_eq!(found.recovery, Recovery::Archive);
    assert_eq!(left(6).recovery, Recovery::Ask);
    store.end_session("s_1", "ada", 7).unwrap();
    assert_eq!(left(7).recovery, Recovery::Archive, "an ended one");
}

#[test]
fn coherence_forgets_what_was_long_ago() {
    let store = Store::memory().unwrap();
    begin(&store, "s_1", "ada", 0);
    for n in 0..30 {
        say(&store, "s_1", Role::User, "interrupted", n);
    }
    let of = store.resumption("s_1", "ada", 30).unwrap().unwrap().of;
    assert!((of.coherence - 1.0 / 20.0).abs() < 1e-12, "the last turn is not interrupted yet");
    for n in 0..COHERENCE_LAST as i64 {
        say(&store, "s_1", Role::User, "question", 40 + n);
        say(&store, "s_1", Role::Model, "answer", 40 + n);
    }
    assert_eq!(store.resumption("s_1", "ada", 90).unwrap().unwrap().of.coherence, 1.0);
}

#[test]
fn a_rebuild_holds_the_newest_messages() {
    let store = Store::memory().unwrap();
    begin(&store, "s_1", "ada", 1);
    for n in 1..=100 {
        say(&store, "s_1", Role::User, &format!("message {n}"), n);
    }
    let words = |text: &str| text.split_whitespace().count();
    let whole = store.rebuild("s_1", "ada", 600, &words, 200).unwrap().unwrap();
    assert_eq!((whole.messages.len(), whole.n_left_out, whole.tokens), (100, 0, 600));
    // The counter may ask the store: no lock is held.
    let asks = |text: &str| {
        assert!(store.session("s_1", "ada", 200).unwrap().is_some());
        words(text)
    };
    let part = store.rebuild("s_1", "ada", 13 + 40 * 6, &asks, 200).unwrap().unwrap();
    let seqs: Vec<i64> = part.messages.iter().map(|message| message.seq).collect();
    assert_eq!(seqs, (61..=100).collect::<Vec<i64>>());
    assert_eq!((part.n_left_out, part.tokens), (60, 253));
}

#[test]
fn a_rebuild_of_what_came_before_a_message_has_the_whole_budget() {
    let store = Store::memory().unwrap();
    begin(&store, "s_1", "ada", 1);
    say(&store, "s_1", Role::User, "one", 2);
    say(&store, "s_1", Role::Assistant, "two", 3);
    let long = "word ".repeat(50);
    for (job, text) in [("j_1", long.as_str()), ("j_10", "other"), ("j_1", "after")] {
        let key = format!("{job} user {text}").chars().take(20).collect::<String>();
        let (role, key) = (Role::User, Some(key.as_str()));
        let message = NewMessage { role, author: "", text, refs: None, key, now_ms: 4 };
        store.append("s_1", "ada", &message).unwrap();
    }
    assert_eq!(store.first_of("s_1", "j_1").unwrap(), Some(3));
    assert_eq!(store.first_of("s_1", "j_10").unwrap(), Some(4));
    assert_eq!(store.first_of("s_1", "j").unwrap(), None);
    let words = |text: &str| text.split_whitespace().count();
    let all = store.rebuild("s_1", "ada", 30, &words, 9).unwrap().unwrap();
    assert_eq!(all.n_left_out, 3, "the long one is in the way");
    let past = |budget| store.rebuild_before(3, "s_1", "ada", budget, &words, 9).unwrap().unwrap();
    let texts: Vec<String> = past(20).messages.into_iter().map(|message| message.text).collect();
    assert_eq!((texts, past(20).n_left_out), (vec!["one".to_owned(), "two".to_owned()], 0));
    assert_eq!(past(5).n_left_out, 2, "of those before it");
    let first = store.rebuild_before(1, "s_1", "ada", 20, &words, 9).unwrap().unwrap();
    assert_eq!((first.messages.len(), first.note), (0, None));
}

#[test]
fn texts_out_of_bounds_are_refused() {
    let store = Store::memory().unwrap();
    begin(&store, "s_1", "ada", 1);
    let long = "x".repeat(MESSAGE_BYTES_MAX + 1);
    let good =
        NewMessage { role: Role::User, author: "", text: "x", refs: None, key: None, now_ms: 2 };
    for bad in [
        NewMessage { text: &long, ..good },
        NewMessage { author: &long, ..good },
        NewMessage { refs: Some("{"), ..good },
        NewMessage { refs: Some(&long), ..good },
        NewMessage { key: Some(""), ..good },
    ] {
        assert!(matches!(store.append("s_1", "ada", &bad), Err(Error::Argument(_))));
    }
    let new = NewSession {
        id: "s_2",
        owner: "ada",
        title: "",
        metadata: None,
        expires_ms: None,
        now_ms: 1,
    };
    for bad in [
        NewSession { id: "", ..new },
        NewSession { title: &long, ..new },
        NewSession { owner: &long, ..new },
        NewSession { metadata: Some("no"), ..new },
    ] {
        assert!(matches!(store.make_session(&bad), Err(Error::Argument(_))));
    }
    assert!(Role::parse("root").is_err());
    // As if it were full.
    let sql = "UPDATE session SET n_messages=?";
    store.db().unwrap().execute(sql, [MESSAGES_MAX as i64]).unwrap();
    assert!(matches!(store.append("s_1", "ada", &good), Err(Error::Conflict(_))));
}

#[test]
fn two_processes_number_messages_without_gaps() {
    let dir = tempfile::tempdir().unwrap();
    begin(&Store::open(dir.path()).unwrap(), "s_1", "ada", 1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = Store::open(dir.path()).unwrap();
                let seqs: Vec<i64> =
                    (0..25).map(|n| say(&store, "s_1", Role::User, "tide", n)).collect();
                assert!(seqs.is_sorted_by(|a, b| a < b));
            });
        }
    });
    let store = Store::open(dir.path()).unwrap();
    let history = store.history("s_1", "ada", 0, 1_000, 99).unwrap().unwrap();
    let seqs: Vec<i64> = history.iter().map(|message| message.seq).collect();
    assert_eq!(seqs, (1..=100).collect::<Vec<i64>>());
    assert_eq!(store.search_messages("ada", None, "tide", 100, 99).unwrap().hits.len(), 100);
}

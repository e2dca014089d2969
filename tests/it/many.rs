//! Many processes over one data directory: one writes, all answer, and what one commits all see.
//!
//! Linux tells who holds a lock; elsewhere the engine's own tests stand for these.

use super::program::{Client, PATIENCE, Place, poll};
use super::system::{Signal, holders, signal};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Servers at once, as many clients start them.
const SERVERS: usize = 8;
/// From the start of one of them to its first answer; alone on a machine it is a tenth of this.
const FIRST_ANSWER: Duration = Duration::from_secs(5);
/// A commit is seen by every process in this time, and two seconds for a machine that has other
/// work.
const SEEN: Duration = Duration::from_secs(1 + 2);
/// After the end of the process that writes, another one does.
const TAKEOVER: Duration = Duration::from_secs(5);
/// After the last sign of life of a writer that is stopped, nobody says fresh any more: it counts
/// for five seconds, and is looked at each second.
const STALE: Duration = Duration::from_secs(5 + 1 + 1);
/// Notes that take long enough to be indexed to be killed among them.
const BULK: usize = 6_000;

/// A vault, and a configuration that names it as a source.
struct Team {
    place: Place,
    config: String,
}

impl Team {
    fn of(notes: usize) -> Team {
        let place = Place::new();
        for n in 0..notes {
            let text = format!("# Note {n}\n\nperiwinkle number{n} [[n{}]]\n", (n * 7) % notes);
            place.write(&format!("vault/n{n}.md"), text);
        }
        let folder = place.path().join("vault").display().to_string();
        let config = place.write("synod.toml", format!("[[source]]\npath = {folder:?}\n"));
        Team { config: config.display().to_string(), place }
    }

    fn join(&self) -> Client {
        self.place.stdio(&["--config", &self.config, "--allow-write"])
    }

    fn lock(&self) -> PathBuf {
        self.place.data().join("index/writer.lock")
    }

    /// Which of the members writes.
    fn writer(&self, members: &[Client]) -> usize {
        let pid = poll("a writer", PATIENCE, || holders(&self.lock()).first().copied());
        assert_eq!(holders(&self.lock()), [pid], "more than one holds the lock");
        let at = members.iter().position(|member| member.child.id() == pid);
        at.unwrap_or_else(|| panic!("{pid} holds the lock, which is nobody's"))
    }

    /// Writes a note as editors do that leave no half of it to be seen.
    fn save(&self, name: &str, text: &str) {
        let beside = self.place.write(&format!("vault/{name}.tmp"), text);
        std::fs::rename(&beside, beside.with_extension("")).expect("renamed");
    }
}

fn total(client: &mut Client, word: &str) -> u64 {
    let found = client.answered("search", json!({"query": format!("+{word}"), "limit": 1}));
    found["total"].as_u64().expect("a number")
}

fn is_fresh(client: &mut Client) -> bool {
    client.answered("index_status", json!({}))["fresh"] == true
}

fn all_fresh(members: &mut [Client]) {
    for member in members {
        poll("freshness", PATIENCE, || is_fresh(member).then_some(()));
    }
}

/// Starts all at the same moment; each is asked at once.
fn together(team: &Team) -> Vec<Client> {
    let barrier = Barrier::new(SERVERS);
    std::thread::scope(|scope| {
        let start = || {
            barrier.wait();
            let start = Instant::now();
            let mut client = team.join();
            total(&mut client, "periwinkle");
            let took = start.elapsed();
            assert!(took < FIRST_ANSWER, "the first answer came after {took:?}");
            client
        };
        let threads: Vec<_> = (0..SERVERS).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    })
}

#[test]
fn eight_start_at_once_and_one_of_them_writes() {
    for indexed in [false, true] {
        let team = Team::of(50);
        if indexed {
            team.place.index(&team.place.path().join("vault"));
        }
        let mut members = together(&team);
        for member in &mut members {
            poll("all notes", PATIENCE, || (total(member, "periwinkle") == 50).then_some(()));
        }
        all_fresh(&mut members);
        let writer = team.writer(&members);
        for round in 0..3 {
            let word = format!("barnacle{round}");
            team.save("n7.md", &format!("# Note 7\n\n{word}\n"));
            let member = &mut members[writer];
            poll("the writer", PATIENCE, || (total(member, &word) == 1).then_some(()));
            let committed = Instant::now();
            for member in &mut members {
                let left = SEEN.saturating_sub(committed.elapsed());
                poll("the commit", left, || (total(member, &word) == 1).then_some(()));
            }
        }
        assert_eq!(team.writer(&members), writer, "another one writes now");
        for member in &members {
            let said = member.stderr();
            assert!(!said.contains("ERROR") && !said.contains("panicked"), "{said}");
        }
        drop(members);
        let (code, said, why) = team.place.outcome(&["doctor"]);
        assert_eq!(code, 0, "{said}{why}");
    }
}

#[test]
fn a_killed_writer_is_followed_within_seconds() {
    let team = Team::of(20);
    let mut members: Vec<Client> = (0..3).map(|_| team.join()).collect();
    all_fresh(&mut members);
    // Each of them in turn, until one is left.
    while members.len() > 1 {
        let writer = team.writer(&members);
        drop(members.swap_remove(writer));
        let killed = Instant::now();
        let word = format!("limpet{}", members.len());
        team.save("late.md", &format!("{word}\n"));
        poll("a writer", TAKEOVER, || (!holders(&team.lock()).is_empty()).then_some(()));
        for member in &mut members {
            poll("the note", PATIENCE, || (total(member, &word) == 1).then_some(()));
        }
        eprintln!("found {:?} after the kill", killed.elapsed());
        all_fresh(&mut members);
    }
}

#[test]
fn a_writer_killed_among_thousands_of_files_is_followed_within_seconds() {
    let team = Team::of(BULK);
    let mut members = vec![team.join(), team.join()];
    let left = poll("some work", PATIENCE, || {
        let status = members[0].answered("index_status", json!({}));
        (status["fresh"] == true || status["pending"].as_u64() > Some(1)).then_some(status)
    });
    let writer = team.writer(&members);
    drop(members.swap_remove(writer));
    eprintln!("killed with {} files left", left["pending"]);
    let other = &mut members[0];
    poll("a writer", TAKEOVER, || (holders(&team.lock()) == [other.child.id()]).then_some(()));
    poll("everything", PATIENCE, || is_fresh(other).then_some(()));
    assert_eq!(other.answered("index_status", json!({}))["documents"], BULK);
    assert_eq!(total(other, "periwinkle"), BULK as u64);
    drop(members);
    let (code, said, why) = team.place.outcome(&["doctor"]);
    assert_eq!(code, 0, "{said}{why}");
}

#[test]
fn a_stopped_writer_keeps_its_lock_and_nobody_says_fresh() {
    let team = Team::of(20);
    let mut members: Vec<Client> = (0..3).map(|_| team.join()).collect();
    all_fresh(&mut members);
    let writer = team.writer(&members);
    let stopped = members.swap_remove(writer);
    signal(&stopped.child, Signal::STOP);
    let since = Instant::now();
    team.save("late.md", "whelk\n");
    let push = json!({"op": "push", "path": "x.md", "content": "limpet"});
    let pushed = members[0].answered("ingest", push);
    for member in &mut members {
        let left = STALE.saturating_sub(since.elapsed());
        poll("no word of fresh", left, || (!is_fresh(member)).then_some(()));
        assert_eq!(total(member, "periwinkle"), 20, "what is there is found");
    }
    // Longer than two attempts to take the lock.
    let until = Instant::now() + Duration::from_millis(2_500);
    while Instant::now() < until {
        assert_eq!(holders(&team.lock()), [stopped.child.id()], "somebody took the lock");
        let (found, fresh) = (total(&mut members[0], "whelk"), is_fresh(&mut members[0]));
        assert_eq!((found, fresh), (0, false), "nobody can have written");
        std::thread::sleep(Duration::from_millis(50));
    }
    let job = json!({"job": pushed["job"]});
    let jobs = members[1].answered("index_status", job)["jobs"].clone();
    assert_eq!(jobs[0]["state"], "pending", "{jobs}");
    signal(&stopped.child, Signal::CONT);
    members.push(stopped);
    for member in &mut members {
        for word in ["whelk", "limpet"] {
            poll(word, PATIENCE, || (total(member, word) == 1).then_some(()));
        }
    }
    all_fresh(&mut members);
    assert_eq!(team.writer(&members), members.len() - 1, "it writes as before");
}

/// A process id that was somebody's and is nobody's now.
fn dead() -> u32 {
    let mut child = Command::new("true").spawn().expect("it starts");
    child.wait().expect("its end");
    child.id()
}

#[test]
fn what_stands_in_lock_files_says_nothing() {
    let team = Team::of(5);
    team.place.index(&team.place.path().join("vault"));
    let index = team.place.data().join("index");
    let locks = ["writer.lock", "create.lock", "words/.tantivy-writer.lock"];
    let locks = locks.map(|name| index.join(name));
    let living = std::process::id();
    let contents: Vec<Vec<u8>> = vec![
        format!("{living}\n").into_bytes(),
        dead().to_string().into_bytes(),
        b"1".to_vec(),
        b"{\"pid\": 1, \"host\": \"elsewhere\"}".to_vec(),
        vec![0xFF; 5_000],
        Vec::new(),
    ];
    for (round, content) in contents.iter().enumerate() {
        locks.iter().for_each(|lock| std::fs::write(lock, content).expect("written"));
        // And in the sign of life of a writer that is gone.
        let beat = index.join("writer.beat");
        std::fs::write(&beat, content).expect("written");
        let start = Instant::now();
        let mut client = team.join();
        let word = format!("cockle{round}");
        team.save("n1.md", &format!("{word}\n"));
        poll("the note", PATIENCE, || (total(&mut client, &word) == 1).then_some(()));
        poll("freshness", PATIENCE, || is_fresh(&mut client).then_some(()));
        assert!(start.elapsed() < FIRST_ANSWER, "round {round}: {:?}", start.elapsed());
    }
}

/// Waits for word of a change of a resource.
fn told(client: &mut Client, uri: &str) {
    let asked = Instant::now();
    loop {
        let message = client.next();
        let updated = message["method"] == "notifications/resources/updated";
        if updated && message["params"]["uri"] == uri {
            break;
        }
    }
    let took = asked.elapsed();
    assert!(took < SEEN, "word of {uri} came after {took:?}");
}

fn subscribe(client: &mut Client, uri: &str) {
    let answer = client.request("resources/subscribe", json!({ "uri": uri }));
    assert!(answer["result"].is_object(), "{uri}: {answer}");
}

#[test]
fn who_only_reads_is_told_of_what_another_process_wrote() {
    let team = Team::of(10);
    let mut members = vec![team.join(), team.join()];
    all_fresh(&mut members);
    let writer = team.writer(&members);
    let mut reader = members.swap_remove(1 - writer);
    let mut writer = members.pop().expect("the other one");
    let (note, status) = ("note://vault/n3.md", "synod://status");
    subscribe(&mut reader, note);
    team.save("n3.md", "# Note 3\n\nscallop\n");
    told(&mut reader, note);
    let text = |answer: &Value| answer["result"]["contents"][0]["text"].to_string();
    let read = reader.request("resources/read", json!({ "uri": note }));
    assert!(text(&read).contains("scallop"), "{read}");
    // A note that nobody watches is no news.
    subscribe(&mut reader, status);
    team.save("n4.md", "# Note 4\n\noyster\n");
    told(&mut reader, status);
    std::fs::remove_file(team.place.path().join("vault/n3.md")).expect("removed");
    told(&mut reader, note);
    let read = reader.request("resources/read", json!({ "uri": note }));
    assert!(read["error"]["code"].is_i64(), "it is gone: {read}");
    // And of one that comes back.
    team.save("n3.md", "# Note 3\n\nscallop again\n");
    told(&mut reader, note);
    assert_eq!(team.writer(std::slice::from_ref(&writer)), 0, "the reader became the writer");
    assert!(is_fresh(&mut writer));
}

//! The store as a whole: older formats, processes that start at once, processes that are killed.

use crate::*;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

/// A store as the program of that format left it.
fn old(dir: &Path, format: u32) {
    let db = Connection::open(dir.join("state.db")).unwrap();
    db.execute_batch(SCHEMA).unwrap();
    if format == 2 {
        db.execute_batch(pack::SCHEMA).unwrap();
        db.execute("INSERT INTO pack VALUES('p_1', '{}', 1)", []).unwrap();
    }
    let job = "INSERT INTO job(id, kind, args, state, progress, key, made_ms, changed_ms) \
               VALUES(?, 'index', '{\"op\":\"add\"}', ?, '{}', ?, 1, 2)";
    for (id, state) in [("j_1", "running"), ("j_2", "pending"), ("j_3", "succeeded")] {
        db.execute(job, [id, state, id]).unwrap();
    }
    let token = "INSERT INTO token(name, hash, scopes, made_ms) VALUES('ci', ?, 'admin', 1)";
    db.execute(token, [blake3::hash(b"secret").as_bytes().as_slice()]).unwrap();
    db.execute_batch(&format!("PRAGMA user_version={format}")).unwrap();
}

#[test]
fn older_formats_are_carried_over() {
    for format in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        old(dir.path(), format);
        let store = Store::open(dir.path()).unwrap();
        let version: u32 =
            store.db().unwrap().pragma_query_value(None, "user_version", |r| r.get(0)).unwrap();
        assert_eq!(version, FORMAT);
        assert_eq!(store.check_token("secret").unwrap(), Some(vec![Scope::Admin]));
        assert_eq!(store.pack("p_1", "").unwrap().is_some(), format == 2);
        let job = store.job("j_1").unwrap().unwrap();
        assert_eq!((job.state, job.priority, job.owner.as_str()), (JobState::Running, 3, ""));
        assert_eq!(store.recover_jobs("index", 5).unwrap(), 1);
        assert_eq!(store.take("index", 6).unwrap().unwrap().id, "j_1");
        let args = "{\"op\":\"add\"}";
        let key = Some("j_3");
        let known = NewJob { id: "j_9", kind: "index", args, key, priority: 3, now_ms: 9 };
        assert_eq!(store.leave(&known).unwrap(), "j_3", "keys are known");
        assert_eq!(store.events_after("j_1", 0, 9).unwrap().events.len(), 2);
        let entry = Entry { action: "ask".into(), ..Entry::default() };
        assert_eq!(store.record(&[entry]).unwrap(), [1]);
        drop(store);
        assert_eq!(Store::open(dir.path()).unwrap().verify().unwrap().rows, 1, "once only");
    }
}

/// What the file's tables and indexes are.
fn shape(store: &Store) -> Vec<(String, String)> {
    let db = store.db().unwrap();
    let sql = "SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name";
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

#[test]
fn a_carried_over_store_is_as_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    old(dir.path(), 2);
    let carried = shape(&Store::open(dir.path()).unwrap());
    assert_eq!(carried, shape(&Store::memory().unwrap()));
}

#[test]
fn processes_may_start_at_once() {
    // Often, because the moment at which SQLite refuses to wait is a short one.
    for format in [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2] {
        let dir = tempfile::tempdir().unwrap();
        if format > 0 {
            old(dir.path(), format);
        }
        let gate = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for n in 0..8 {
                let (path, gate) = (dir.path(), &gate);
                scope.spawn(move || {
                    gate.wait();
                    let store = Store::open(path).unwrap();
                    store.put_answer(&format!("k{n}"), "{}", 1).unwrap();
                });
            }
        });
        let store = Store::open(dir.path()).unwrap();
        assert!((0..8).all(|n| store.answer(&format!("k{n}")).unwrap().is_some()));
    }
}

/// Names the folder to the process that is to be killed.
const FOLDER: &str = "SYNOD_STORE_TEST_FOLDER";

/// Writes of every kind without an end; says each that was acknowledged.
fn write_until_killed(path: &Path) {
    let store = Store::open(path).unwrap();
    let ledger = Ledger::start(std::sync::Arc::new(Store::open(path).unwrap())).unwrap();
    let new = NewSession {
        id: "s_1",
        owner: "ada",
        title: "",
        metadata: None,
        expires_ms: None,
        now_ms: 1,
    };
    store.make_session(&new).unwrap();
    for n in 1.. {
        let said = NewMessage {
            role: Role::User,
            author: "",
            text: &format!("word{n}"),
            refs: None,
            key: None,
            now_ms: n,
        };
        assert_eq!(store.append("s_1", "ada", &said).unwrap(), Some(n));
        let entry = Entry { at_ms: n, action: "say".into(), ..Entry::default() };
        assert_eq!(ledger.write(entry).unwrap(), n);
        store.add_spent(&[("day:2026-11-22", 1), ("month:2026-11", 1)]).unwrap();
        let id = format!("j_{n}");
        store.leave_task(&NewTask { id: &id, kind: "ask", ..NewTask::default() }).unwrap();
        let job = store.take("ask", n).unwrap().unwrap();
        store.end_run(&job.id, job.attempt, JobState::Succeeded, "", n).unwrap();
        let mut out = std::io::stdout();
        writeln!(out, "\nacknowledged {n}").unwrap();
        out.flush().unwrap();
    }
}

/// The process that writes below a folder without an end.
fn writer(dir: &Path) -> Command {
    let name = "store_tests::a_killed_process_loses_nothing_that_it_acknowledged";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(FOLDER, dir).stdout(Stdio::piped());
    command
}

/// The numbers of what it says to be acknowledged.
fn acknowledged(child: &mut Child) -> impl Iterator<Item = i64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines
        .map_while(std::result::Result::ok)
        .filter_map(|line| line.strip_prefix("acknowledged ").and_then(|n| n.parse::<i64>().ok()))
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    if let Some(path) = std::env::var_os(FOLDER) {
        write_until_killed(Path::new(&path));
    }
    for rounds in [1, 7, 40] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = writer(dir.path()).spawn().unwrap();
        let n = acknowledged(&mut child).take(rounds).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        check_after_kill(dir.path(), n);
    }
}

/// What was acknowledged `n` times is there, and what was cut off is there wholly or not at all.
fn check_after_kill(path: &Path, n: i64) {
    let store = Store::open(path).unwrap();
    let sound: String =
        store.db().unwrap().query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let checked = store.verify().unwrap();
    assert!(checked.broken_at.is_none() && checked.rows >= n as u64);
    let session = store.session("s_1", "ada", 1).unwrap().unwrap();
    let history = store.history("s_1", "ada", 0, 1_000, 1).unwrap().unwrap();
    assert!(session.n_messages >= n && session.n_messages == history.len() as i64);
    let hits = store.search_messages("ada", None, &format!("word{n}"), 9, 1).unwrap().hits;
    assert_eq!(hits.len(), 1);
    let spent = store.spent("").unwrap();
    assert!(spent[0].1 >= n as u64 && spent[0].1 == spent[1].1);
    let done = store.job(&format!("j_{n}")).unwrap().unwrap();
    assert_eq!(done.state, JobState::Succeeded);
}

/// How a file system fails, as the shim knows it.
#[cfg(target_os = "linux")]
const HOWS: [&str; 4] = ["kill", "torn", "full", "broken"];
/// Calls that write among which each fails once: opening takes some 140 of them, a round some 55.
#[cfg(target_os = "linux")]
const CALLS: usize = 400;

/// The file system that fails, which the tests of the whole program have.
#[cfg(target_os = "linux")]
fn shim(dir: &Path) -> PathBuf {
    let library = dir.join("shim.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/it/shim.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&library);
    assert!(compiler.arg(source).arg("-ldl").status().unwrap().success());
    library
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_system_that_fails_at_any_step_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (shim, long) = (shim(dir.path()), std::env::var_os("SYNOD_LONG").is_some());
    let mut most = 0;
    for (turn, at) in (1..CALLS).step_by(if long { 1 } else { 13 }).enumerate() {
        let turn = turn % HOWS.len();
        let hows = if long { &HOWS[..] } else { &HOWS[turn..=turn] };
        for how in hows {
            let data = dir.path().join(format!("{how}-{at}"));
            std::fs::create_dir(&data).unwrap();
            let mut command = writer(&data);
            command.env("LD_PRELOAD", &shim).env("SHIM_DIR", &data).stderr(Stdio::null());
            command.env("SHIM_FAIL", at.to_string()).env("SHIM_HOW", how);
            let mut child = command.spawn().unwrap();
            let n = acknowledged(&mut child).last().unwrap_or(0);
            assert!(!child.wait().unwrap().success(), "{how} at call {at} was no failure");
            if n > 0 {
                check_after_kill(&data, n);
            } else {
                drop(Store::open(&data).unwrap());
            }
            most = most.max(n);
            std::fs::remove_dir_all(&data).unwrap();
        }
    }
    assert!(most > 2, "only {most} rounds were acknowledged");
}

#[cfg(unix)]
#[test]
fn a_store_that_is_gone_acknowledges_nothing_and_another_one_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let [data, other, former] = ["data", "other", "former"].map(|name| dir.path().join(name));
    let store = Store::open(&data).unwrap();
    let (kind, args) = ("index", "{}");
    let job = |id: &'static str| NewJob { id, kind, args, key: None, priority: 3, now_ms: 1 };
    store.leave(&job("j_1")).unwrap();
    std::fs::rename(&data, &former).unwrap();
    let gone = store.leave(&job("j_2")).map(|_| ()).unwrap_err();
    assert!(gone.to_string().contains("deleted or moved"), "{gone}");
    assert!(store.job("j_1").is_err());
    assert!(!data.exists(), "nothing is made in its place");
    drop(Store::open(&other).unwrap());
    std::fs::rename(&other, &data).unwrap();
    store.leave(&job("j_3")).unwrap();
    for (place, id, there) in [(&data, "j_1", false), (&data, "j_3", true), (&former, "j_1", true)]
    {
        let found = Store::open(place).unwrap().job(id).unwrap();
        assert_eq!(found.is_some(), there, "{id}");
    }
    assert!(Store::open(&former).unwrap().job("j_2").unwrap().is_none());
}

#[test]
fn what_fails_behind_a_commit_says_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    // Whatever needs the schema fails from then on, and a commit does not.
    let broken = "PRAGMA writable_schema=ON; \
                  INSERT INTO sqlite_schema(type, name, tbl_name, rootpage, sql) \
                  VALUES('table', 'x', 'x', 2, 'broken'); \
                  PRAGMA writable_schema=RESET";
    store.write_soon(|tx| Ok(tx.execute_batch(broken)?)).unwrap();
    let held = store.held.lock().unwrap();
    assert!(held.db.pragma_update(None, "synchronous", "full").is_err(), "nothing failed");
    let file = held.place.as_ref().map(|place| place.file);
    assert_eq!(file, Some(None), "the connection is not used any more");
}

/// Names the folder to the process that opens the store and closes it.
#[cfg(unix)]
const CLOSED: &str = "SYNOD_STORE_TEST_CLOSED";

#[cfg(unix)]
#[test]
fn what_is_opened_again_as_it_lies_has_its_locks() {
    if let Some(path) = std::env::var_os(CLOSED) {
        drop(Store::open(Path::new(&path)).unwrap());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [data, copy] = ["data", "copy"].map(|name| dir.path().join(name));
    let writer = Store::open(&data).unwrap();
    writer.make_token("ada", &[Scope::Admin], 1).unwrap();
    std::fs::create_dir(&copy).unwrap();
    let bring = |name: &str| {
        std::fs::copy(data.join(name), copy.join(name)).unwrap();
    };
    ["state.db", "state.db-wal"].into_iter().for_each(bring);
    let store = Store::open_still(&copy).unwrap();
    assert_eq!(store.tokens().unwrap().len(), 1, "without locks");
    bring("state.db-shm");
    assert_eq!(store.tokens().unwrap().len(), 1, "with locks");
    let name = "store_tests::what_is_opened_again_as_it_lies_has_its_locks";
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args(["--exact", name]).env(CLOSED, &copy).stdout(Stdio::null());
    assert!(other.status().unwrap().success());
    // Whoever is the last to close it removes the log; that process was not the last one.
    assert!(copy.join("state.db-wal").exists(), "the other one took itself for the last");
    assert_eq!(store.tokens().unwrap().len(), 1);
}

//! Jobs with owners at the door of the store.

use crate::*;
use proptest::prelude::*;
use std::sync::Mutex;

fn task<'a>(id: &'a str, owner: &'a str) -> NewTask<'a> {
    NewTask { id, kind: "ask", owner, now_ms: 1, ..NewTask::default() }
}

fn leave(store: &Store, id: &str, owner: &str) {
    assert_eq!(store.leave_task(&task(id, owner)).unwrap(), id);
}

fn taken(store: &Store, now_ms: i64) -> Option<(String, i64)> {
    store.take("ask", now_ms).unwrap().map(|job| (job.id, job.attempt))
}

#[test]
fn a_person_answers_and_the_job_goes_on() {
    let store = Store::memory().unwrap();
    leave(&store, "j_1", "ada");
    assert_eq!(taken(&store, 2), Some(("j_1".into(), 1)));
    assert!(store.set_partial("j_1", 1, "[1]", 3).unwrap());
    assert!(store.ask_person("j_1", 1, "{\"what\":\"a budget\"}", 4).unwrap());
    assert!(!store.set_progress("j_1", "{}", 5).unwrap());
    let job = store.job_of("j_1", "ada").unwrap().unwrap();
    assert_eq!((job.state, job.needs.is_some()), (JobState::Waiting, true));
    assert_eq!(store.open_jobs("ask").unwrap().len(), 1, "waiting is open");
    assert_eq!(taken(&store, 5), None);
    let action = Action::Provide("5 dollars".into());
    let job = store.act("j_1", "ada", &action, 6).unwrap().unwrap();
    assert_eq!(
        (job.state, job.needs, job.partial.as_deref()),
        (JobState::Pending, None, Some("[1]"))
    );
    let given: serde_json::Value = serde_json::from_str(&job.given.unwrap()).unwrap();
    assert_eq!((&given[0]["action"], &given[0]["text"]), (&"provide".into(), &"5 dollars".into()));
    assert_eq!(given[0]["needs"]["what"], "a budget");
    assert_eq!(taken(&store, 7), Some(("j_1".into(), 2)));
    assert!(store.end_run("j_1", 2, JobState::Succeeded, "{}", 8).unwrap());
    let events = store.events_after("j_1", 0, 99).unwrap().events;
    let states: Vec<String> = events
        .iter()
        .map(|e| {
            serde_json::from_str::<serde_json::Value>(&e.payload).unwrap()["state"].to_string()
        })
        .collect();
    let wanted = ["pending", "running", "waiting", "pending", "running", "succeeded"];
    assert_eq!(states, wanted.map(|state| format!("\"{state}\"")));
    let error = store.act("j_1", "ada", &Action::Cancel, 9).unwrap_err().to_string();
    assert_eq!(error, "job `j_1` is succeeded: `cancel` does not fit; what does: nothing");
}

#[test]
fn another_owners_job_is_as_if_missing() {
    let store = Store::memory().unwrap();
    leave(&store, "j_1", "ada");
    assert_eq!(store.job_of("j_1", "eve").unwrap(), None);
    assert_eq!(store.act("j_1", "eve", &Action::Cancel, 2).unwrap(), None);
    assert_eq!(store.jobs_of("eve", 9, None).unwrap(), []);
    let mine = NewTask { key: Some("k"), ..task("j_2", "ada") };
    assert_eq!(store.leave_task(&mine).unwrap(), "j_2");
    let theirs = NewTask { key: Some("k"), args: "[]", ..task("j_3", "eve") };
    assert_eq!(store.leave_task(&theirs).unwrap(), "j_3", "keys are each owner's own");
    let again = NewTask { id: "j_4", ..mine.clone() };
    assert_eq!(store.leave_task(&again).unwrap(), "j_2");
    let other = NewTask { args: "[1]", ..mine };
    assert!(matches!(store.leave_task(&other), Err(Error::Conflict(_))));
    assert!(matches!(store.leave_task(&task("j_1", "eve")), Err(Error::Conflict(_))));
    let ids: Vec<String> =
        store.jobs_of("ada", 9, None).unwrap().into_iter().map(|job| job.id).collect();
    assert_eq!(ids, ["j_2", "j_1"]);
    let first = &store.jobs_of("ada", 1, None).unwrap()[0];
    assert_eq!(store.jobs_of("ada", 9, Some(first)).unwrap()[0].id, "j_1");
}

#[test]
fn turns_go_round_the_owners_within_a_priority() {
    let store = Store::memory().unwrap();
    for (id, owner, priority) in [
        ("j_a1", "ada", 3),
        ("j_a2", "ada", 3),
        ("j_a3", "ada", 3),
        ("j_b1", "bo", 3),
        ("j_b2", "bo", 3),
        ("j_c1", "cy", 3),
        ("j_low", "cy", 5),
        ("j_top", "ada", 1),
    ] {
        store.leave_task(&NewTask { priority, ..task(id, owner) }).unwrap();
    }
    let order: Vec<String> = std::iter::from_fn(|| taken(&store, 2)).map(|(id, _)| id).collect();
    let wanted = ["j_top", "j_b1", "j_c1", "j_a1", "j_b2", "j_a2", "j_a3", "j_low"];
    assert_eq!(order, wanted);
}

#[test]
fn an_ended_job_begins_again_when_its_owner_wants() {
    let store = Store::memory().unwrap();
    let new = NewTask { deadline_ms: Some(10), args: "[1]", ..task("j_1", "ada") };
    store.leave_task(&new).unwrap();
    taken(&store, 2);
    store.set_partial("j_1", 1, "[2]", 3).unwrap();
    assert_eq!(store.expire_jobs(9).unwrap(), [""; 0]);
    assert_eq!(store.expire_jobs(10).unwrap(), ["j_1"]);
    let job = store.job("j_1").unwrap().unwrap();
    assert_eq!(job.state, JobState::Failed);
    assert_eq!(job.result.as_deref(), Some("its deadline passed while it was running"));
    assert!(!store.beat("j_1", 1, 11).unwrap(), "its runner learns it");
    let job = store.act("j_1", "ada", &Action::Retry, 12).unwrap().unwrap();
    let due = Some(12 + 24 * 60 * 60 * 1_000);
    assert_eq!((job.state, job.deadline_ms, job.result), (JobState::Pending, due, None));
    assert_eq!((job.partial.as_deref(), job.args.as_str()), (Some("[2]"), "[1]"));
    let action = Action::Modify("[3]".into());
    let job = store.act("j_1", "ada", &action, 13).unwrap().unwrap();
    assert_eq!((job.partial, job.args.as_str()), (None, "[3]"));
    assert!(store.act("j_1", "ada", &Action::Modify("{".into()), 14).is_err());
    assert_eq!(taken(&store, 15), Some(("j_1".into(), 2)));
    // A runner of before cannot disturb.
    assert!(!store.set_partial("j_1", 1, "[]", 16).unwrap());
    assert!(!store.ask_person("j_1", 1, "{}", 16).unwrap());
    assert!(!store.end_run("j_1", 1, JobState::Succeeded, "", 16).unwrap());
    assert!(!store.beat_with("j_1", 1, "{}", 16).unwrap());
    assert!(store.beat("j_1", 2, 16).unwrap());
    assert!(store.beat_with("j_1", 2, "{\"current\":\"x\"}", 17).unwrap());
    let job = store.job("j_1").unwrap().unwrap();
    assert_eq!((job.progress.as_deref(), job.changed_ms), (Some("{\"current\":\"x\"}"), 17));
    assert!(store.beat_with("j_1", 2, "{", 18).is_err());
}

#[test]
fn a_deadline_that_passed_is_not_begun() {
    let store = Store::memory().unwrap();
    store.leave_task(&NewTask { deadline_ms: Some(5), ..task("j_1", "ada") }).unwrap();
    assert_eq!(taken(&store, 5), None);
    assert_eq!(store.expire_jobs(5).unwrap(), ["j_1"]);
    assert!(store.leave_task(&NewTask { deadline_ms: Some(1), ..task("j_2", "ada") }).is_err());
}

#[test]
fn arguments_too_long_to_keep_are_not_retried() {
    let store = Store::memory().unwrap();
    let args = format!("\"{}\"", "x".repeat(100_000));
    let new = NewTask { args: &args, key: Some("k"), ..task("j_1", "ada") };
    store.leave_task(&new).unwrap();
    store.act("j_1", "ada", &Action::Cancel, 2).unwrap();
    let error = store.act("j_1", "ada", &Action::Retry, 3);
    assert!(matches!(error, Err(Error::Conflict(_))));
    assert_eq!(store.job("j_1").unwrap().unwrap().state, JobState::Cancelled, "it is undone");
    assert_eq!(store.leave_task(&new).unwrap(), "j_1", "the key still knows its request");
    let job = store.act("j_1", "ada", &Action::Modify("[]".into()), 4).unwrap().unwrap();
    assert_eq!(job.state, JobState::Pending);
}

#[test]
fn a_lost_process_costs_nothing_that_was_done_and_not_for_ever() {
    let store = Store::memory().unwrap();
    leave(&store, "j_1", "ada");
    for attempt in 1..=ATTEMPTS_MAX {
        let now_ms = attempt * 100;
        assert_eq!(taken(&store, now_ms), Some(("j_1".into(), attempt)));
        assert!(store.set_partial("j_1", attempt, "[7]", now_ms).unwrap());
        assert_eq!(store.recover_stale_jobs("ask", 50, now_ms + 49).unwrap(), 0, "it is alive");
        assert_eq!(store.recover_stale_jobs("other", 50, now_ms + 50).unwrap(), 0);
        assert_eq!(store.recover_stale_jobs("ask", 50, now_ms + 50).unwrap(), 1);
        assert_eq!(store.job("j_1").unwrap().unwrap().partial.as_deref(), Some("[7]"));
    }
    let job = store.act("j_1", "ada", &Action::Retry, 900).unwrap().unwrap();
    assert_eq!(job.state, JobState::Pending, "it had failed");
    taken(&store, 901);
    store.recover_stale_jobs("ask", 50, 999).unwrap();
    assert_eq!(store.job("j_1").unwrap().unwrap().state, JobState::Pending, "counted anew");
    taken(&store, 1_000);
    assert_eq!(store.recover_jobs("ask", 1_001).unwrap(), 1);
    assert_eq!(store.job("j_1").unwrap().unwrap().partial.as_deref(), Some("[7]"));
}

#[test]
fn tasks_out_of_bounds_are_refused() {
    let store = Store::memory().unwrap();
    let long = format!("\"{}\"", "x".repeat(ARGS_BYTES_MAX));
    let good = task("j_1", "ada");
    for bad in [
        NewTask { id: "", ..good.clone() },
        NewTask { kind: "", ..good.clone() },
        NewTask { args: "{", ..good.clone() },
        NewTask { args: &long, ..good.clone() },
        NewTask { owner: &long, ..good.clone() },
        NewTask { key: Some(&long), ..good.clone() },
        NewTask { webhook: Some(&long), ..good.clone() },
        NewTask { session: Some(""), ..good.clone() },
        NewTask { priority: 0, ..good.clone() },
        NewTask { priority: 6, ..good.clone() },
    ] {
        assert!(matches!(store.leave_task(&bad), Err(Error::Argument(_))), "{:?}", bad.id);
    }
    leave(&store, "j_1", "ada");
    taken(&store, 2);
    assert!(store.set_partial("j_1", 1, &format!("{long}  "), 3).is_err());
    assert!(store.ask_person("j_1", 1, &long, 3).is_err());
    assert!(store.end_run("j_1", 1, JobState::Running, "", 3).is_err());
    assert!(store.end_job("j_1", JobState::Pending, "", 3).is_err());
    assert!(store.act("j_1", "ada", &Action::Provide(long.clone()), 3).is_err());
    for n in 1..OPEN_MAX {
        leave(&store, &format!("j_x{n}"), "ada");
    }
    assert!(matches!(store.leave_task(&task("j_2", "ada")), Err(Error::Conflict(_))));
    leave(&store, "j_2", "bo");
}

#[test]
fn several_processes_take_each_job_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for n in 0..40 {
        leave(&store, &format!("j_{n:02}"), ["ada", "bo"][n % 2]);
    }
    let all = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = Store::open(dir.path()).unwrap();
                while let Some((id, attempt)) = taken(&store, 2) {
                    store.add_event(&id, "log", "1", 3).unwrap();
                    assert!(store.end_run(&id, attempt, JobState::Succeeded, "", 3).unwrap());
                    all.lock().unwrap().push(id);
                }
            });
        }
    });
    let mut all = all.into_inner().unwrap();
    all.sort();
    assert_eq!(all, (0..40).map(|n| format!("j_{n:02}")).collect::<Vec<_>>());
    assert_eq!(store.events_after("j_00", 0, 9).unwrap().events.len(), 4);
}

/// Anything that anybody may do, in any order.
#[derive(Clone, Debug)]
enum Deed {
    Take,
    Begin,
    Silent,
    Ask,
    Act(Action),
    End(JobState),
    EndRun(JobState),
    Recover,
    Stale,
    Expire,
    Partial,
    Event,
}

fn deed() -> impl Strategy<Value = Deed> {
    let ends = [JobState::Succeeded, JobState::Failed, JobState::Cancelled];
    let actions = [
        Action::Approve,
        Action::Provide("yes".into()),
        Action::Modify("[]".into()),
        Action::Retry,
        Action::Cancel,
    ];
    let rest = [Deed::Begin, Deed::Silent, Deed::Recover, Deed::Stale, Deed::Expire, Deed::Event];
    prop_oneof![
        3 => prop::sample::select(vec![Deed::Take, Deed::Ask, Deed::Partial]),
        4 => prop::sample::select(actions.to_vec()).prop_map(Deed::Act),
        1 => prop::sample::select(ends.to_vec()).prop_map(Deed::End),
        1 => prop::sample::select(ends.to_vec()).prop_map(Deed::EndRun),
        2 => prop::sample::select(rest.to_vec()),
    ]
}

fn carry_out(store: &Store, deed: &Deed, attempt: i64, now_ms: i64) -> Result<()> {
    match deed {
        Deed::Take => store.take("ask", now_ms).map(drop),
        Deed::Begin => store.begin_job("j_1", now_ms).map(drop),
        Deed::Silent => store.take_silent("ask", now_ms, now_ms).map(drop),
        Deed::Ask => store.ask_person("j_1", attempt, "{}", now_ms).map(drop),
        Deed::Act(action) => store.act("j_1", "ada", action, now_ms).map(drop),
        Deed::End(state) => store.end_job("j_1", *state, "x", now_ms).map(drop),
        Deed::EndRun(state) => store.end_run("j_1", attempt, *state, "x", now_ms).map(drop),
        Deed::Recover => store.recover_jobs("ask", now_ms).map(drop),
        Deed::Stale => store.recover_stale_jobs("ask", 2, now_ms).map(drop),
        Deed::Expire => store.expire_jobs(now_ms).map(drop),
        Deed::Partial => store.set_partial("j_1", attempt, "[]", now_ms).map(drop),
        Deed::Event => store.add_event("j_1", "log", "1", now_ms).map(drop),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_order_of_deeds_keeps_the_table_legal(
        deeds in prop::collection::vec(deed(), 1..40), deadline in prop::option::of(2i64..60),
    ) {
        let store = Store::memory().unwrap();
        store.leave_task(&NewTask { deadline_ms: deadline, ..task("j_1", "ada") }).unwrap();
        let mut before = store.job("j_1").unwrap().unwrap();
        for (at, deed) in deeds.iter().enumerate() {
            let done = carry_out(&store, deed, before.attempt, at as i64 + 2);
            prop_assert!(matches!(done, Ok(()) | Err(Error::Conflict(_))), "{deed:?} {done:?}");
            let after = store.job("j_1").unwrap().unwrap();
            if done.is_err() {
                prop_assert_eq!(&before, &after, "a refused deed changes nothing");
            }
            prop_assert_eq!(after.result.is_some(), after.state.ended());
            prop_assert_eq!(after.needs.is_some(), after.state == JobState::Waiting);
            prop_assert!(after.attempt >= before.attempt);
            before = after;
        }
        // Each change of the state is an event, and each follows from the one before.
        let events = store.events_after("j_1", 0, 1_000).unwrap();
        prop_assert_eq!(events.n_dropped, 0);
        let mut state = JobState::Pending;
        for event in events.events.iter().skip(1).filter(|event| event.kind == "status") {
            let payload: serde_json::Value = serde_json::from_str(&event.payload).unwrap();
            let by = Move::ALL.into_iter().find(|by| payload["by"] == by.name()).unwrap();
            let to = next_state(state, by);
            prop_assert_eq!(to.map(JobState::name), payload["state"].as_str(), "{:?}", event);
            state = to.unwrap();
        }
        prop_assert_eq!(state, before.state);
    }
}

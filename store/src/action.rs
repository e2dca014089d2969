//! What may become of a job: the table of its states.
//!
//! Pure. Invariant: every change of a job's state in the store goes through [`next_state`].

use crate::{Error, Result};

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobState {
    /// Waits to be taken.
    Pending,
    /// In hand.
    Running,
    /// Waits for a person.
    Waiting,
    /// Done.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Stopped by its owner.
    Cancelled,
}

/// What can happen to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Somebody takes it in hand.
    Take,
    /// It needs a person's word.
    Ask,
    /// The person agrees.
    Approve,
    /// The person says what was missing.
    Provide,
    /// The person changes its arguments.
    Modify,
    /// The person wants it once more.
    Retry,
    /// The person stops it.
    Cancel,
    /// It is done.
    Succeed,
    /// It ended with an error.
    Fail,
    /// Its process is gone.
    Recover,
    /// Its deadline passed.
    Expire,
}

/// What a person does with a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Agrees to what a waiting job asks.
    Approve,
    /// Says what a waiting job asks for.
    Provide(String),
    /// Gives other arguments (JSON); one that has ended without success begins again with them.
    Modify(String),
    /// Begins again one that has ended without success, with what it has already.
    Retry,
    /// Stops it.
    Cancel,
}

impl JobState {
    /// Every state.
    pub const ALL: [JobState; 6] = [
        JobState::Pending,
        JobState::Running,
        JobState::Waiting,
        JobState::Succeeded,
        JobState::Failed,
        JobState::Cancelled,
    ];

    /// Its name on the outside.
    pub fn name(self) -> &'static str {
        match self {
            JobState::Pending => "pending",
            JobState::Running => "running",
            JobState::Waiting => "waiting",
            JobState::Succeeded => "succeeded",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }

    pub(crate) fn parse(name: &str) -> Self {
        let found = JobState::ALL.into_iter().find(|state| state.name() == name);
        found.unwrap_or(JobState::Pending)
    }

    /// It will not change any more, unless a person wants it again.
    pub fn ended(self) -> bool {
        matches!(self, JobState::Succeeded | JobState::Failed | JobState::Cancelled)
    }
}

impl Move {
    /// Every move.
    pub const ALL: [Move; 11] = [
        Move::Take,
        Move::Ask,
        Move::Approve,
        Move::Provide,
        Move::Modify,
        Move::Retry,
        Move::Cancel,
        Move::Succeed,
        Move::Fail,
        Move::Recover,
        Move::Expire,
    ];

    /// Those that are a person's.
    pub const ACTIONS: [Move; 5] =
        [Move::Approve, Move::Provide, Move::Modify, Move::Retry, Move::Cancel];

    /// Its name on the outside.
    pub fn name(self) -> &'static str {
        match self {
            Move::Take => "take",
            Move::Ask => "ask",
            Move::Approve => "approve",
            Move::Provide => "provide",
            Move::Modify => "modify",
            Move::Retry => "retry",
            Move::Cancel => "cancel",
            Move::Succeed => "succeed",
            Move::Fail => "fail",
            Move::Recover => "recover",
            Move::Expire => "expire",
        }
    }

    /// The move that ends a job in a state.
    ///
    /// # Errors
    /// `Argument` for a state that is no end.
    pub(crate) fn ending(state: JobState) -> Result<Self> {
        match state {
            JobState::Succeeded => Ok(Move::Succeed),
            JobState::Failed => Ok(Move::Fail),
            JobState::Cancelled => Ok(Move::Cancel),
            open => Err(Error::Argument(format!("`{}` is no end of a job", open.name()))),
        }
    }
}

impl Action {
    /// The move that it is.
    pub fn by(&self) -> Move {
        match self {
            Action::Approve => Move::Approve,
            Action::Provide(_) => Move::Provide,
            Action::Modify(_) => Move::Modify,
            Action::Retry => Move::Retry,
            Action::Cancel => Move::Cancel,
        }
    }
}

/// The state after a move; none if the move is not legal.
pub fn next_state(state: JobState, by: Move) -> Option<JobState> {
    use JobState::{Cancelled, Failed, Pending, Running, Succeeded, Waiting};
    match (state, by) {
        (Pending, Move::Take) => Some(Running),
        (Running, Move::Ask) => Some(Waiting),
        (Running, Move::Recover) => Some(Pending),
        (Waiting, Move::Approve | Move::Provide) => Some(Pending),
        (Pending | Waiting | Failed | Cancelled, Move::Modify) => Some(Pending),
        (Failed | Cancelled, Move::Retry) => Some(Pending),
        (Pending | Running | Waiting, Move::Cancel) => Some(Cancelled),
        (Pending | Running | Waiting, Move::Fail | Move::Expire) => Some(Failed),
        // A pending one: a process that was taken for dead had it in hand, and did it.
        (Pending | Running, Move::Succeed) => Some(Succeeded),
        _ => None,
    }
}

/// What a person can do with a job in a state.
pub fn actions(state: JobState) -> Vec<Move> {
    Move::ACTIONS.into_iter().filter(|by| next_state(state, *by).is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_what_it_promises() {
        for state in JobState::ALL {
            assert_eq!(JobState::parse(state.name()), state);
            for by in Move::ALL {
                let Some(to) = next_state(state, by) else { continue };
                // What has ended begins again only by a person's word, and success never.
                let person = Move::ACTIONS.contains(&by);
                assert!(!state.ended() || person && to == JobState::Pending, "{state:?} {by:?}");
                assert_ne!(state, JobState::Succeeded, "{by:?}");
                assert_eq!(to == JobState::Running, by == Move::Take);
                assert_eq!(to == JobState::Waiting, by == Move::Ask);
            }
            // No open state is a trap.
            let out = |by| next_state(state, by).is_some();
            assert!(state.ended() || out(Move::Cancel) && out(Move::Expire) && out(Move::Fail));
        }
    }

    #[test]
    fn each_state_says_what_a_person_can_do() {
        use Move::{Approve, Cancel, Modify, Provide, Retry};
        assert_eq!(actions(JobState::Pending), [Modify, Cancel]);
        assert_eq!(actions(JobState::Running), [Cancel]);
        assert_eq!(actions(JobState::Waiting), [Approve, Provide, Modify, Cancel]);
        assert_eq!(actions(JobState::Succeeded), []);
        assert_eq!(actions(JobState::Failed), [Modify, Retry]);
        assert_eq!(actions(JobState::Cancelled), [Modify, Retry]);
        assert!(Move::ending(JobState::Waiting).is_err());
    }
}

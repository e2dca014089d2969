//! Whether an interrupted session goes on, and what of it a model is told.
//!
//! Pure: the database's side is in `session.rs` and `message.rs`.

use crate::Message;

/// From this confidence on a session goes on by itself.
pub const RESUME_MIN: f64 = 0.8;
/// From this confidence on the person is asked; below it the session is archived.
pub const ASK_MIN: f64 = 0.5;
/// What a message costs a model beside its text, in tokens.
pub const MESSAGE_TOKENS: usize = 4;

/// What the decision rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interruption {
    /// Since the session last changed; in the future counts as now.
    pub elapsed_ms: i64,
    /// Share of the user's messages that were answered, 0 to 1; 1 when there are none.
    pub completeness: f64,
    /// 1 minus the share of failed or cancelled jobs and interrupted turns among the last 20 of
    /// both, 0 to 1; 1 when there are none.
    pub coherence: f64,
}

/// What becomes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// It goes on, and the person is told.
    Resume,
    /// The person is asked.
    Ask,
    /// It is put aside; a new one begins.
    Archive,
}

impl Recovery {
    /// Its name on the outside.
    pub fn name(self) -> &'static str {
        match self {
            Recovery::Resume => "resume",
            Recovery::Ask => "ask",
            Recovery::Archive => "archive",
        }
    }
}

/// `0.4*exp(-elapsed_h/24) + 0.4*completeness + 0.2*coherence` (the thresholds and weights are
/// ours: ILETP's specification 4 leaves them open). Shares outside 0 to 1 are taken as the nearest
/// of both, what is no number as 0.
pub fn resume_confidence(of: &Interruption) -> f64 {
    let share = |x: f64| if x.is_nan() { 0.0 } else { x.clamp(0.0, 1.0) };
    let hours = of.elapsed_ms.max(0) as f64 / 3_600_000.0;
    0.4 * (-hours / 24.0).exp() + 0.4 * share(of.completeness) + 0.2 * share(of.coherence)
}

/// What becomes of a session with this confidence.
pub fn recovery(confidence: f64) -> Recovery {
    // The sum of its three terms may miss a threshold by the last bit.
    let at_least = |min: f64| confidence >= min - 1e-9;
    match () {
        () if at_least(RESUME_MIN) => Recovery::Resume,
        () if at_least(ASK_MIN) => Recovery::Ask,
        () => Recovery::Archive,
    }
}

/// The newest messages that fit into a budget.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rebuilt {
    /// Oldest first, none left out between them.
    pub messages: Vec<Message>,
    /// Messages before them.
    pub n_left_out: usize,
    /// One line that says so, for the head of the context; none when nothing was left out.
    pub note: Option<String>,
    /// Of messages and note.
    pub tokens: usize,
}

/// The line that stands for messages which were left out.
pub fn left_out(n: usize) -> Option<String> {
    match n {
        0 => None,
        1 => Some("[1 earlier message of this session is left out]".to_owned()),
        n => Some(format!("[{n} earlier messages of this session are left out]")),
    }
}

/// Takes messages newest first until one does not fit.
pub(crate) struct Fit<'a> {
    budget: usize,
    count: &'a dyn Fn(&str) -> usize,
    n_all: usize,
    /// With their tokens, newest first.
    taken: Vec<(Message, usize)>,
    tokens: usize,
}

impl<'a> Fit<'a> {
    /// Of a session of `n_all` messages.
    pub fn new(n_all: usize, budget: usize, count: &'a dyn Fn(&str) -> usize) -> Self {
        Fit { budget, count, n_all, taken: Vec::new(), tokens: 0 }
    }

    /// Takes the next older one; false when it does not fit, and then no other is to be offered.
    pub fn take(&mut self, message: Message) -> bool {
        let tokens = (self.count)(&message.text) + MESSAGE_TOKENS;
        let fits = self.tokens + tokens <= self.budget;
        if fits {
            self.tokens += tokens;
            self.taken.push((message, tokens));
        }
        fits
    }

    /// What was taken. The oldest go again to make room for the note; a note that does not even
    /// fit alone is left out, its number is not.
    pub fn rebuilt(mut self) -> Rebuilt {
        loop {
            let n_left_out = self.n_all.saturating_sub(self.taken.len());
            let note = left_out(n_left_out);
            let note_tokens = note.as_ref().map_or(0, |note| (self.count)(note) + MESSAGE_TOKENS);
            let fits = self.tokens + note_tokens <= self.budget;
            if !fits && let Some((_, tokens)) = self.taken.pop() {
                self.tokens -= tokens;
                continue;
            }
            let note = note.filter(|_| fits);
            let tokens = self.tokens + if fits { note_tokens } else { 0 };
            let messages = self.taken.into_iter().rev().map(|(message, _)| message).collect();
            return Rebuilt { messages, n_left_out, note, tokens };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
    use proptest::prelude::*;

    const HOUR_MS: i64 = 3_600_000;

    fn at(hours: i64, completeness: f64, coherence: f64) -> (f64, Recovery) {
        let elapsed_ms = hours * HOUR_MS;
        let confidence = resume_confidence(&Interruption { elapsed_ms, completeness, coherence });
        (confidence, recovery(confidence))
    }

    #[test]
    fn the_formula_is_the_stated_one() {
        assert_eq!(at(0, 1.0, 1.0), (1.0, Recovery::Resume));
        let (day, what) = at(24, 1.0, 1.0);
        assert!((day - (0.4 / std::f64::consts::E + 0.6)).abs() < 1e-12);
        assert_eq!(what, Recovery::Ask);
        assert_eq!(at(0, 1.0, 0.0).1, Recovery::Resume, "exactly 0.8");
        assert_eq!(at(0, 0.5, 1.0).1, Recovery::Resume, "exactly 0.8 in another way");
        assert_eq!(at(100_000, 1.0, 0.5).1, Recovery::Ask, "exactly 0.5");
        assert_eq!(at(72, 0.5, 0.5).1, Recovery::Archive);
        assert_eq!(at(0, f64::NAN, 7.0).0, at(-5, 0.0, 1.0).0);
    }

    #[test]
    fn newest_messages_fit_first() {
        let message = |seq: i64, text: &str| Message {
            seq,
            role: Role::User,
            author: String::new(),
            text: text.to_owned(),
            refs: None,
            at_ms: seq,
        };
        let count = |text: &str| text.split_whitespace().count();
        let all = [message(1, "a b c"), message(2, "d"), message(3, "e f")];
        let fit = |budget| {
            let mut fit = Fit::new(all.len(), budget, &count);
            let _ = all.iter().rev().all(|m| fit.take(m.clone()));
            fit.rebuilt()
        };
        let seqs = |of: &Rebuilt| of.messages.iter().map(|m| m.seq).collect::<Vec<_>>();
        // Each message costs its words and 4, the note 9 words and 4.
        let whole = fit(18);
        assert_eq!((seqs(&whole), whole.note, whole.tokens), (vec![1, 2, 3], None, 18));
        let all: Vec<Message> = (1..=9).map(|seq| message(seq, "a b")).collect();
        let fit = |budget| {
            let mut fit = Fit::new(all.len(), budget, &count);
            let _ = all.iter().rev().all(|m| fit.take(m.clone()));
            fit.rebuilt()
        };
        let some = fit(13 + 6 * 2 + 5);
        assert_eq!((seqs(&some), some.n_left_out, some.tokens), (vec![8, 9], 7, 25));
        let note = some.note.as_deref();
        assert_eq!(note, Some("[7 earlier messages of this session are left out]"));
        let none = fit(13);
        assert_eq!((seqs(&none), none.n_left_out, none.tokens), (vec![], 9, 13));
        let none = fit(3);
        assert_eq!((seqs(&none), none.n_left_out, none.note, none.tokens), (vec![], 9, None, 0));
    }

    proptest! {
        #[test]
        fn a_rebuild_keeps_its_budget_and_leaves_no_gap(
            sizes in prop::collection::vec(0usize..50, 0..30), budget in 0usize..400,
        ) {
            let count = |text: &str| text.len();
            let mut fit = Fit::new(sizes.len(), budget, &count);
            for (at, size) in sizes.iter().enumerate().rev() {
                let message = Message {
                    seq: at as i64,
                    role: Role::Model,
                    author: String::new(),
                    text: "x".repeat(*size),
                    refs: None,
                    at_ms: 0,
                };
                if !fit.take(message) {
                    break;
                }
            }
            let rebuilt = fit.rebuilt();
            let said: usize = rebuilt.messages.iter().map(|m| m.text.len() + MESSAGE_TOKENS).sum();
            let note = rebuilt.note.as_ref().map_or(0, |note| note.len() + MESSAGE_TOKENS);
            prop_assert!(rebuilt.tokens <= budget && rebuilt.tokens == said + note);
            let seqs: Vec<i64> = rebuilt.messages.iter().map(|m| m.seq).collect();
            let wanted: Vec<i64> = (rebuilt.n_left_out as i64..sizes.len() as i64).collect();
            prop_assert_eq!(seqs, wanted);
        }

        #[test]
        fn confidence_is_a_share_and_falls_with_time(
            hours in 0i64..10_000, more in 0i64..1_000, a in 0.0..=1.0f64, b in 0.0..=1.0f64,
        ) {
            let (now, later) = (at(hours, a, b).0, at(hours + more, a, b).0);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&now) && later <= now);
        }
    }
}

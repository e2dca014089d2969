//! An answer as it grows out of pieces.
//!
//! Invariant: nothing without a finish reason and without text becomes an answer.

use crate::ask::{Finish, Usage};
use crate::dialect::Piece;
use crate::error::{FailureKind, Fault};

/// Longest text of an answer, in bytes.
pub(crate) const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What has come so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub text: String,
    pub version: Option<String>,
    finish: Option<Finish>,
    broken: Option<Fault>,
    usage: Usage,
    /// The provider has counted what it wrote; a gateway that does not know says 0.
    counted: bool,
    /// The model has begun.
    pub begun: bool,
    /// Nothing follows.
    pub done: bool,
}

/// A complete answer of one call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Whole {
    pub text: String,
    pub version: Option<String>,
    pub finish: Finish,
    /// Nothing where the provider does not count.
    pub usage: Option<Usage>,
}

impl Draft {
    /// Adds a piece.
    pub fn take(&mut self, piece: Piece) -> Result<(), Fault> {
        match piece {
            Piece::Text(text) => {
                self.begun = true;
                if self.text.len() + text.len() > ANSWER_BYTES_MAX {
                    let note = format!("it is over {ANSWER_BYTES_MAX} bytes");
                    return Err(Fault::new(FailureKind::Malformed, note));
                }
                self.text.push_str(&text);
            }
            Piece::Thought => self.begun = true,
            // What the filter said first is not taken back by the end of the stream.
            Piece::Finish(_) if self.finish == Some(Finish::Filter) => {}
            Piece::Finish(finish) => self.finish = Some(finish),
            Piece::Broken(fault) => self.broken = Some(fault),
            Piece::Count(count) => {
                let usage = &mut self.usage;
                usage.input = count.input.unwrap_or(usage.input);
                usage.output = count.output.unwrap_or(usage.output);
                usage.cached = count.cached.unwrap_or(usage.cached);
                usage.reasoning = count.reasoning.unwrap_or(usage.reasoning);
                self.counted |= count.output.is_some_and(|output| output > 0);
            }
            Piece::Version(version) => self.version = Some(version.chars().take(200).collect()),
            Piece::Done => self.done = true,
        }
        Ok(())
    }

    /// It has said why it ended; counts may follow.
    pub fn ended(&self) -> bool {
        self.finish.is_some() || self.broken.is_some()
    }

    /// What the provider has counted of it; nothing before its end.
    pub fn counts(&self) -> Option<Usage> {
        (self.counted && self.ended()).then_some(self.usage)
    }

    /// The answer, if it is one.
    pub fn whole(self) -> Result<Whole, Fault> {
        if let Some(fault) = self.broken {
            return Err(fault);
        }
        let Some(finish) = self.finish else {
            let note = "its stream ended without a finish reason";
            return Err(Fault::new(FailureKind::Truncated, note));
        };
        if finish == Finish::Filter {
            return Err(Fault::new(FailureKind::Filter, ""));
        }
        if self.text.trim().is_empty() {
            let cut = finish == Finish::Length;
            return Err(Fault::new(FailureKind::Empty { cut }, ""));
        }
        let usage = self.counted.then_some(self.usage);
        Ok(Whole { text: self.text, version: self.version, finish, usage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Count;

    fn whole(pieces: &[Piece]) -> Result<Whole, FailureKind> {
        let mut draft = Draft::default();
        for piece in pieces {
            draft.take(piece.clone()).map_err(|fault| fault.kind)?;
        }
        draft.whole().map_err(|fault| fault.kind)
    }

    #[test]
    fn only_the_complete_is_an_answer() {
        let text = Piece::Text("yes".to_owned());
        let end = |finish: Finish| Piece::Finish(finish);
        let count = Count { output: Some(3), ..Count::default() };
        let good = whole(&[text.clone(), end(Finish::Stop), Piece::Count(count)]).expect("whole");
        assert_eq!((good.text.as_str(), good.usage.map(|u| u.output)), ("yes", Some(3)));
        assert_eq!(whole(&[text.clone(), Piece::Done]), Err(FailureKind::Truncated));
        assert_eq!(whole(&[end(Finish::Stop)]), Err(FailureKind::Empty { cut: false }));
        assert_eq!(whole(&[end(Finish::Length)]), Err(FailureKind::Empty { cut: true }));
        let none = Count { output: Some(0), ..Count::default() };
        let uncounted = whole(&[text.clone(), end(Finish::Stop), Piece::Count(none)]);
        assert_eq!(uncounted.expect("whole").usage, None, "a text of no tokens was not counted");
        let filtered = [text.clone(), end(Finish::Filter), end(Finish::Stop)];
        assert_eq!(whole(&filtered), Err(FailureKind::Filter));
        let long = Piece::Text("x".repeat(ANSWER_BYTES_MAX));
        assert_eq!(whole(&[long, text]), Err(FailureKind::Malformed));
    }
}

//! Streams of bytes cut into events: server-sent events and lines of JSON.
//!
//! Invariant: where the chunks of the network begin and end makes no difference, and no line or
//! event is longer than its bound.

/// Longest line, in bytes; a delta has some hundred.
pub(crate) const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Longest event, in bytes: `data:` may stand on many lines.
pub(crate) const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How a dialect cuts its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Server-sent events (WHATWG HTML, section 9.2).
    Sse,
    /// One JSON value a line.
    Lines,
}

/// A line or an event is over its bound, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong(pub usize);

/// Cuts a stream, chunk by chunk.
pub(crate) struct Cutter {
    framing: Framing,
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    first_line: bool,
}

impl Cutter {
    pub fn new(framing: Framing) -> Self {
        let (line, data) = (Vec::new(), Vec::new());
        Cutter { framing, line, data, has_data: false, after_cr: false, first_line: true }
    }

    /// Takes a chunk and gives the events that are complete with it.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut out = Vec::new();
        for byte in chunk {
            let after_cr = std::mem::replace(&mut self.after_cr, *byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => self.end_line(&mut out)?,
                _ if self.line.len() == LINE_BYTES_MAX => return Err(TooLong(LINE_BYTES_MAX)),
                _ => self.line.push(*byte),
            }
        }
        Ok(out)
    }

    /// What is left at the end of the stream: an event whose last line break is missing. It may be
    /// half of one.
    pub fn rest(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.end_line(&mut out).ok()?;
        if self.framing == Framing::Sse && out.is_empty() {
            self.end_line(&mut out).ok()?;
        }
        out.pop()
    }

    fn end_line(&mut self, out: &mut Vec<Vec<u8>>) -> Result<(), TooLong> {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.first_line) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if self.framing == Framing::Lines {
            if !line.trim_ascii().is_empty() {
                out.push(line);
            }
            return Ok(());
        }
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            if std::mem::take(&mut self.has_data) {
                out.push(data);
            }
            return Ok(());
        }
        // Of the fields only `data` counts: every dialect repeats the event's name in it.
        let Some(value) = field(&line, b"data") else { return Ok(()) };
        if self.data.len() + value.len() >= EVENT_BYTES_MAX {
            return Err(TooLong(EVENT_BYTES_MAX));
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        Ok(())
    }
}

/// Value of a line if it is that field.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    match rest.strip_prefix(b":") {
        Some(value) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        None if rest.is_empty() => Some(rest),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(framing: Framing, chunks: &[&[u8]]) -> Vec<String> {
        let mut cutter = Cutter::new(framing);
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend(cutter.push(chunk).expect("within bounds"));
        }
        out.extend(cutter.rest());
        out.iter().map(|event| String::from_utf8_lossy(event).into_owned()).collect()
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let text = b"\xef\xbb\xbfdata: a\n\n: comment\nevent: x\nid: 1\ndata:b\r\ndata: c\r\n\r\n\
                     data\n\ndatax: no\n\rdata:  two\r\rdata: last";
        let events = cut(Framing::Sse, &[text]);
        assert_eq!(events, ["a", "b\nc", "", " two", "last"]);
    }

    #[test]
    fn lines_are_read_without_blanks() {
        let events = cut(Framing::Lines, &[b"{\"a\":1}\n\n  \r\n{\"b\":2}"]);
        assert_eq!(events, ["{\"a\":1}", "{\"b\":2}"]);
    }

    #[test]
    fn lines_and_events_have_bounds() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        let refused = Cutter::new(Framing::Lines).push(&long);
        assert_eq!(refused, Err(TooLong(LINE_BYTES_MAX)));
        let mut cutter = Cutter::new(Framing::Sse);
        let line = [b"data: ".as_slice(), &vec![b'x'; LINE_BYTES_MAX / 2], b"\n"].concat();
        let refused = (0..100).find_map(|_| cutter.push(&line).err());
        assert_eq!(refused, Some(TooLong(EVENT_BYTES_MAX)));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(
            parts in prop::collection::vec(
                prop_oneof![
                    Just("data: {\"a\":1}"), Just("data:"), Just("\n"), Just("\r"), Just("\r\n"),
                    Just(": c"), Just("event: e"), Just("ü€😀"), Just("x"), Just("\u{feff}"),
                ],
                0..40,
            ),
            cuts in prop::collection::vec(0usize..400, 0..12),
            lines in any::<bool>(),
        ) {
            let framing = if lines { Framing::Lines } else { Framing::Sse };
            let text = parts.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            prop_assert_eq!(cut(framing, &chunks), cut(framing, &[&text]));
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            prop_assert_eq!(cut(framing, &bytes), cut(framing, &[&text]));
        }
    }
}

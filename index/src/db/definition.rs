//! The definitions of a document's row: packed, of which a hit unpacks those that its passage
//! touches. A generated file has thousands, and to unpack them all takes longer than a search.

use super::{FILE, FileRow, file_row};
use crate::error::Result;
use crate::kind::{Section, Symbol};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Deserialize;
use std::ops::Range;

/// A `body` up to so many bytes, some hundred definitions, costs a hit less than its text does.
const SHORT_BODY_BYTES: i64 = 16_384;

/// A [`Symbol`] as it is packed.
#[derive(Deserialize)]
struct Packed<'a> {
    #[serde(borrow)]
    name: &'a [u8],
    #[serde(borrow)]
    kind: &'a [u8],
    bytes: Range<usize>,
    lines: (u32, u32),
    depth: u8,
    #[serde(borrow)]
    signature: &'a [u8],
}

impl Packed<'_> {
    fn symbol(self) -> Option<Symbol> {
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        Some(Symbol {
            name: text(self.name)?,
            kind: text(self.kind)?,
            bytes: self.bytes,
            lines: self.lines,
            depth: self.depth,
            signature: text(self.signature)?,
        })
    }
}

/// The document of row `id`; of its `body` the definitions alone that stand in passage `number`, or
/// around `line`, and these only where all of it is as short as a hit can pay for, or are `wanted`.
pub fn file_of_code(
    db: &Connection,
    id: u32,
    number: u32,
    line: Option<u32>,
    wanted: bool,
) -> Result<Option<FileRow>> {
    let most = if wanted { i64::MAX } else { SHORT_BODY_BYTES };
    let sql = format!(
        "SELECT {FILE}, NULL, CASE WHEN length(body)<=? THEN body END FROM file WHERE id=?"
    );
    let with_definitions = |row: &Row| {
        let mut file = file_row(row)?;
        let passage = file.chunks.get(number as usize).map(|chunk| (chunk.first, chunk.last));
        if let (Some((first, last)), Some(body)) = (passage, row.get_ref(20)?.as_blob_or_null()?) {
            let lines = line.map_or((first, last), |line| (first.min(line), last.max(line)));
            file.body.symbols = within(body, lines);
        }
        Ok(file)
    };
    Ok(db.prepare_cached(&sql)?.query_row(params![most, id], with_definitions).optional()?)
}

/// Those definitions of a packed [`Body`](super::Body) that have a line among these, the last one
/// included; none where it does not unpack, which `synod doctor` finds.
fn within(body: &[u8], lines: (u32, u32)) -> Vec<Symbol> {
    unpack(body, lines).unwrap_or_default()
}

/// Field by field, as the body's struct has them.
fn unpack(body: &[u8], (first, last): (u32, u32)) -> postcard::Result<Vec<Symbol>> {
    let (_aliases, rest) = postcard::take_from_bytes::<Vec<&[u8]>>(body)?;
    let (_tags, rest) = postcard::take_from_bytes::<Vec<&[u8]>>(rest)?;
    let (_sections, rest) = postcard::take_from_bytes::<Vec<Section>>(rest)?;
    let (n, mut rest) = postcard::take_from_bytes::<usize>(rest)?;
    let mut found = Vec::new();
    for _ in 0..n {
        let (packed, after) = postcard::take_from_bytes::<Packed>(rest)?;
        rest = after;
        if packed.lines.0 <= last && first <= packed.lines.1 {
            found.extend(packed.symbol());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::Body;
    use super::*;

    #[test]
    fn definitions_that_touch_a_passage_are_unpacked_as_they_were_packed() {
        let symbol = |n: u32| Symbol {
            name: format!("über_{n}"),
            kind: "function".into(),
            bytes: n as usize * 1_000..n as usize * 1_000 + 999,
            lines: (n * 10, n * 10 + 9),
            depth: n as u8 % 3,
            signature: format!("fn über_{n}(a: u32)"),
        };
        let section = Section { level: 1, text: "Head".into(), bytes: 0..300, line: 1 };
        let body = Body {
            aliases: vec!["other".into()],
            tags: vec!["a".into(), "b/c".into()],
            sections: vec![section],
            symbols: (1..400).map(symbol).collect(),
            blocks: vec![("block".into(), 5..9)],
        };
        let packed = postcard::to_stdvec(&body).unwrap();
        assert_eq!(within(&packed, (0, u32::MAX)), body.symbols);
        assert_eq!(within(&packed, (25, 30)), [symbol(2), symbol(3)]);
        assert_eq!(within(&packed, (0, 9)), []);
        assert_eq!(within(&packed[..packed.len() / 2], (25, 30)), []);
        assert_eq!(within(&[], (0, u32::MAX)), []);
    }
}

//! The passages of a document in its row: packed, and unpacked one by one, since a hit shows one of
//! hundreds.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The borders of a passage, and the hash that proves its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkRow {
    /// First byte.
    pub start: u32,
    /// Byte behind the last one.
    pub end: u32,
    /// First line.
    pub first: u32,
    /// Last line.
    pub last: u32,
    /// Innermost heading.
    pub heading: Option<String>,
    /// Definition in it or around it.
    pub symbol: Option<String>,
    /// Of its text.
    pub hash: [u8; 8],
}

/// The same as it is packed.
#[derive(Serialize, Deserialize)]
struct Packed<'a> {
    start: u32,
    end: u32,
    first: u32,
    last: u32,
    #[serde(borrow)]
    heading: Option<&'a str>,
    #[serde(borrow)]
    symbol: Option<&'a str>,
    hash: [u8; 8],
}

impl Packed<'_> {
    fn row(self) -> ChunkRow {
        ChunkRow {
            start: self.start,
            end: self.end,
            first: self.first,
            last: self.last,
            heading: self.heading.map(str::to_owned),
            symbol: self.symbol.map(str::to_owned),
            hash: self.hash,
        }
    }
}

/// The passages of a document, packed: their number, then one behind the other. A text that does
/// not unpack ends where it breaks; `synod doctor` finds such rows by their number of passages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunks(Vec<u8>);

impl Chunks {
    /// Packs.
    ///
    /// # Errors
    /// `Row` when a row does not serialise, which would be a bug.
    pub fn new(rows: &[ChunkRow]) -> Result<Self> {
        let packed: Vec<Packed> = rows
            .iter()
            .map(|row| Packed {
                start: row.start,
                end: row.end,
                first: row.first,
                last: row.last,
                heading: row.heading.as_deref(),
                symbol: row.symbol.as_deref(),
                hash: row.hash,
            })
            .collect();
        postcard::to_stdvec(&packed).map(Chunks).map_err(|e| Error::Row(e.to_string()))
    }

    /// As they stand in the database.
    pub fn packed(bytes: Vec<u8>) -> Self {
        Chunks(bytes)
    }

    /// As they stand in the database.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.parts().0
    }

    /// There is none: the document is findable by its name only.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn parts(&self) -> (usize, &[u8]) {
        postcard::take_from_bytes(&self.0).unwrap_or((0, &[]))
    }

    /// Passage `number`, from 0.
    pub fn get(&self, number: usize) -> Option<ChunkRow> {
        self.packed_rows().nth(number).map(Packed::row)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = ChunkRow> + '_ {
        self.packed_rows().map(Packed::row)
    }

    /// The hash of passage `number`, from 0.
    pub fn hash(&self, number: usize) -> Option<[u8; 8]> {
        self.hashes().nth(number)
    }

    /// The hashes of all of them, in order.
    pub fn hashes(&self) -> impl Iterator<Item = [u8; 8]> + '_ {
        self.packed_rows().map(|row| row.hash)
    }

    fn packed_rows(&self) -> impl Iterator<Item = Packed<'_>> {
        let (mut left, mut rest) = self.parts();
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let (row, after) = postcard::take_from_bytes(rest).ok()?;
            rest = after;
            Some(row)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_one_by_one() {
        let row = |n: u32| ChunkRow {
            start: n,
            end: n + 300,
            first: n * 7,
            last: n * 7 + 2,
            heading: n.is_multiple_of(2).then(|| format!("Heading {n}")),
            symbol: n.is_multiple_of(3).then(|| format!("Über{n}")),
            hash: [n as u8; 8],
        };
        let rows: Vec<ChunkRow> = (0..300).map(row).collect();
        let chunks = Chunks::new(&rows).unwrap();
        assert_eq!((chunks.len(), chunks.is_empty()), (300, false));
        assert_eq!(chunks.iter().collect::<Vec<_>>(), rows);
        assert_eq!(chunks.get(299).as_ref(), rows.last());
        assert_eq!(chunks.get(300), None);
        assert_eq!(Chunks::default().get(0), None);
        assert!(Chunks::packed(vec![200]).is_empty());
        let cut = Chunks::packed(chunks.bytes()[..chunks.bytes().len() - 1].to_vec());
        assert_eq!(cut.iter().count(), 299);
    }
}

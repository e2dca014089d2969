//! Graphs over sealed rows: hierarchical navigable small worlds (Malkov and Yashunin 2018).
//!
//! Rows only grow, so that every `SEGMENT_ROWS` of them are sealed for good, and a graph over them
//! never changes. `hnsw_rs` builds it; what it built is written flat, mapped by every process, and
//! searched here over the rows' own cosines. Rows that no graph covers are measured.
//! Invariant: a graph says which rows to measure, never how near they are.

use crate::error::{Error, Result};
use crate::vector::{QueryVector, Rows};
use hnsw_rs::prelude::{Distance, Hnsw};
use memmap2::Mmap;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Rows of a full graph. Building keeps about 2 KB a row in memory.
pub const SEGMENT_ROWS: u32 = 250_000;
/// Neighbours of a row above the ground.
const NEIGHBOURS: usize = 16;
/// Neighbours of a row on the ground.
const GROUND: usize = 2 * NEIGHBOURS;
/// Rows that are looked at for each that is added.
const EF_CONSTRUCTION: usize = 150;
/// Levels at most.
const LEVELS: usize = 12;
/// No neighbour.
const NONE: u32 = u32::MAX;
/// First bytes of a file. A change of the layout is another number.
const MAGIC: &[u8; 8] = b"synodhn1";
/// Numbers before the first neighbour.
const HEAD: usize = 16;
/// Rows between two looks at whether to go on.
const STRIDE: usize = 256;

/// How the nearest rows are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VectorIndex {
    /// All rows are looked at, by their signs where there are many, until there are
    /// `SEGMENT_ROWS` of them; those have a graph.
    #[default]
    Auto,
    /// All rows are measured.
    Exact,
    /// Every row has its place in a graph, but for the newest.
    Hnsw,
}

/// A row and how near it is.
#[derive(Clone, Copy, PartialEq)]
struct Near(f32, u32);

impl Eq for Near {}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0).then(other.1.cmp(&self.1))
    }
}

/// Distances between rows by their numbers: the builder needs no copy of them.
struct Between<'r>(&'r Rows);

impl Distance<u32> for Between<'_> {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        // Rounding may put a row nearer to another than to itself.
        (1.0 - self.0.between(a[0], b[0])).max(0.0)
    }
}

fn path(dir: &Path, space: i64, segment: u32) -> PathBuf {
    dir.join("vectors").join(format!("{space}.hnsw-{segment}"))
}

/// The graph of a segment, flat.
pub struct Graph {
    map: Mmap,
    /// Its first row.
    first: u32,
    n_rows: u32,
    /// Where every search begins.
    entry: u32,
    levels: u32,
    n_upper: usize,
}

impl Graph {
    /// Rows that it covers.
    pub fn rows(&self) -> std::ops::Range<u32> {
        self.first..self.first + self.n_rows
    }

    /// Opens the graph of a segment, if there is a sound one that fits the rows.
    fn open(dir: &Path, space: i64, segment: u32, rows: &Rows) -> Option<Self> {
        let file = File::open(path(dir, space, segment)).ok()?;
        // SAFETY: it is only read, and replaced whole, never written into.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }.ok()?;
        let words: &[u32] = bytemuck::try_cast_slice(&map).ok()?;
        let head: &[u32; HEAD] = words.get(..HEAD)?.try_into().ok()?;
        let [_, _, first, n_rows, entry, levels, n_upper, ..] = *head;
        let end = first.checked_add(n_rows).filter(|end| n_rows > 0 && *end <= rows.len())?;
        if *head != header(rows, first..end, entry, levels, n_upper) {
            return None;
        }
        let len = HEAD + n_rows as usize * GROUND + n_upper as usize * (2 + NEIGHBOURS);
        let fits = words.len() == len && first == segment * SEGMENT_ROWS && entry < n_rows;
        fits.then_some(Graph { first, n_rows, entry, levels, n_upper: n_upper as usize, map })
    }

    fn words(&self) -> &[u32] {
        bytemuck::try_cast_slice(&self.map).unwrap_or_default()
    }

    /// Neighbours on the ground.
    fn ground(&self, row: u32) -> &[u32] {
        &self.words()[HEAD + row as usize * GROUND..][..GROUND]
    }

    /// Neighbours on a level above.
    fn above(&self, level: u32, row: u32) -> &[u32] {
        let upper = &self.words()[HEAD + self.n_rows as usize * GROUND..];
        let record = |at: usize| &upper[at * (2 + NEIGHBOURS)..][..2 + NEIGHBOURS];
        let (mut low, mut high) = (0, self.n_upper);
        while low < high {
            let at = low.midpoint(high);
            match (record(at)[0], record(at)[1]).cmp(&(level, row)) {
                Ordering::Less => low = at + 1,
                Ordering::Greater => high = at,
                Ordering::Equal => return &record(at)[2..],
            }
        }
        &[]
    }

    /// Some `ef` rows near a query that are wanted, with their cosines, in no order.
    fn nearest(
        &self,
        rows: &Rows,
        query: &QueryVector,
        ef: usize,
        wanted: &dyn Fn(u32) -> bool,
        out: &mut Vec<(u32, f32)>,
    ) {
        let cosine = |row: u32| rows.cosine(self.first + row, query);
        let mut best = Near(cosine(self.entry), self.entry);
        for level in (1..=self.levels).rev() {
            loop {
                let known = best;
                let near = self.above(level, known.1).iter().filter(|row| **row < self.n_rows);
                best = near.map(|row| Near(cosine(*row), *row)).fold(best, Near::max);
                // By order and not by value: no number equals one that is none.
                if best.cmp(&known).is_eq() {
                    break;
                }
            }
        }
        let mut seen = vec![0u64; (self.n_rows as usize).div_ceil(64)];
        let mut first = |row: u32| {
            let (word, bit) = (&mut seen[row as usize / 64], 1u64 << (row % 64));
            let first = *word & bit == 0;
            *word |= bit;
            first
        };
        first(best.1);
        let mut open = BinaryHeap::from([best]);
        let wanted = |row: u32| wanted(self.first + row);
        let mut kept: BinaryHeap<Reverse<Near>> = BinaryHeap::new();
        kept.extend(wanted(best.1).then_some(Reverse(best)));
        let mut new = Vec::with_capacity(GROUND);
        while let Some(next) = open.pop() {
            let worst = kept.peek().map_or(f32::MIN, |near| near.0.0);
            if kept.len() >= ef && next.0 < worst {
                break;
            }
            new.clear();
            let neighbours = self.ground(next.1).iter().copied();
            new.extend(neighbours.filter(|row| *row < self.n_rows && first(*row)));
            // They lie anywhere in a file larger than the cache.
            new.iter().for_each(|row| rows.fetch(self.first + row));
            for row in new.iter().copied() {
                let near = Near(cosine(row), row);
                if kept.len() < ef || kept.peek().is_some_and(|worst| near > worst.0) {
                    // Through what is gone one still comes to what is there.
                    open.push(near);
                    kept.extend(wanted(row).then_some(Reverse(near)));
                    if kept.len() > ef {
                        kept.pop();
                    }
                }
            }
        }
        out.extend(kept.into_iter().map(|near| (self.first + near.0.1, near.0.0)));
    }
}

/// What stands before the neighbours: also of which rows they are.
fn header(
    rows: &Rows,
    range: std::ops::Range<u32>,
    entry: u32,
    levels: u32,
    n_upper: u32,
) -> [u32; HEAD] {
    let mut head = [0; HEAD];
    let [first, second] = [0, 4].map(|at| [0, 1, 2, 3].map(|byte| MAGIC[at + byte]));
    (head[0], head[1]) = (u32::from_le_bytes(first), u32::from_le_bytes(second));
    (head[2], head[3]) = (range.start, range.end - range.start);
    (head[4], head[5], head[6]) = (entry, levels, n_upper);
    let mut hasher = blake3::Hasher::new();
    hasher.update(bytemuck::cast_slice(&head));
    for row in [range.start, range.start.midpoint(range.end), range.end - 1] {
        hasher.update(bytemuck::cast_slice(&rows.vector(row)));
    }
    let hash = hasher.finalize();
    for (at, bytes) in hash.as_bytes().chunks_exact(4).enumerate() {
        head[8 + at] = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    head
}

/// The graphs of a space.
#[derive(Default)]
pub struct Graphs {
    all: Vec<Graph>,
}

impl Graphs {
    /// Opens those that are there; with `partial` also one that is not full.
    pub fn open(dir: &Path, space: i64, rows: &Rows, partial: bool) -> Self {
        let segments = 0..rows.len().div_ceil(SEGMENT_ROWS);
        let graphs = segments.filter_map(|at| Graph::open(dir, space, at, rows));
        Graphs { all: graphs.filter(|graph| partial || graph.n_rows == SEGMENT_ROWS).collect() }
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Rows of `0..n_rows` that none covers.
    pub fn uncovered(&self, n_rows: u32) -> Vec<u32> {
        let mut next = 0;
        let mut out = Vec::new();
        for graph in &self.all {
            out.extend(next..graph.rows().start);
            next = graph.rows().end;
        }
        out.extend(next..n_rows.max(next));
        out
    }

    /// Some `ef` wanted rows of each graph near a query, with their cosines.
    pub fn nearest(
        &self,
        rows: &Rows,
        query: &QueryVector,
        ef: usize,
        wanted: &dyn Fn(u32) -> bool,
    ) -> Vec<(u32, f32)> {
        let mut out = Vec::new();
        self.all.iter().for_each(|graph| graph.nearest(rows, query, ef, wanted, &mut out));
        out
    }
}

/// The next segment that lacks a graph: with `partial` also one that is not full, once rows that
/// none covers are a quarter of it.
pub fn wanting(dir: &Path, space: i64, rows: &Rows, partial: bool) -> Option<u32> {
    let graphs = Graphs::open(dir, space, rows, partial);
    (0..rows.len().div_ceil(SEGMENT_ROWS)).find(|segment| {
        let (first, next) = (segment * SEGMENT_ROWS, (segment + 1) * SEGMENT_ROWS);
        let graph = graphs.all.iter().find(|graph| graph.first == first);
        let covered = graph.map_or(0, |graph| graph.n_rows);
        let there = next.min(rows.len()) - first;
        let full = there == SEGMENT_ROWS;
        covered < there && (full || partial && (there - covered) * 4 >= there)
    })
}

/// Builds the graph of a segment on this thread and puts it in its place whole. Returns whether it
/// did: `go_on` may end it.
///
/// # Errors
/// `Data` when it cannot be written.
pub fn build(
    dir: &Path,
    space: i64,
    rows: &Rows,
    segment: u32,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<bool> {
    let first = segment * SEGMENT_ROWS;
    let n_rows = rows.len().min(first + SEGMENT_ROWS).saturating_sub(first);
    if n_rows == 0 {
        return Ok(false);
    }
    let graph = Hnsw::new(NEIGHBOURS, n_rows as usize, LEVELS, EF_CONSTRUCTION, Between(rows));
    let numbers: Vec<u32> = (first..first + n_rows).collect();
    for part in numbers.chunks(STRIDE) {
        if !go_on() {
            return Ok(false);
        }
        for row in part {
            graph.insert_slice((std::slice::from_ref(row), (row - first) as usize));
        }
    }
    let bytes = flatten(&graph, rows, first..first + n_rows);
    let path = path(dir, space, segment);
    // Of this process alone: a writer that has lost its lock may still be building.
    let new = format!("{space}.new-hnsw-{segment}-{}", std::process::id());
    let new = dir.join("vectors").join(new);
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        std::fs::rename(&new, &path)
    };
    let written = write().map_err(|e| Error::data(&path, e));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written.map(|()| true)
}

fn flatten(graph: &Hnsw<u32, Between>, rows: &Rows, range: std::ops::Range<u32>) -> Vec<u8> {
    let n_rows = range.end - range.start;
    let mut ground = vec![NONE; n_rows as usize * GROUND];
    let mut upper: Vec<[u32; 2 + NEIGHBOURS]> = Vec::new();
    let (mut entry, mut levels) = (0, 0);
    for point in graph.get_point_indexation() {
        let row = point.get_origin_id() as u32;
        let own_level = u32::from(point.get_point_id().0);
        if own_level > levels {
            (entry, levels) = (row, own_level);
        }
        for (level, neighbours) in (0..=own_level).zip(point.get_neighborhood_id()) {
            let numbers = neighbours.iter().map(|neighbour| neighbour.d_id as u32);
            if level == 0 {
                let places = ground[row as usize * GROUND..][..GROUND].iter_mut();
                places.zip(numbers).for_each(|(place, number)| *place = number);
            } else {
                let mut record = [NONE; 2 + NEIGHBOURS];
                (record[0], record[1]) = (level, row);
                record[2..].iter_mut().zip(numbers).for_each(|(place, number)| *place = number);
                upper.push(record);
            }
        }
    }
    upper.sort_unstable();
    let head = header(rows, range, entry, levels, upper.len() as u32);
    let mut bytes = bytemuck::cast_slice(&head).to_vec();
    bytes.extend_from_slice(bytemuck::cast_slice(&ground));
    upper.iter().for_each(|record| bytes.extend_from_slice(bytemuck::cast_slice(record)));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::{append, tests::unit};

    fn rows(dir: &Path, seeds: std::ops::Range<u32>, n_rows: u32) -> Rows {
        let vectors: Vec<Vec<f32>> = seeds.map(|seed| unit(seed, 32)).collect();
        append(dir, 1, 32, n_rows, &vectors).expect("written");
        Rows::open(dir, 1, 32, n_rows + vectors.len() as u32).expect("rows")
    }

    #[test]
    fn a_graph_leads_to_the_nearest_and_fits_its_rows_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let all = rows(dir.path(), 1..2_001, 0);
        assert_eq!(wanting(dir.path(), 1, &all, false), None, "not full");
        assert_eq!(wanting(dir.path(), 1, &all, true), Some(0));
        assert!(!build(dir.path(), 1, &all, 0, &|| false).expect("ended"));
        assert!(
            Graphs::open(dir.path(), 1, &all, true).is_empty(),
            "nothing of one that was ended"
        );
        assert!(build(dir.path(), 1, &all, 0, &|| true).expect("built"));
        assert_eq!(wanting(dir.path(), 1, &all, true), None);
        let graphs = Graphs::open(dir.path(), 1, &all, true);
        let mut kept = 0;
        for probe in 0..50 {
            let query = QueryVector::new(&unit(9_000 + probe, 32));
            let mut near = graphs.nearest(&all, &query, 64, &|_| true);
            near.sort_unstable_by(|a, b| b.1.total_cmp(&a.1));
            let mut truth: Vec<(u32, f32)> =
                (0..all.len()).map(|row| (row, all.cosine(row, &query))).collect();
            truth.sort_unstable_by(|a, b| b.1.total_cmp(&a.1));
            kept += truth[..10].iter().filter(|row| near[..10].contains(row)).count();
        }
        assert!(kept >= 480, "{kept} of 500");
        // Only some of them wanted: as many are found.
        let query = QueryVector::new(&unit(9_000, 32));
        let some = graphs.nearest(&all, &query, 64, &|row| row % 50 == 3);
        assert!(some.len() >= 38 && some.iter().all(|(row, _)| row % 50 == 3), "{}", some.len());
        assert!(Graphs::open(dir.path(), 1, &all, false).is_empty(), "it is not full");
        // More rows: some are uncovered, then enough for another graph.
        let more = rows(dir.path(), 2_001..2_301, 2_000);
        let graphs = Graphs::open(dir.path(), 1, &more, true);
        assert_eq!(graphs.uncovered(more.len()), (2_000..2_300).collect::<Vec<_>>());
        assert_eq!(wanting(dir.path(), 1, &more, true), None);
        let more = rows(dir.path(), 2_301..2_801, 2_300);
        assert_eq!(wanting(dir.path(), 1, &more, true), Some(0));
        // Another space's rows, or one that was cut or damaged: as if it were not there.
        let sound = std::fs::read(path(dir.path(), 1, 0)).expect("a graph");
        let other = tempfile::tempdir().expect("a folder");
        let rows = rows(other.path(), 5_001..7_001, 0);
        std::fs::write(path(other.path(), 1, 0), &sound).expect("written");
        assert!(Graphs::open(other.path(), 1, &rows, true).is_empty());
        for bad in [&sound[..sound.len() - 4], &sound[..40], b"", &sound[1..]] {
            std::fs::write(path(dir.path(), 1, 0), bad).expect("written");
            assert!(Graphs::open(dir.path(), 1, &all, true).is_empty());
        }
        // Neighbours that there cannot be are passed over.
        let mut wild = sound.clone();
        wild[4 * HEAD..4 * (HEAD + 900 * GROUND)].fill(0xEE);
        std::fs::write(path(dir.path(), 1, 0), wild).expect("written");
        let graphs = Graphs::open(dir.path(), 1, &all, true);
        let query = QueryVector::new(&unit(9_000, 32));
        graphs
            .nearest(&all, &query, 64, &|_| true)
            .iter()
            .for_each(|(row, _)| assert!(*row < all.len()));
    }
}

//! Matrices in 7 bits as the kernels read them, in a file beside the model that every process maps:
//! packed once, shared by all.
//!
//! The file is derived: what it was made from stands in its head, and it is made anew whenever it
//! does not fit or is damaged. Where it cannot be written the process keeps its own copy.
//! Invariant: what it says and what it holds are those whose hash stands in it.

use crate::error::{Error, Result};
use crate::install::MANIFEST;
use crate::kernel::{Outputs, PANEL, QUAD, STEP};
use crate::weight::Weights;
use memmap2::{Mmap, MmapMut};
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Name of the file. A change of the layout is another name.
const FILE: &str = "model.7bit-1";
/// Bytes before the first matrix: what it was made from, and the hash of that and what follows.
const HEAD: usize = 128;
/// Where a part of the file may begin: at the border of the widest register.
const ALIGN: usize = 64;
/// A file that was begun is nobody's any more after this long.
const UNFINISHED_AFTER: Duration = Duration::from_secs(600);
/// Largest magnitude of a weight in 7 bits.
const WEIGHT_MAX: f32 = 63.0;

/// Some matrices of the model file with the same inputs, their outputs one behind the other.
pub struct Matrix {
    /// Names without `.weight` and `.bias`, and how many outputs each has.
    pub parts: Vec<(String, usize)>,
    pub inputs: usize,
}

impl Matrix {
    /// Of all parts.
    pub fn outputs(&self) -> usize {
        self.parts.iter().map(|(_, outputs)| outputs).sum()
    }

    /// A row of weights for each output.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn rows(&self, weights: &Weights) -> Result<Vec<f32>> {
        self.all(|name, outputs| weights.all(&format!("{name}.weight"), outputs, self.inputs))
    }

    /// A value for each output.
    ///
    /// # Errors
    /// `Damaged`.
    pub fn bias(&self, weights: &Weights) -> Result<Vec<f32>> {
        self.all(|name, outputs| weights.all(&format!("{name}.bias"), 1, outputs))
    }

    fn all(&self, of: impl Fn(&str, usize) -> Result<Vec<f32>>) -> Result<Vec<f32>> {
        let mut all = Vec::new();
        for (name, outputs) in &self.parts {
            all.extend(of(name, *outputs)?);
        }
        Ok(all)
    }
}

/// Where a matrix lies in the file.
#[derive(Clone)]
struct Place {
    panels: Range<usize>,
    scales: Range<usize>,
    sums: Range<usize>,
}

impl Place {
    /// Of `outputs` rows of `inputs` values, from `start` on.
    fn new(start: usize, inputs: usize, outputs: usize) -> Self {
        let after = |end: usize, len: usize| {
            let start = end.next_multiple_of(ALIGN);
            start..start + len
        };
        let len = outputs.div_ceil(PANEL) * inputs.div_ceil(QUAD) * STEP;
        let panels = after(start, len);
        let scales = after(panels.end, 4 * outputs);
        let sums = after(scales.end, 4 * outputs);
        Place { panels, scales, sums }
    }
}

/// A matrix of the shared file.
pub struct Panels {
    map: Arc<Mmap>,
    place: Place,
}

impl Panels {
    /// Of one matrix alone, in memory of its own.
    #[cfg(test)]
    pub fn of(rows: &[f32], inputs: usize) -> std::io::Result<Self> {
        let place = Place::new(0, inputs, rows.len() / inputs);
        let mut own = MmapMut::map_anon(place.sums.end)?;
        pack(rows, inputs, &place, &mut own);
        Ok(Panels { map: Arc::new(own.make_read_only()?), place })
    }

    /// The panels, one behind the other.
    pub fn bytes(&self) -> &[u8] {
        &self.map[self.place.panels.clone()]
    }

    /// What turns their sums back into values.
    pub fn outputs<'a>(&'a self, bias: &'a [f32]) -> Outputs<'a> {
        let part = |range: &Range<usize>| &self.map[range.clone()];
        Outputs {
            scales: bytemuck::cast_slice(part(&self.place.scales)),
            sums: bytemuck::cast_slice(part(&self.place.sums)),
            bias,
        }
    }
}

/// What a file of panels was made from.
#[derive(Clone, PartialEq)]
struct Source {
    bytes: u64,
    modified_ns: u128,
}

impl Source {
    fn of(weights: &Path) -> std::io::Result<Self> {
        let file = std::fs::metadata(weights)?;
        let since = file.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(Source { bytes: file.len(), modified_ns: since.as_nanos() })
    }

    /// The head of a file with this body, from weights with this hash.
    fn head(&self, revision: &[u8; 32], body: &[u8]) -> Vec<u8> {
        let mut head = b"synod 7b".to_vec();
        head.extend(self.bytes.to_le_bytes());
        head.extend(self.modified_ns.to_le_bytes());
        head.extend(revision);
        let hash = blake3::Hasher::new().update(&head).update(body).finalize();
        head.extend(hash.as_bytes());
        head.resize(HEAD, 0);
        head
    }
}

/// All matrices of a model in 7 bits, and the hash of the file they came from.
pub struct Packed {
    map: Arc<Mmap>,
    places: Vec<Place>,
    revision: [u8; 32],
}

impl Packed {
    /// Maps the file in `folder`, which is made first where there is none that fits.
    ///
    /// # Errors
    /// `Damaged` for weights that are no numbers, `File` when there is no memory for a copy.
    pub fn open(folder: &Path, weights: &Weights, matrices: &[Matrix]) -> Result<Self> {
        let mut end = HEAD;
        let places: Vec<Place> = matrices
            .iter()
            .map(|matrix| {
                let place = Place::new(end, matrix.inputs, matrix.outputs());
                end = place.sums.end;
                place
            })
            .collect();
        let path = folder.join(FILE);
        let source = Source::of(weights.path());
        if let Ok(source) = &source
            && let Some((map, revision)) = mapped(&path, end, source)
        {
            return Ok(Packed { map: Arc::new(map), places, revision });
        }
        let failed = |source| Error::File { path: path.clone(), source };
        let mut own = MmapMut::map_anon(end).map_err(failed)?;
        for (matrix, place) in matrices.iter().zip(&places) {
            pack(&matrix.rows(weights)?, matrix.inputs, place, &mut own);
        }
        let revision = weights.hash();
        if let Ok(source) = &source {
            let head = source.head(&revision, &own[HEAD..]);
            own[..HEAD].copy_from_slice(&head);
            // Only where models are installed: other folders are not ours to write to.
            if folder.join(MANIFEST).exists()
                && write(&path, &own).is_ok()
                && let Some((map, revision)) = mapped(&path, end, source)
            {
                return Ok(Packed { map: Arc::new(map), places, revision });
            }
        }
        let map = own.make_read_only().map_err(failed)?;
        Ok(Packed { map: Arc::new(map), places, revision })
    }

    /// The matrix at a place in the list that it was opened with.
    pub fn panels(&self, at: usize) -> Panels {
        Panels { map: Arc::clone(&self.map), place: self.places[at].clone() }
    }

    /// BLAKE3 of the weights' file.
    pub fn revision(&self) -> [u8; 32] {
        self.revision
    }
}

/// A file that is whole and made from `source`, and the hash of that.
fn mapped(path: &Path, len: usize, source: &Source) -> Option<(Mmap, [u8; 32])> {
    let file = File::open(path).ok()?;
    // SAFETY: it is only read, and replaced whole, never written into.
    #[allow(unsafe_code)]
    let map = unsafe { Mmap::map(&file) }.ok()?;
    if map.len() != len {
        return None;
    }
    let revision: [u8; 32] = map[32..64].try_into().ok()?;
    let head = source.head(&revision, &map[HEAD..]);
    (map[..HEAD] == head).then_some((map, revision))
}

/// Removes what a process left that was ended while it wrote, some minutes ago at least.
fn forget_unfinished(path: &Path) {
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let unfinished = entry.file_name().to_string_lossy().starts_with("model.new-");
        let age = entry.metadata().and_then(|file| file.modified()).ok();
        let age = age.and_then(|at| at.elapsed().ok());
        if unfinished && age.is_some_and(|age| age > UNFINISHED_AFTER) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Puts the file in its place whole.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    forget_unfinished(path);
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        std::fs::rename(&new, path)
    };
    let written = write();
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// A row of weights in 7 bits.
pub struct SmallRow {
    pub weights: Vec<i8>,
    pub scale: f32,
    /// Of the weights.
    pub sum: i32,
}

impl SmallRow {
    /// Of weights that are numbers.
    pub fn new(row: &[f32]) -> Self {
        let most = row.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let scale = if most > 0.0 { most / WEIGHT_MAX } else { 1.0 };
        let weights: Vec<i8> = row.iter().map(|value| (value / scale).round() as i8).collect();
        let sum = weights.iter().map(|weight| i32::from(*weight)).sum();
        SmallRow { weights, scale, sum }
    }
}

/// Lays out rows of `inputs` weights: `PANEL` outputs side by side, `QUAD` inputs of each.
fn pack(rows: &[f32], inputs: usize, place: &Place, out: &mut [u8]) {
    let n_words = inputs.div_ceil(QUAD);
    for (output, row) in rows.chunks_exact(inputs).enumerate() {
        let row = SmallRow::new(row);
        let first = place.panels.start + output / PANEL * n_words * STEP + output % PANEL * QUAD;
        for (input, weight) in row.weights.iter().enumerate() {
            out[first + input / QUAD * STEP + input % QUAD] = *weight as u8;
        }
        out[place.scales.start + 4 * output..][..4].copy_from_slice(&row.scale.to_ne_bytes());
        out[place.sums.start + 4 * output..][..4].copy_from_slice(&row.sum.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_fit_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(FILE);
        let source = Source { bytes: 7, modified_ns: 9 };
        let mut bytes = vec![0; HEAD];
        bytes.extend((0..500).map(|at| at as u8));
        let head = source.head(&[3; 32], &bytes[HEAD..]);
        bytes[..HEAD].copy_from_slice(&head);
        let taken = |bytes: &[u8], source: &Source| {
            write(&path, bytes).expect("written");
            mapped(&path, HEAD + 500, source).map(|(_, revision)| revision)
        };
        assert_eq!(taken(&bytes, &source), Some([3; 32]));
        assert_eq!(taken(&bytes, &Source { modified_ns: 10, ..source.clone() }), None);
        assert_eq!(taken(&bytes, &Source { bytes: 8, ..source.clone() }), None);
        assert_eq!(taken(&bytes[..HEAD + 499], &source), None, "cut short");
        assert_eq!(taken(&[], &source), None);
        for at in [0, 40, HEAD + 250] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(taken(&damaged, &source), None, "{at}");
        }
        let left = std::fs::read_dir(dir.path()).expect("a folder").count();
        assert_eq!(left, 1, "nothing else stays");
    }
}

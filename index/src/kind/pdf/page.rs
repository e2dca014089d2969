//! The text of one page: its drawing commands run without drawing, only to know what is written
//! where.
//!
//! A gap along the line is a space, a step across it a new line, and a large one a new paragraph;
//! the order is that of the commands, which is the reading order in all but odd files.

use super::font::Font;
use super::{STREAM_BYTES_MAX, TEXT_BYTES_MAX, is_over_limit};
use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Document, Object, ObjectId};
use std::collections::HashMap;
use std::rc::Rc;

/// Most commands of one document that are run: those of some thousands of dense pages.
const COMMANDS_MAX: usize = 10_000_000;
/// Most bytes of commands and fonts of one document that are read.
const READ_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What a stream costs that could not be unpacked, which may have taken long to find.
const FAILURE_BYTES: usize = 4 * 1024 * 1024;
/// What a drawing costs even if it is empty: it may be shown without end.
const DRAWING_BYTES: usize = 1_000;
/// Drawings within drawings.
const FORM_DEPTH_MAX: usize = 6;
/// Saved states of one drawing.
const STATES_MAX: usize = 256;
/// Fonts of one document; text in further ones is read as Latin.
const FONTS_MAX: usize = 2_000;

/// A gap along the line that is a space, in sizes of the font.
const SPACE: f64 = 0.17;
/// A step back along the line that starts a new one.
const BACK: f64 = -1.5;
/// A step across the line that leaves it; raised and lowered text is nearer.
const LINE: f64 = 0.6;
/// A step across the line that starts a paragraph.
const PARAGRAPH: f64 = 1.75;

/// A coordinate system in another one: the six numbers of a PDF's matrix.
#[derive(Clone, Copy)]
struct Matrix([f64; 6]);

impl Matrix {
    const SAME: Matrix = Matrix([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);

    fn shift(x: f64, y: f64) -> Matrix {
        Matrix([1.0, 0.0, 0.0, 1.0, x, y])
    }

    /// This one, standing in `outer`.
    fn within(self, outer: Matrix) -> Matrix {
        let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (self.0, outer.0);
        Matrix([
            a * g + b * i,
            a * h + b * j,
            c * g + d * i,
            c * h + d * j,
            e * g + f * i + k,
            e * h + f * j + l,
        ])
    }
}

/// What `q` saves of the way in which text is written.
#[derive(Clone)]
struct State {
    place: Matrix,
    font: Option<Rc<Font>>,
    size: f64,
    stretch: f64,
    leading: f64,
    gap: f64,
    word_gap: f64,
}

/// Where the text that was written last ended.
#[derive(Clone, Copy)]
struct Pen {
    x: f64,
    y: f64,
    size: f64,
}

/// Reads pages of one document, with a budget for all of them.
pub(super) struct Reader<'d> {
    document: &'d Document,
    fonts: HashMap<usize, Rc<Font>>,
    latin: Rc<Font>,
    commands_left: usize,
    bytes_left: usize,
    /// What a page draws was over its limit, and left out.
    too_large: bool,
}

/// Reads one page or a drawing in it.
struct Writer<'r, 'd> {
    reader: &'r mut Reader<'d>,
    out: &'r mut String,
    pen: &'r mut Option<Pen>,
    resources: Vec<&'d Dictionary>,
    state: State,
    saved: Vec<State>,
    /// Saves beyond the most that are kept.
    unsaved: usize,
    text: Matrix,
    line: Matrix,
    depth: usize,
}

impl<'d> Reader<'d> {
    /// With the whole budget.
    pub fn new(document: &'d Document) -> Self {
        let latin = Rc::new(Font::read(document, &Dictionary::new()));
        let (commands_left, bytes_left) = (COMMANDS_MAX, READ_BYTES_MAX);
        let fonts = HashMap::new();
        Reader { document, fonts, latin, commands_left, bytes_left, too_large: false }
    }

    /// Whether the document has used up its budget.
    pub fn spent(&self) -> bool {
        self.commands_left == 0 || self.bytes_left == 0
    }

    /// Whether a page was left out because what it draws is over the limit when it is unpacked.
    pub fn is_too_large(&self) -> bool {
        self.too_large
    }

    /// What a page draws, or a drawing in it; nothing where it cannot be read.
    fn content(&mut self, read: impl FnOnce(usize) -> lopdf::Result<Vec<u8>>) -> Option<Vec<u8>> {
        let limit = STREAM_BYTES_MAX.min(self.bytes_left);
        read(limit)
            .map_err(|error| {
                // Less than that is what is left of the budget.
                self.too_large |= limit == STREAM_BYTES_MAX && is_over_limit(&error);
                self.spend(FAILURE_BYTES);
            })
            .ok()
    }

    fn spend(&mut self, bytes: usize) {
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
    }

    /// The text of the page `id`; what cannot be read of it is left out.
    pub fn page(&mut self, id: ObjectId) -> String {
        let mut out = String::new();
        let document = self.document;
        let read = |limit| document.get_page_content_with_limit(id, limit);
        let Some(commands) = self.content(read) else { return out };
        let mut resources = Vec::new();
        if let Ok((own, shared)) = self.document.get_page_resources(id) {
            let shared = shared.iter().filter_map(|id| self.document.get_dictionary(*id).ok());
            resources = own.into_iter().chain(shared).collect();
        }
        let state = State {
            place: Matrix::SAME,
            font: None,
            size: 1.0,
            stretch: 1.0,
            leading: 0.0,
            gap: 0.0,
            word_gap: 0.0,
        };
        let mut pen = None;
        let mut writer = Writer::new(self, &mut out, &mut pen, resources, state, 0);
        writer.run(&commands);
        out
    }

    fn font(&mut self, dict: &'d Dictionary) -> Rc<Font> {
        let key = std::ptr::from_ref(dict) as usize;
        if let Some(font) = self.fonts.get(&key) {
            return Rc::clone(font);
        }
        if self.fonts.len() >= FONTS_MAX || self.spent() {
            return Rc::clone(&self.latin);
        }
        let font = Rc::new(Font::read(self.document, dict));
        self.spend(font.weight());
        self.fonts.insert(key, Rc::clone(&font));
        font
    }
}

impl<'r, 'd> Writer<'r, 'd> {
    fn new(
        reader: &'r mut Reader<'d>,
        out: &'r mut String,
        pen: &'r mut Option<Pen>,
        resources: Vec<&'d Dictionary>,
        state: State,
        depth: usize,
    ) -> Self {
        let (text, line) = (Matrix::SAME, Matrix::SAME);
        let saved = Vec::new();
        Writer { reader, out, pen, resources, state, saved, unsaved: 0, text, line, depth }
    }

    fn run(&mut self, commands: &[u8]) {
        self.reader.spend(commands.len() + DRAWING_BYTES);
        for command in Content::decode_iter(commands) {
            let Ok(command) = command else { return };
            if self.reader.spent() || self.out.len() > TEXT_BYTES_MAX {
                return;
            }
            self.reader.commands_left -= 1;
            self.command(&command);
        }
    }

    fn command(&mut self, command: &Operation) {
        let n = |idx: usize| number(command, idx);
        let matrix = || Matrix([n(0), n(1), n(2), n(3), n(4), n(5)]);
        match command.operator.as_str() {
            "q" => self.save(),
            "Q" => self.restore(),
            "cm" => self.state.place = matrix().within(self.state.place),
            "Do" => self.form(command),
            "BT" => (self.text, self.line) = (Matrix::SAME, Matrix::SAME),
            "Tf" => {
                self.state.size = n(1);
                self.state.font = self.named_font(command);
            }
            "Tc" => self.state.gap = n(0),
            "Tw" => self.state.word_gap = n(0),
            "Tz" => self.state.stretch = n(0) / 100.0,
            "TL" => self.state.leading = n(0),
            "Tm" => (self.text, self.line) = (matrix(), matrix()),
            "Td" => self.next_line(n(0), n(1)),
            "TD" => {
                self.state.leading = -n(1);
                self.next_line(n(0), n(1));
            }
            "T*" => self.next_line(0.0, -self.state.leading),
            "Tj" => self.show_operand(command, 0),
            "TJ" => self.show_parts(command),
            "'" => {
                self.next_line(0.0, -self.state.leading);
                self.show_operand(command, 0);
            }
            "\"" => {
                (self.state.word_gap, self.state.gap) = (n(0), n(1));
                self.next_line(0.0, -self.state.leading);
                self.show_operand(command, 2);
            }
            _ => {}
        }
    }

    fn save(&mut self) {
        if self.saved.len() < STATES_MAX {
            self.saved.push(self.state.clone());
        } else {
            self.unsaved += 1;
        }
    }

    fn restore(&mut self) {
        if self.unsaved > 0 {
            self.unsaved -= 1;
        } else if let Some(state) = self.saved.pop() {
            self.state = state;
        }
    }

    fn next_line(&mut self, x: f64, y: f64) {
        self.line = Matrix::shift(x, y).within(self.line);
        self.text = self.line;
    }

    /// What a command's first operand names among the resources of `kind`.
    fn named(&self, command: &Operation, kind: &[u8]) -> Option<&'d Object> {
        let name = command.operands.first()?.as_name().ok()?;
        let document = self.reader.document;
        self.resources.iter().find_map(|resources| {
            let entries = resources.get_deref(kind, document).and_then(Object::as_dict).ok()?;
            entries.get_deref(name, document).ok()
        })
    }

    fn named_font(&mut self, command: &Operation) -> Option<Rc<Font>> {
        let dict = self.named(command, b"Font")?.as_dict().ok()?;
        Some(self.reader.font(dict))
    }

    /// A drawing within this one.
    fn form(&mut self, command: &Operation) {
        let document = self.reader.document;
        let stream = self.named(command, b"XObject").and_then(|object| object.as_stream().ok());
        let Some(stream) = stream.filter(|_| self.depth < FORM_DEPTH_MAX) else { return };
        let kind = stream.dict.get_deref(b"Subtype", document).and_then(Object::as_name);
        if kind.ok() != Some(b"Form".as_slice()) {
            return;
        }
        let read = |limit| stream.get_plain_content_with_limit(limit);
        let Some(commands) = self.reader.content(read) else { return };
        let own = stream.dict.get_deref(b"Resources", document).and_then(Object::as_dict);
        let resources = own.map_or_else(|_| self.resources.clone(), |own| vec![own]);
        let mut state = self.state.clone();
        let matrix = stream.dict.get_deref(b"Matrix", document).and_then(Object::as_array);
        if let Ok([a, b, c, d, e, f]) = matrix.map(Vec::as_slice) {
            let matrix = Matrix([a, b, c, d, e, f].map(float));
            state.place = matrix.within(state.place);
        }
        let depth = self.depth + 1;
        Writer::new(self.reader, self.out, self.pen, resources, state, depth).run(&commands);
    }

    fn show_operand(&mut self, command: &Operation, idx: usize) {
        if let Some(Object::String(string, _)) = command.operands.get(idx) {
            self.show(string);
        }
    }

    /// Strings with moves between them.
    fn show_parts(&mut self, command: &Operation) {
        let Some(Object::Array(parts)) = command.operands.first() else { return };
        for part in parts {
            match part {
                Object::String(string, _) => self.show(string),
                part => {
                    let step = -float(part) / 1_000.0 * self.state.size * self.state.stretch;
                    self.text = Matrix::shift(step, 0.0).within(self.text);
                }
            }
        }
    }

    fn show(&mut self, string: &[u8]) {
        let font = self.state.font.clone().unwrap_or_else(|| Rc::clone(&self.reader.latin));
        for (idx, glyph) in font.glyphs(string).enumerate() {
            let gap = self.state.gap + if glyph.space { self.state.word_gap } else { 0.0 };
            let step = (glyph.width / 1_000.0 * self.state.size + gap) * self.state.stretch;
            if idx == 0 {
                self.approach();
            }
            self.out.push_str(&glyph.text);
            self.text = Matrix::shift(step, 0.0).within(self.text);
        }
        let [.., x, y] = self.text.within(self.state.place).0;
        *self.pen = Some(Pen { x, y, size: self.size() });
    }

    /// Size of the font on the page.
    fn size(&self) -> f64 {
        let [_, _, c, d, ..] = self.text.within(self.state.place).0;
        (self.state.size * c.hypot(d)).abs().max(1e-6)
    }

    /// Writes what parts the text that comes from the text before it.
    fn approach(&mut self) {
        let Some(pen) = *self.pen else { return };
        let [a, b, _, _, x, y] = self.text.within(self.state.place).0;
        let length = a.hypot(b);
        if length < 1e-9 || !length.is_finite() {
            return;
        }
        let size = self.size().max(pen.size.min(self.size() * 4.0));
        let (dx, dy) = ((x - pen.x) / size, (y - pen.y) / size);
        let along = (dx * a + dy * b) / length;
        let across = ((dy * a - dx * b) / length).abs();
        let parted = if across > PARAGRAPH {
            "\n\n"
        } else if across > LINE || along < BACK {
            "\n"
        } else if along > SPACE && !self.out.ends_with(char::is_whitespace) {
            " "
        } else {
            ""
        };
        self.out.push_str(parted);
    }
}

fn number(command: &Operation, idx: usize) -> f64 {
    command.operands.get(idx).map_or(0.0, float)
}

/// A number as it is used in drawing: anything else counts as nothing.
fn float(object: &Object) -> f64 {
    object.as_float().map(f64::from).ok().filter(|number| number.is_finite()).unwrap_or(0.0)
}

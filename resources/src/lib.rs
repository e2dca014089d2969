//! What agents read by URI. One file per scheme, one line in [`SCHEMES`].
//!
//! Everything that a resource can do, a tool can do too; some are what a tool says. Knows the
//! index; knows neither MCP nor the tools but by their names.

mod document;
mod spec;
mod state;
mod status;

pub use spec::document as spec_document;

use serde_json::Value;
use synod_index::Index;

/// Every scheme, sorted by prefix.
pub const SCHEMES: &[Scheme] = &[
    document::CODE,
    state::JOB,
    document::NOTE,
    state::SESSION,
    spec::SPEC,
    status::STATUS,
    state::TRUST,
];

/// Resources of one page of the listing.
pub const PAGE: usize = 100;
/// Values of one completion, as the protocol allows.
pub const COMPLETIONS_MAX: usize = 100;

/// A family of URIs.
pub struct Scheme {
    /// URIs begin with this.
    pub prefix: &'static str,
    /// How URIs are made, if they have parameters.
    pub template: Option<Template>,
    /// The one resource, if they have none.
    pub fixed: Option<Fixed>,
    /// How a URI is read.
    pub read: Read,
    /// How each argument of the template is completed.
    pub complete: &'static [(&'static str, Complete)],
}

/// How a URI is read.
#[derive(Clone, Copy)]
pub enum Read {
    /// In the index.
    Index(fn(&Index, &str) -> Result<Content>),
    /// It is what a tool says: whoever serves the resource calls it.
    Tool(Tool),
}

/// A tool that says what a resource is.
#[derive(Clone, Copy)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// Its arguments for what stands behind the prefix.
    pub args: fn(&str) -> Value,
    /// The resource in its reply.
    pub show: fn(&Value) -> Content,
}

/// How an argument of a template is completed.
#[derive(Clone, Copy)]
pub enum Complete {
    /// In the index, given the arguments that are known.
    Index(fn(&Index, &str, &str, Known) -> Result<Completed>),
    /// By a list that a tool gives.
    Tool(List),
    /// By these.
    Words(&'static [&'static str]),
}

/// A list that a tool gives.
#[derive(Clone, Copy)]
pub struct List {
    /// The tool's name.
    pub name: &'static str,
    /// Its arguments, given those of the template that are known.
    pub args: fn(Known) -> Value,
    /// Where the list stands in its reply.
    pub list: &'static str,
    /// The field of its items that is a value.
    pub key: &'static str,
}

/// Arguments that the caller has filled in already, by name.
pub type Known<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A template of URIs (RFC 6570).
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// `scheme://{a}/{b}`
    pub uri: &'static str,
    /// Unique name.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// For models.
    pub description: &'static str,
    /// Media type of what is read.
    pub mime: &'static str,
}

/// A resource whose URI is fixed.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    /// URI.
    pub uri: &'static str,
    /// Name.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// For models.
    pub description: &'static str,
    /// Media type.
    pub mime: &'static str,
}

/// A resource in the listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// URI.
    pub uri: String,
    /// Path, or a name.
    pub name: String,
    /// For people.
    pub title: String,
    /// For models; may be empty.
    pub description: String,
    /// Media type.
    pub mime: &'static str,
    /// Bytes, if known.
    pub bytes: Option<u64>,
}

/// What a resource holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Text.
    pub text: String,
    /// Media type.
    pub mime: &'static str,
}

/// Values for an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// At most [`COMPLETIONS_MAX`].
    pub values: Vec<String>,
    /// There are more.
    pub more: bool,
}

/// Fails a resource.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing has that URI.
    #[error("no resource `{uri}`{hint}")]
    NotFound {
        /// As asked.
        uri: String,
        /// What is near, or nothing.
        hint: String,
    },
    /// The cursor is none of ours.
    #[error("the cursor does not fit; start without one")]
    Cursor,
    /// The index failed.
    #[error(transparent)]
    Index(#[from] synod_index::Error),
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// One page of all resources: fixed ones first, then documents by source and path.
///
/// # Errors
/// `Cursor` for a cursor that no page gave out.
pub fn list(index: &Index, cursor: Option<&str>) -> Result<(Vec<Item>, Option<String>)> {
    let mut items = Vec::new();
    let after = match cursor {
        None => {
            items.extend(SCHEMES.iter().filter_map(|s| s.fixed).map(|fixed| Item {
                uri: fixed.uri.to_owned(),
                name: fixed.name.to_owned(),
                title: fixed.title.to_owned(),
                description: fixed.description.to_owned(),
                mime: fixed.mime,
                bytes: None,
            }));
            None
        }
        Some(cursor) => Some(cursor.split_once('/').ok_or(Error::Cursor)?),
    };
    let after = after.map(|(source, path)| (decode(source), decode(path)));
    let after = after.as_ref().map(|(source, path)| (source.as_str(), path.as_str()));
    let (documents, next) = index.list(after, PAGE).map_err(|error| match error {
        synod_index::Error::Argument(_) => Error::Cursor,
        other => other.into(),
    })?;
    items.extend(documents.into_iter().map(|document| Item {
        uri: document.uri,
        title: document.title,
        description: String::new(),
        mime: if document.note { "text/markdown" } else { "text/plain" },
        bytes: Some(document.bytes),
        name: document.path,
    }));
    Ok((items, next.map(|(source, path)| format!("{}/{}", encode(&source), encode(&path)))))
}

/// The scheme of a URI.
///
/// # Errors
/// `NotFound` for one that there is not, with those that there are.
pub fn scheme(uri: &str) -> Result<&'static Scheme> {
    SCHEMES.iter().find(|s| uri.starts_with(s.prefix)).ok_or_else(|| {
        let known: Vec<&str> = SCHEMES.iter().map(|s| s.prefix).collect();
        let hint = format!("; URIs begin with {}", known.join(", "));
        Error::NotFound { uri: uri.to_owned(), hint }
    })
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

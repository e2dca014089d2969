//! `note://{source}/{path}` and `code://{source}/{path}`: documents and parts of them.

use crate::{COMPLETIONS_MAX, Complete, Completed, Content, Error, Read, Result, Scheme, Template};
use synod_index::{Error as IndexError, Index, ReadArgs};

/// Text of one resource, in bytes; beyond it the last line says how to read on.
const TEXT_BYTES_MAX: usize = 90_000;

/// Prose.
pub const NOTE: Scheme = Scheme {
    prefix: "note://",
    template: Some(Template {
        uri: "note://{vault}/{+path}",
        name: "note",
        title: "Note",
        description: "A note or document of a vault; #heading, #^block or #L10-L40 may follow.",
        mime: "text/markdown",
    }),
    fixed: None,
    read: Read::Index(|index, uri| read(index, uri, "text/markdown")),
    complete: &[("vault", Complete::Index(complete)), ("path", Complete::Index(complete))],
};

/// Source code.
pub const CODE: Scheme = Scheme {
    prefix: "code://",
    template: Some(Template {
        uri: "code://{repo}/{+path}",
        name: "code",
        title: "Source file",
        description: "A file of a repository; #L10-L40 or #symbol may follow.",
        mime: "text/plain",
    }),
    fixed: None,
    read: Read::Index(|index, uri| read(index, uri, "text/plain")),
    complete: &[("repo", Complete::Index(complete)), ("path", Complete::Index(complete))],
};

fn read(index: &Index, uri: &str, mime: &'static str) -> Result<Content> {
    let args =
        ReadArgs { uri: Some(uri.to_owned()), bytes_max: TEXT_BYTES_MAX, ..ReadArgs::default() };
    let not_found = |hint: String| Error::NotFound { uri: uri.to_owned(), hint };
    let reading = index.read(&args).map_err(|error| match error {
        IndexError::Missing { nearest, .. } if nearest.is_empty() => not_found(String::new()),
        IndexError::Missing { nearest, .. } => {
            not_found(format!("; nearest is `{}`", nearest.join("`, `")))
        }
        IndexError::Argument(why) => not_found(format!("; {why}")),
        other => other.into(),
    })?;
    let mut text = reading.text;
    if let Some(next) = reading.next_line {
        text.push_str(&format!(
            "\n[cut here: lines {next} to {} follow; read `{}#L{next}-L{}`]\n",
            reading.total_lines,
            uri.split('#').next().unwrap_or(uri),
            reading.total_lines
        ));
    }
    Ok(Content { text, mime })
}

pub(crate) fn complete(
    index: &Index,
    argument: &str,
    value: &str,
    known: &dyn Fn(&str) -> Option<String>,
) -> Result<Completed> {
    if matches!(argument, "vault" | "repo" | "project") {
        let names = index.sources()?.into_iter().map(|s| s.name);
        let values: Vec<String> = names.filter(|name| name.starts_with(value)).collect();
        let more = values.len() > COMPLETIONS_MAX;
        return Ok(Completed { values: values.into_iter().take(COMPLETIONS_MAX).collect(), more });
    }
    if argument != "path" {
        return Ok(Completed::default());
    }
    let given = known("vault").or_else(|| known("repo"));
    let names = match given {
        Some(name) => vec![name],
        None => index.sources()?.into_iter().map(|s| s.name).collect(),
    };
    let mut out = Completed::default();
    for name in names {
        let room = COMPLETIONS_MAX - out.values.len();
        let (values, more) = index.complete_path(&name, value, room)?;
        out.values.extend(values);
        out.more |= more;
    }
    Ok(out)
}

//! Which key of the file a mistake is about, told by its place in the text.

use toml::de::{DeTable, DeValue};

/// The dotted key of the value in which a place lies; of an array over many lines too.
pub fn key_at(text: &str, at: usize) -> Option<String> {
    match DeTable::parse(text) {
        Ok(table) => key_in(table.get_ref(), at),
        // What does not parse has a key at most on the line where that ended.
        Err(_) => key_on_line(text, at),
    }
}

fn key_in(table: &DeTable<'_>, at: usize) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let inside = match value.get_ref() {
            DeValue::Table(table) => key_in(table, at),
            DeValue::Array(rows) => {
                rows.iter().find_map(|row| key_in(row.get_ref().as_table()?, at))
            }
            _ => None,
        };
        let name = key.get_ref();
        let own = || value.span().contains(&at).then(|| name.to_string());
        inside.map(|inside| format!("{name}.{inside}")).or_else(own)
    })
}

fn key_on_line(text: &str, at: usize) -> Option<String> {
    let (head, rest) = (text.get(..at)?, text.get(at..)?);
    let (begun, left) = (head.rsplit('\n').next()?, rest.split('\n').next()?);
    let line = format!("{begun}{left}");
    let key = bare(line.split_once('=')?.0)?;
    let table = head.lines().rev().find_map(|line| {
        let name = line.trim_start().strip_prefix('[')?.trim_start_matches('[');
        bare(name.split(']').next()?)
    });
    Some(table.map_or_else(|| key.to_owned(), |table| format!("{table}.{key}")))
}

/// A key as it is written here: part of a value is none.
fn bare(text: &str) -> Option<&str> {
    let key = text.trim();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!key.is_empty() && key.chars().all(fits)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_by_its_key_however_many_lines_the_value_has() {
        let text = "top = 1\n[council] # a = b\npanel = [\n  \"a=b\", # c = d\n  [\"e\"],\n  2,\n\
                    ]\nday_usd = 3\n[[model]]\nid = 4\n[[model]]\nparams = [\n  { x = 5 },\n  \
                    6,\n]\nlimits.calls_max = 7\n";
        for (value, key) in [
            ("1", "top"),
            ("\"a=b\"", "council.panel"),
            ("\"e\"", "council.panel"),
            ("2", "council.panel"),
            ("3", "council.day_usd"),
            ("4", "model.id"),
            ("5", "model.params.x"),
            ("6", "model.params"),
            ("7", "model.limits.calls_max"),
        ] {
            let at = text.find(value).unwrap();
            assert_eq!(key_at(text, at).as_deref(), Some(key), "{value}");
        }
        assert_eq!(key_at(text, text.find("# c = d").unwrap()).as_deref(), Some("council.panel"));
        assert_eq!(key_at("", 0), None);
    }

    #[test]
    fn what_does_not_parse_has_the_key_of_its_line_or_none() {
        let text = "[limits]\ncalls_max = 1\ncalls_max = 2\n";
        let at = text.rfind("calls_max").unwrap();
        assert_eq!(key_at(text, at).as_deref(), Some("limits.calls_max"));
        let text = "[council]\npanel = [\n  \"a\"\n  \"b = c\",\n]\n";
        assert_eq!(key_at(text, text.find("\"b").unwrap()), None);
        assert_eq!(key_at(text, text.len() + 1), None);
    }
}

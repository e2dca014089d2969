//! What people start from: texts with arguments, compiled in.
//!
//! A template is a Markdown file: front matter (name, title, description, arguments), then the text
//! with `{{name}}` and `{{#name}}…{{/name}}` for parts that stand only when the argument is given.
//! Pure; knows no engine. To add one: a file in `templates/`, and a line in [`PROMPTS`].

/// Every prompt's template, sorted by name.
pub const PROMPTS: &[&str] = &[
    include_str!("../templates/answer_from_vault.md"),
    include_str!("../templates/council.md"),
    include_str!("../templates/daily_brief.md"),
    include_str!("../templates/explain_dissent.md"),
    include_str!("../templates/explain_topic.md"),
    include_str!("../templates/feature_status.md"),
    include_str!("../templates/review_change.md"),
];

/// Longest value of an argument, in bytes.
const VALUE_BYTES_MAX: usize = 20_000;

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// As clients call it.
    pub name: String,
    /// For people.
    pub title: String,
    /// One sentence.
    pub description: String,
    /// In order.
    pub arguments: Vec<Argument>,
    /// The text with its places.
    pub body: String,
}

/// An argument of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// As in the text.
    pub name: String,
    /// It must be given.
    pub required: bool,
    /// For people.
    pub description: String,
}

/// Fails a prompt.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No prompt of that name.
    #[error("no prompt `{name}`; there are `{known}`")]
    Unknown {
        /// As asked.
        name: String,
        /// Every name.
        known: String,
    },
    /// An argument is missing, unknown or too long.
    #[error("{0}")]
    Argument(String),
    /// A template does not parse: a bug in it.
    #[error("template: {0}")]
    Template(String),
}

/// Parses a template.
///
/// # Errors
/// `Template`, saying what is missing.
pub fn parse(template: &str) -> Result<Prompt, Error> {
    let bad = |why: &str| Error::Template(why.to_owned());
    let rest = template.strip_prefix("---\n").ok_or_else(|| bad("no front matter"))?;
    let (front, body) = rest.split_once("\n---\n").ok_or_else(|| bad("front matter has no end"))?;
    let mut prompt = Prompt {
        name: String::new(),
        title: String::new(),
        description: String::new(),
        arguments: Vec::new(),
        body: body.trim().to_owned(),
    };
    for line in front.lines() {
        if let Some(argument) = line.trim_start().strip_prefix("- ") {
            let mut parts = argument.splitn(3, '|').map(str::trim);
            let name = parts.next().unwrap_or_default().trim_start_matches("name:").trim();
            let required = parts.next() == Some("required");
            let description = parts.next().ok_or_else(|| bad("an argument has no description"))?;
            prompt.arguments.push(Argument {
                name: name.to_owned(),
                required,
                description: description.to_owned(),
            });
            continue;
        }
        let (key, value) = line.split_once(':').ok_or_else(|| bad("a line has no key"))?;
        let value = value.trim().to_owned();
        match key.trim() {
            "name" => prompt.name = value,
            "title" => prompt.title = value,
            "description" => prompt.description = value,
            "arguments" => {}
            other => return Err(Error::Template(format!("unknown key `{other}`"))),
        }
    }
    if prompt.name.is_empty() || prompt.title.is_empty() || prompt.description.is_empty() {
        return Err(bad("name, title and description are needed"));
    }
    Ok(prompt)
}

/// Every prompt.
///
/// # Errors
/// `Template`, which the tests of this crate rule out.
pub fn all() -> Result<Vec<Prompt>, Error> {
    PROMPTS.iter().map(|template| parse(template)).collect()
}

/// The prompt `name` with its arguments filled in.
///
/// # Errors
/// `Unknown`, or `Argument` for missing, unknown and overlong arguments.
pub fn render(name: &str, given: &[(String, String)]) -> Result<(Prompt, String), Error> {
    let prompts = all()?;
    let known = prompts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join("`, `");
    let unknown = || Error::Unknown { name: name.to_owned(), known };
    let prompt = prompts.iter().find(|p| p.name == name).cloned().ok_or_else(unknown)?;
    for (key, value) in given {
        if !prompt.arguments.iter().any(|a| a.name == *key) {
            let names: Vec<&str> = prompt.arguments.iter().map(|a| a.name.as_str()).collect();
            return Err(Error::Argument(format!(
                "{name}: unknown argument `{key}`; it takes `{}`",
                names.join("`, `")
            )));
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(Error::Argument(format!(
                "{name}: `{key}` is {} bytes, the most is {VALUE_BYTES_MAX}",
                value.len()
            )));
        }
    }
    let value = |key: &str| {
        let found = given.iter().find(|(k, _)| k == key).map(|(_, v)| v.trim());
        found.filter(|v| !v.is_empty())
    };
    for argument in prompt.arguments.iter().filter(|a| a.required) {
        if value(&argument.name).is_none() {
            return Err(Error::Argument(format!("{name}: `{}` is missing", argument.name)));
        }
    }
    let text = fill(&prompt.body, &value);
    Ok((prompt, text))
}

/// Fills one pass from left to right, so that values are never read as template.
fn fill<'v>(body: &str, value: &dyn Fn(&str) -> Option<&'v str>) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some(at) = rest.find("{{") {
        let Some(end) = rest[at..].find("}}").map(|end| at + end) else { break };
        out.push_str(&rest[..at]);
        let name = rest[at + 2..end].trim();
        rest = &rest[end + 2..];
        if let Some(section) = name.strip_prefix('#') {
            let close = format!("{{{{/{section}}}}}");
            let Some(stop) = rest.find(&close) else { continue };
            if value(section).is_some() {
                out.push_str(&fill(&rest[..stop], value));
            }
            rest = &rest[stop + close.len()..];
        } else {
            out.push_str(value(name).unwrap_or_default());
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(key: &str, value: &str) -> Vec<(String, String)> {
        vec![(key.to_owned(), value.to_owned())]
    }

    #[test]
    fn every_template_parses_and_renders_without_places_left() {
        let prompts = all().unwrap();
        assert!(prompts.is_sorted_by(|a, b| a.name < b.name));
        for prompt in prompts {
            let given: Vec<_> =
                prompt.arguments.iter().map(|a| (a.name.clone(), "VALUE".to_owned())).collect();
            let (_, text) = render(&prompt.name, &given).unwrap();
            assert!(!text.contains("{{") && text.contains("VALUE"), "{}", prompt.name);
            let required: Vec<_> = prompt.arguments.iter().filter(|a| a.required).collect();
            let given: Vec<_> =
                required.iter().map(|a| (a.name.clone(), "VALUE".to_owned())).collect();
            let (_, text) = render(&prompt.name, &given).unwrap();
            assert!(!text.contains("{{"), "{}", prompt.name);
        }
    }

    #[test]
    fn values_are_not_templates_and_errors_say_what_to_do() {
        let (_, text) = render("answer_from_vault", &given("question", "{{source}} ?")).unwrap();
        assert!(text.contains("{{source}} ?"));
        assert!(render("nope", &[]).unwrap_err().to_string().contains("answer_from_vault"));
        let error = render("answer_from_vault", &given("frage", "x")).unwrap_err().to_string();
        assert!(error.contains("`question`"), "{error}");
        assert!(render("answer_from_vault", &[]).is_err());
    }
}

//! Generated documents: made from the tables, compared with the repository by a test.

use crate::config::Config;
use crate::fault::CODES;
use serde_json::Value;
use std::fmt::Write as _;
use synod_tools::{Effect, Entry, TOOLS};

/// Every generated document: its path in the repository and its text.
pub fn documents() -> Vec<(String, String)> {
    let tools: Vec<&'static Entry> = TOOLS.iter().collect();
    let mut out = vec![
        ("docs/reference/tools.md".to_owned(), tools_page()),
        ("docs/reference/errors.md".to_owned(), errors_page()),
        ("docs/reference/config.md".to_owned(), config_page()),
        ("docs/reference/cli.md".to_owned(), cli_page()),
        (
            "docs/reference/openapi.json".to_owned(),
            format!("{:#}\n", crate::openapi::document(&tools)),
        ),
        ("synod.toml.example".to_owned(), example_config()),
    ];
    for entry in TOOLS {
        out.push((format!("tests/contract/{}.json", entry.name), contract(entry)));
    }
    out
}

/// What clients see of a tool: a change of it is a visible difference.
fn contract(entry: &Entry) -> String {
    let value = serde_json::json!({
        "name": entry.name,
        "title": entry.title,
        "description": (entry.description)(),
        "effect": format!("{:?}", entry.effect).to_lowercase(),
        "scope": entry.scope.name(),
        "routes": entry.routes.iter().map(|r| format!("{} {} {}", r.method, r.path, r.status)).collect::<Vec<_>>(),
        "input": (entry.input)(),
        "output": (entry.output)(),
    });
    format!("{value:#}\n")
}

fn tools_page() -> String {
    let mut out = String::from(
        "# Tools\n\nGenerated from the tool table; `synod call NAME --help` shows the same.\n",
    );
    for entry in TOOLS {
        let effect = if entry.effect == Effect::Read { "reads" } else { "writes" };
        let _ = write!(
            out,
            "\n## {}\n\n{}\n\nIt {effect}; scope `{}`.",
            entry.name,
            (entry.description)(),
            entry.scope.name()
        );
        for route in entry.routes {
            let _ = write!(out, " REST: `{} {}`.", route.method, route.path);
        }
        let _ = write!(out, "\n\n{}", table(&(entry.input)()));
    }
    out
}

fn type_of(schema: &Value) -> String {
    if let Some(names) = schema["enum"].as_array() {
        let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
        return names.join(", ");
    }
    match schema["type"].as_str() {
        Some("array") => {
            let item = schema["items"]["type"].as_str().unwrap_or("value");
            format!("list of {item}")
        }
        Some("object") => "object".to_owned(),
        Some(other) => other.to_owned(),
        None => "value".to_owned(),
    }
}

fn table(schema: &Value) -> String {
    let mut out = String::from("| argument | type | default | meaning |\n|---|---|---|---|\n");
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let required = schema["required"].as_array().is_some_and(|r| r.iter().any(|n| n == name));
        let default = match property.get("default") {
            Some(value) => format!("`{value}`"),
            None if required => "required".to_owned(),
            None => String::new(),
        };
        let text = property["description"].as_str().unwrap_or_default().replace('|', "\\|");
        let _ = writeln!(out, "| `{name}` | {} | {default} | {text} |", type_of(property));
    }
    out
}

/// The arguments of a tool for `synod call NAME --help`.
pub fn arguments(schema: &Value) -> String {
    let mut out = String::from("JSON arguments:\n");
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let text = property["description"].as_str().unwrap_or_default();
        let _ = writeln!(out, "  {name} ({}): {text}", type_of(property));
    }
    out
}

fn errors_page() -> String {
    let mut out = String::from(
        "# Errors\n\nGenerated from the table of codes. Every failure has `code`, `message`, `hint` and\n\
         `correlation_id`; over MCP it is a tool result with `isError`, over REST a body `{\"error\": …}`.\n\n\
         | code | HTTP status | meaning |\n|---|---|---|\n",
    );
    for code in CODES {
        let _ = writeln!(out, "| `{}` | {} | {} |", code.name, code.status, code.meaning);
    }
    out
}

fn config_schema() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<Config>().to_value()
}

fn config_page() -> String {
    let schema = config_schema();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut out = String::from(
        "# Configuration\n\nGenerated from the configuration's type. Order: flag, environment, file, built-in; \
         `synod config`\nshows every value with its origin.\n\n\
         A running server looks at the file and takes `[[source]]`, `[[provider]]`, \
         `[[model]]`, `[council]` (but not `record`\n\
         and `webhook_secret_env`), `[guard]`, `limits.poll_s` and `limits.rescan_s` from it \
         within seconds; other keys wait for the\n\
         next start, which its log says. A file with a mistake changes nothing, and the log \
         names the line. A source that is taken\n\
         out of the file stays until `synod index --remove` takes it away.\n",
    );
    for (section, part) in schema["properties"].as_object().into_iter().flatten() {
        let list = part["type"] == "array";
        let (head, part) = if list {
            (format!("[[{section}]]"), &part["items"])
        } else {
            (format!("[{section}]"), part)
        };
        let _ = write!(
            out,
            "\n## `{head}`\n\n{}\n\n",
            part["description"].as_str().unwrap_or_default()
        );
        out.push_str("| key | default | environment | meaning |\n|---|---|---|---|\n");
        for (key, property) in part["properties"].as_object().into_iter().flatten() {
            let default = &defaults[section][key];
            let default =
                if list || default.is_null() { String::new() } else { format!("`{default}`") };
            let variable = if list {
                String::new()
            } else {
                format!("`SYNOD_{}_{}`", section.to_uppercase(), key.to_uppercase())
            };
            let text = property["description"].as_str().unwrap_or_default();
            let _ = writeln!(out, "| `{key}` | {default} | {variable} | {text} |");
        }
    }
    out
}

/// A setting at its built-in value. TOML has no word for none: a key without one is commented out.
fn example_line(key: &str, value: &Value) -> String {
    match serde_json::from_value::<toml::Value>(value.clone()) {
        Ok(value) => format!("{key} = {value}"),
        Err(_) if key.ends_with("_usd") => format!("# {key} = 1.0"),
        Err(_) => format!("# {key} = \"…\""),
    }
}

/// A commented file with every setting at its built-in value.
pub fn example_config() -> String {
    let schema = config_schema();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut out = String::from(
        "# Synod's configuration; generated, every value is the built-in one.\n\
         # A key behind `#` has none; what stands there is an example.\n\
         # Order: flag, environment, this file, built-in. Secrets never stand here.\n",
    );
    for (section, part) in schema["properties"].as_object().into_iter().flatten() {
        let list = part["type"] == "array";
        let body = if list { &part["items"] } else { part };
        let _ = write!(out, "\n# {}\n", part["description"].as_str().unwrap_or_default());
        let _ = writeln!(
            out,
            "{}",
            if list { format!("# [[{section}]]") } else { format!("[{section}]") }
        );
        for (key, property) in body["properties"].as_object().into_iter().flatten() {
            let _ = writeln!(out, "# {}", property["description"].as_str().unwrap_or_default());
            if list {
                let _ = writeln!(out, "# {key} = \"…\"");
                continue;
            }
            let _ = writeln!(out, "{}", example_line(key, &defaults[section][key]));
        }
    }
    out
}

fn cli_page() -> String {
    let mut out = String::from("# Command line\n\nGenerated from the command line itself.\n");
    let mut command = crate::cli::command().term_width(100);
    let _ = write!(out, "\n```text\n{}```\n", command.render_long_help());
    let names: Vec<String> = command
        .get_subcommands()
        .filter(|c| !c.is_hide_set())
        .map(|c| c.get_name().to_owned())
        .collect();
    for name in names {
        if let Some(sub) = command.find_subcommand_mut(&name) {
            let mut sub = sub.clone().bin_name(format!("synod {name}")).term_width(100);
            let _ = write!(out, "\n## synod {name}\n\n```text\n{}```\n", sub.render_long_help());
        }
    }
    out
}

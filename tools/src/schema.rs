//! Portable JSON Schema from Rust types, and arguments from JSON with errors a model can mend.
//!
//! Portable: no `$schema`, no `$ref`, no nullable unions, no formats outside the standard, so that
//! every client's dialect takes it.

use crate::Error;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Formats of JSON Schema's own list that we use.
const FORMATS: &[&str] = &["date-time", "date", "uri"];

fn raw<T: JsonSchema>(output: bool) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    // A reply leaves out empty fields: they are not required of it.
    let settings = if output { settings.for_serialize() } else { settings };
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The schema of arguments; unknown ones are refused.
pub fn portable<T: JsonSchema>() -> Value {
    shaped(raw::<T>(false))
}

/// The schema of a reply.
pub fn portable_output<T: JsonSchema>() -> Value {
    let mut schema = raw::<T>(true);
    open_nulls(&mut schema);
    shaped(schema)
}

/// A field that is always there and may be null (a trust that cannot be said) has no type: clients
/// hold replies against the schema, and a nullable type is not portable. One that is left out when
/// it is null keeps its type.
fn open_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(open_nulls),
        Value::Object(map) => {
            let required = map.get("required").and_then(Value::as_array).cloned();
            let properties = map.get_mut("properties").and_then(Value::as_object_mut);
            for (name, property) in properties.into_iter().flatten() {
                let always = required.as_ref().is_some_and(|names| names.contains(&json!(name)));
                if let Some(property) = property.as_object_mut().filter(|_| always) {
                    let null = json!("null");
                    let types = property.get("type").and_then(Value::as_array);
                    let nullable = types.is_some_and(|types| types.contains(&null));
                    let options = property.get("anyOf").and_then(Value::as_array);
                    let either = options.is_some_and(|o| o.iter().any(|one| one["type"] == null));
                    if nullable {
                        property.remove("type");
                    }
                    if either {
                        property.remove("anyOf");
                    }
                }
            }
            map.values_mut().for_each(open_nulls);
        }
        _ => {}
    }
}

/// Takes the type off a field that may be null, where its schema does not say that it is always
/// there: that of a struct that is flattened into another one and may be absent.
pub fn open(schema: &mut schemars::Schema) {
    schema.remove("type");
}

fn shaped(mut schema: Value) -> Value {
    clean(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.remove("description");
        root.remove("title");
        root.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    }
    schema
}

/// The doc comment of a type.
pub fn description<T: JsonSchema>() -> String {
    let schema = raw::<T>(false);
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    // One paragraph per blank line; the line breaks of the source are not the text's.
    let paragraphs = text.split("\n\n").map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

fn clean(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(map) => clean_object(map),
        _ => {}
    }
}

fn clean_object(map: &mut Map<String, Value>) {
    map.remove("$schema");
    let odd = |f: &Value| !f.as_str().is_some_and(|f| FORMATS.contains(&f));
    if map.get("format").is_some_and(odd) {
        map.remove("format");
    }
    // What is empty or false says nothing that a reader would not expect.
    let empty =
        |v: &Value| [json!(null), json!(false), json!(""), json!([]), json!({})].contains(v);
    if map.get("default").is_some_and(empty) {
        map.remove("default");
    }
    // An object may have more unless it is said that it may not.
    if map.get("additionalProperties") == Some(&json!(true)) {
        map.remove("additionalProperties");
    }
    // Bounds of a Rust type are none that a reader should think about.
    if map.get("minimum") == Some(&json!(0)) {
        map.remove("minimum");
    }
    if map.get("maximum") == Some(&json!(255)) {
        map.remove("maximum");
    }
    if let Some(Value::Array(names)) = map.get_mut("enum") {
        names.retain(|name| !name.is_null());
    }
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|t| t != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(mut options)) = map.remove("anyOf") {
        options.retain(|o| o.get("type").is_none_or(|t| t != "null"));
        match (options.len(), options.pop()) {
            (1, Some(Value::Object(only))) => {
                for (key, value) in only {
                    map.entry(key).or_insert(value);
                }
            }
            (_, Some(last)) => {
                options.push(last);
                map.insert("anyOf".to_owned(), Value::Array(options));
            }
            (_, None) => {}
        }
    }
    one_of_names(map);
    for (key, value) in map.iter_mut() {
        // Names of properties are not keywords.
        if key == "properties" {
            if let Some(properties) = value.as_object_mut() {
                properties.values_mut().for_each(clean);
            }
        } else if key != "enum" && key != "default" && key != "const" {
            clean(value);
        }
    }
}

/// Enums whose variants have doc comments become `oneOf` of constants: one plain `enum` with the
/// comments joined is understood everywhere.
fn one_of_names(map: &mut Map<String, Value>) {
    let Some(Value::Array(options)) = map.get("oneOf") else { return };
    let names: Option<Vec<Value>> = options.iter().map(|o| o.get("const").cloned()).collect();
    let Some(names) = names else { return };
    let described = options.iter().filter_map(|o| {
        let name = o.get("const")?.as_str()?;
        let text = o.get("description")?.as_str()?;
        Some(format!("{name}: {}", text.trim_end_matches('.')))
    });
    let described = described.collect::<Vec<_>>().join("; ");
    map.remove("oneOf");
    map.insert("type".to_owned(), Value::from("string"));
    map.insert("enum".to_owned(), Value::Array(names));
    if !described.is_empty() {
        let own = map.get("description").and_then(Value::as_str).unwrap_or_default();
        let own = own.trim_end_matches('.');
        let text = if own.is_empty() { described } else { format!("{own} ({described}).") };
        map.insert("description".to_owned(), Value::from(text));
    }
}

/// Arguments from JSON.
///
/// # Errors
/// `Args`, naming the tool, what is wrong and what the tool takes.
pub fn parse<T: DeserializeOwned + JsonSchema>(tool: &str, args: Value) -> Result<T, Error> {
    let args = if args.is_null() { Value::Object(Map::new()) } else { args };
    if !args.is_object() {
        return Err(Error::Args(format!("{tool}: the arguments are not an object; pass `{{…}}`")));
    }
    let mut args = without_nulls(args);
    whole(&mut args);
    let result: Result<T, _> = serde_path(&args);
    result.map_err(|error| {
        let schema = portable::<T>();
        let names: Vec<&str> = schema["properties"]
            .as_object()
            .map(|p| p.keys().map(String::as_str).collect())
            .unwrap_or_default();
        let names = names.join("`, `");
        // What serde expected instead is what it takes, and is told once.
        let unknown = error.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
        let unknown = unknown.filter(|name| args.get(*name).is_some());
        let told = unknown.map(|name| format!("unknown field `{name}`"));
        let error = told.unwrap_or(error);
        Error::Args(format!("{tool}: {error}; it takes `{names}`"))
    })
}

/// A `null` is an argument that was not given: some clients send every optional one.
fn without_nulls(mut args: Value) -> Value {
    if let Some(map) = args.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    args
}

/// Up to here a float holds every whole number.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A number without a fraction is a whole one, as JSON Schema has it, however it is written: some
/// clients send `500.0`.
fn whole(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            if float.fract() == 0.0 && float.abs() <= WHOLE_MAX {
                *value = Value::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole),
        Value::Object(map) => map.values_mut().for_each(whole),
        _ => {}
    }
}

fn serde_path<T: DeserializeOwned>(args: &Value) -> Result<T, String> {
    T::deserialize(args).map_err(|error| {
        // serde names the wrong value but not its key: find it by leaving keys out.
        let Some(map) = args.as_object() else { return error.to_string() };
        for key in map.keys() {
            let mut rest = map.clone();
            rest.remove(key);
            let after = T::deserialize(&Value::Object(rest)).map_err(|e| e.to_string());
            let other = after.as_ref().err().is_none_or(|e| *e != error.to_string());
            if other
                && !error.to_string().starts_with("unknown field")
                && !error.to_string().starts_with("missing field")
            {
                return format!("`{key}` does not fit: {error}");
            }
        }
        error.to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    struct Args {
        limit: u32,
        lines: Option<[u32; 2]>,
        trust: Option<f64>,
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let args = |text: &str| parse::<Args>("t", serde_json::from_str(text).unwrap());
        let wanted = Args { limit: 500, lines: Some([10, 40]), trust: Some(1.0) };
        for text in [
            r#"{"limit": 500, "lines": [10, 40], "trust": 1}"#,
            r#"{"limit": 500.0, "lines": [10.0, 4e1], "trust": 1.0}"#,
            r#"{"limit": 5e2, "lines": [1e1, 40], "trust": 1e0}"#,
        ] {
            assert_eq!(args(text).unwrap(), wanted, "{text}");
        }
        for text in [r#"{"limit": 0.5}"#, r#"{"limit": -1.0}"#, r#"{"limit": 1e300}"#] {
            let why = args(text).unwrap_err().to_string();
            assert!(why.contains("`limit` does not fit"), "{text}: {why}");
        }
        assert_eq!(args(r#"{"limit": 1, "trust": 0.5}"#).unwrap().trust, Some(0.5));
    }
}

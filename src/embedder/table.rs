//! What is known of embedding models beside their files: how texts are announced to them, how many
//! tokens they read, for which languages they were made. Facts of the models' own cards; data, not
//! code.

use synod_index::MadeFor::{self, English, Many};

/// A family of models.
#[derive(Debug)]
pub struct Known {
    /// What their names begin with, in lower case, without the owner.
    names: &'static [&'static str],
    /// In front of a query.
    pub query: &'static str,
    /// In front of a passage.
    pub passage: &'static str,
    /// Tokens they were made for.
    pub window: usize,
    /// Languages they were made for.
    made_for: MadeFor,
}

const TO_SEARCH: &str = "Represent this sentence for searching relevant passages: ";

/// The first row that fits counts.
const TABLE: &[Known] = &[
    row(&["all-minilm"], "", "", 256, English),
    // The small one, which Ollama means where no size is named; the others are `VARIANTS`.
    row(&["granite-embedding"], "", "", 8192, English),
    row(&["bge-m3"], "", "", 8192, Many),
    row(&["bge-"], TO_SEARCH, "", 512, English),
    row(&["gte-"], "", "", 512, English),
    row(&["mxbai-embed"], TO_SEARCH, "", 512, English),
    row(
        &["snowflake-arctic-embed2", "snowflake-arctic-embed-l-v2", "snowflake-arctic-embed-m-v2"],
        "query: ",
        "",
        8192,
        Many,
    ),
    row(&["snowflake-arctic-embed"], TO_SEARCH, "", 512, English),
    row(&["multilingual-e5"], "query: ", "passage: ", 512, Many),
    row(&["e5-"], "query: ", "passage: ", 512, English),
    row(&["nomic-embed-text-v2"], "search_query: ", "search_document: ", 512, Many),
    row(&["nomic-embed-text"], "search_query: ", "search_document: ", 2048, English),
    Known {
        names: &["embeddinggemma"],
        query: "task: search result | query: ",
        passage: "title: none | text: ",
        window: 2048,
        made_for: Many,
    },
    Known {
        names: &["qwen3-embedding"],
        query: "Instruct: Given a web search query, retrieve relevant passages that answer the \
                query\nQuery:",
        passage: "",
        window: 32768,
        made_for: Many,
    },
];

/// Models of a family that were made for other languages than the rest of it, by what their names
/// hold; `None` for one other language, of which nothing is said.
const VARIANTS: &[(&str, Option<MadeFor>)] = &[
    ("multilingual", Some(Many)),
    ("granite-embedding:278m", Some(Many)),
    ("gte-qwen", Some(Many)),
    ("-zh", None),
];

const fn row(
    names: &'static [&'static str],
    query: &'static str,
    passage: &'static str,
    window: usize,
    made_for: MadeFor,
) -> Known {
    Known { names, query, passage, window, made_for }
}

/// A model's name as a server has it, without what LM Studio puts before every one. Names of
/// OpenAI's own models begin so too; nothing is known of those.
pub fn served(name: &str) -> &str {
    let bare = name.rsplit('/').next().unwrap_or(name);
    bare.strip_prefix("text-embedding-").unwrap_or(name)
}

/// What is known of a model by its name, as `owner/name:tag` or any part of that.
pub fn known(name: &str) -> Option<&'static Known> {
    let name = bare(name);
    TABLE.iter().find(|row| row.names.iter().any(|known| name.starts_with(known)))
}

/// The languages that a model was made for, by its name; `None` where they are not known.
pub fn made_for(name: &str) -> Option<MadeFor> {
    let known = known(name)?;
    let name = bare(name);
    let variant = VARIANTS.iter().find(|(part, _)| name.contains(part));
    variant.map_or(Some(known.made_for), |(_, made_for)| *made_for)
}

/// A name in lower case, without the owner.
fn bare(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_the_forms_of_hubs_and_ollama() {
        let query = |name: &str| known(name).map(|row| row.query);
        assert_eq!(query("nomic-embed-text:latest"), Some("search_query: "));
        assert_eq!(query("nomic-ai/nomic-embed-text-v1.5"), Some("search_query: "));
        assert_eq!(query("BAAI/bge-small-en-v1.5"), Some(TO_SEARCH));
        assert_eq!(query("bge-m3"), Some(""));
        assert_eq!(query("all-minilm:l6-v2"), Some(""));
        assert!(query("qwen3-embedding:0.6b").is_some_and(|q| q.starts_with("Instruct: ")));
        assert_eq!(query("something-else"), None);
    }

    #[test]
    fn names_of_lm_studio_are_known() {
        let passage = |name: &str| known(served(name)).map(|row| row.passage);
        for name in ["text-embedding-nomic-embed-text-v1.5", "nomic-ai/nomic-embed-text-v1.5"] {
            assert_eq!(passage(name), Some("search_document: "), "{name}");
        }
        assert_eq!(passage("text-embedding-multilingual-e5-small@q8_0"), Some("passage: "));
        for name in ["text-embedding-3-small", "text-embedding-ada-002", "text-embedding-004"] {
            assert_eq!(passage(name), None, "{name}");
        }
    }

    #[test]
    fn names_say_for_which_languages_a_model_was_made() {
        for name in [
            "all-MiniLM-L6-v2",
            "all-minilm",
            "BAAI/bge-small-en-v1.5",
            "gte-base",
            "mixedbread-ai/mxbai-embed-large-v1",
            "nomic-embed-text:latest",
            "nomic-ai/nomic-embed-text-v1.5",
            "snowflake-arctic-embed:335m",
            "Snowflake/snowflake-arctic-embed-m-v1.5",
            "intfloat/e5-small-v2",
            "granite-embedding:30m",
            "ibm-granite/granite-embedding-125m-english",
        ] {
            assert_eq!(made_for(name), Some(English), "{name}");
        }
        for name in [
            "bge-m3:latest",
            "BAAI/bge-multilingual-gemma2",
            "granite-embedding:278m",
            "ibm-granite/granite-embedding-107m-multilingual",
            "intfloat/multilingual-e5-small",
            "snowflake-arctic-embed2",
            "Snowflake/snowflake-arctic-embed-l-v2.0",
            "nomic-embed-text-v2-moe",
            "Alibaba-NLP/gte-multilingual-base",
            "Alibaba-NLP/gte-Qwen2-1.5B-instruct",
            "embeddinggemma:300m",
            "qwen3-embedding:0.6b",
        ] {
            assert_eq!(made_for(name), Some(Many), "{name}");
        }
        for name in ["bge-small-zh-v1.5", "thenlper/gte-large-zh", "something-else", ""] {
            assert_eq!(made_for(name), None, "{name}");
        }
    }
}

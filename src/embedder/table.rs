//! What is known of embedding models beside their files: how texts are announced to them, and how
//! many tokens they read. Facts of the models' own cards; data, not code.

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
}

const TO_SEARCH: &str = "Represent this sentence for searching relevant passages: ";

/// The first row that fits counts.
const TABLE: &[Known] = &[
    Known { names: &["all-minilm"], query: "", passage: "", window: 256 },
    Known { names: &["granite-embedding"], query: "", passage: "", window: 8192 },
    Known { names: &["bge-m3"], query: "", passage: "", window: 8192 },
    Known { names: &["bge-"], query: TO_SEARCH, passage: "", window: 512 },
    Known { names: &["gte-"], query: "", passage: "", window: 512 },
    Known { names: &["mxbai-embed"], query: TO_SEARCH, passage: "", window: 512 },
    Known { names: &["snowflake-arctic-embed2"], query: "query: ", passage: "", window: 8192 },
    Known { names: &["snowflake-arctic-embed"], query: TO_SEARCH, passage: "", window: 512 },
    Known {
        names: &["multilingual-e5", "e5-"],
        query: "query: ",
        passage: "passage: ",
        window: 512,
    },
    Known {
        names: &["nomic-embed-text"],
        query: "search_query: ",
        passage: "search_document: ",
        window: 2048,
    },
    Known {
        names: &["embeddinggemma"],
        query: "task: search result | query: ",
        passage: "title: none | text: ",
        window: 2048,
    },
    Known {
        names: &["qwen3-embedding"],
        query: "Instruct: Given a web search query, retrieve relevant passages that answer the \
                query\nQuery:",
        passage: "",
        window: 32768,
    },
];

/// What is known of a model by its name, as `owner/name:tag` or any part of that.
pub fn known(name: &str) -> Option<&'static Known> {
    let name = name.to_lowercase();
    let bare = name.rsplit('/').next().unwrap_or(&name);
    TABLE.iter().find(|row| row.names.iter().any(|known| bare.starts_with(known)))
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
}

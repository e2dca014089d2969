//! Files whose names say that they hold secrets: nothing of them but their names is in an index.

use super::{Engine, Place};
use crate::program::sql;
use synod_index::{Error, Filters, SearchArgs};

/// Words of one file each, no two of them alike.
const WORDS: [&str; 11] = [
    "quokka",
    "numbat",
    "bandicoot",
    "bilby",
    "dunnart",
    "potoroo",
    "wallaby",
    "echidna",
    "platypus",
    "kowari",
    "thylacine",
];

#[test]
fn files_of_keys_and_passwords_are_found_by_their_names_alone() {
    let secrets = ["id_rsa", "tls/server.pem", "prod.env", "secrets.yaml", "credentials.json"];
    let others = ["Passwords.md", "id_rsa.pub", "secrets.rs", "about pem.txt"];
    let place = Place::new();
    for (word, path) in WORDS.iter().zip(secrets.iter().chain(&others)) {
        place.write(path, format!("opening: {word} of the harbour\n"));
    }
    let mut engine = place.scanned();
    for (word, path) in WORDS.iter().zip(&secrets) {
        assert_eq!(engine.paths(&format!("+{word}")), Vec::<String>::new(), "{path}");
        let by_name = engine.search(&path.replace(['/', '.', '_'], " "));
        let hit = by_name.hits.iter().find(|hit| hit.path == *path);
        let hit = hit.unwrap_or_else(|| panic!("{path} is not found by its name"));
        assert!(hit.snippet.contains("found by its name only"), "{path}: {}", hit.snippet);
        let refused = engine.read(path).expect_err(path);
        assert!(matches!(refused, Error::Unreadable { .. }), "{path}: {refused}");
        assert!(!refused.to_string().contains(word), "{path}: {refused}");
    }
    for (word, path) in WORDS[secrets.len()..].iter().zip(&others) {
        assert_eq!(engine.paths(&format!("+{word}")), [*path], "what is no such file is read");
    }
    // Which those are can be asked, and why.
    let filters = Filters { kind: Some("secret".to_owned()), ..Filters::default() };
    let listed = engine.index.search(&SearchArgs { filters, ..super::args("") }).expect("a list");
    assert_eq!(listed.total, secrets.len());
    // One that changes stays what it is, and who hands the text over has it found.
    place.write("id_rsa", "opening: kowari again\n");
    engine.scan();
    assert_eq!(engine.paths("+kowari"), Vec::<String>::new());
    let text = "pushed: thylacine\n".to_owned();
    engine.updater.push("pushed", "credentials.json", text).expect("pushed");
    assert_eq!(engine.paths("+thylacine"), ["credentials.json"]);
    engine.assert_clean();
}

#[test]
fn what_an_older_program_read_of_them_is_forgotten() {
    let place = Place::new();
    place.write("plain.txt", "opening: quokka of the harbour\n");
    let engine = place.scanned();
    assert_eq!(engine.paths("+quokka"), ["plain.txt"]);
    drop(engine);
    // As it was when such a file was read as any other.
    let database = place.data().join("index/index.db");
    sql(&database, "UPDATE file SET path='server.pem' WHERE path='plain.txt'");
    sql(&database, "UPDATE meta SET value=3 WHERE key='reading'");
    place.rename("plain.txt", "server.pem");
    let mut engine = Engine::open(&place.data(), &place.root());
    engine.scan();
    assert_eq!(engine.paths("+quokka"), Vec::<String>::new());
    assert_eq!(engine.paths("server pem"), ["server.pem"]);
    engine.assert_clean();
}

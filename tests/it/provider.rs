//! Embeddings from servers: a scripted one that speaks what was recorded of Ollama 0.17 and of
//! OpenAI's API, with the failures that real ones have.

use super::program::{Client, PATIENCE, Place, poll};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use synod::config::{Embedding, Provider};
use synod::embedder::Remote;
use synod_index::Embedder;

/// Values of the scripted model's vectors.
const DIMENSIONS: usize = 16;

/// How the server behaves; tests change it while it runs.
#[derive(Clone, Debug)]
pub struct Script {
    /// Words that the model reads; longer texts are refused, or cut if `silent`.
    window: usize,
    silent: bool,
    /// Status and words of that refusal, where they are not Ollama's.
    refusal: Option<(u16, &'static str)>,
    pub digest: String,
    /// Another one has other vectors.
    seed: usize,
    models: Vec<String>,
    /// `nan`, `zeros`, `short`, `long`, `few`, `404`, `429`, `500`, `503`, `drop`, `hang`: what
    /// goes wrong with embeddings.
    wrong: &'static str,
    /// Each request of this number is turned away with 429, to be sent again at once.
    turned_away: Option<usize>,
    /// Words of each request for vectors.
    pub asked: Vec<usize>,
    /// The texts of all of them.
    pub texts: Vec<String>,
    /// How long each text takes; it works on one request at a time.
    pub pace: Duration,
    turn: Arc<Mutex<()>>,
    /// Requests that are not answered yet.
    in_hand: usize,
    /// Each request since there is a pace.
    paced: Vec<Paced>,
    keys: Vec<String>,
}

/// A request, and how it came.
#[derive(Clone, Debug)]
struct Paced {
    /// Its first text.
    first: String,
    n_texts: usize,
    /// How many were in hand when it came.
    ahead: usize,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            window: 100,
            silent: false,
            refusal: None,
            digest: "aaaaaaaaaaaabbbb".to_owned(),
            seed: 0,
            models: vec!["toy:latest".to_owned()],
            wrong: "",
            turned_away: None,
            asked: Vec::new(),
            texts: Vec::new(),
            pace: Duration::ZERO,
            turn: Arc::default(),
            in_hand: 0,
            paced: Vec::new(),
            keys: Vec::new(),
        }
    }
}

/// A server on a port of its own; it ends with the test's process.
pub struct Server {
    pub url: String,
    script: Arc<Mutex<Script>>,
}

impl Server {
    pub fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let script = Arc::new(Mutex::new(script));
        let shared = Arc::clone(&script);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let script = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &script));
            }
        });
        Server { url, script }
    }

    pub fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().expect("the script"));
    }

    pub fn script(&self) -> Script {
        self.script.lock().expect("the script").clone()
    }
}

/// Requests of one connection, one behind the other.
fn serve(mut stream: TcpStream, script: &Mutex<Script>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    while let Some((line, key, body)) = request(&mut reader) {
        if !key.is_empty() {
            script.lock().expect("the script").keys.push(key);
        }
        work(&body, script);
        let Some((status, reply)) = answer(&line, &body, script) else { return };
        let reply = reply.to_string();
        let says_when = status == 429 && script.lock().expect("the script").turned_away.is_some();
        let again = if says_when { "retry-after: 0\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{again}\
             content-length: {}\r\n\r\n",
            reply.len()
        );
        if stream.write_all(format!("{head}{reply}").as_bytes()).is_err() {
            return;
        }
    }
}

/// Takes as long for a request as the script says.
fn work(body: &Value, script: &Mutex<Script>) {
    let script = || script.lock().expect("the script");
    let texts = body["input"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(first) = texts.first().and_then(Value::as_str) else { return };
    let (pace, turn) = {
        let mut script = script();
        let request =
            Paced { first: first.to_owned(), n_texts: texts.len(), ahead: script.in_hand };
        script.in_hand += 1;
        if script.wrong == "hang" || !script.pace.is_zero() {
            script.paced.push(request);
        }
        (script.pace * texts.len() as u32, Arc::clone(&script.turn))
    };
    while script().wrong == "hang" {
        std::thread::sleep(Duration::from_millis(10));
    }
    if !pace.is_zero() {
        let _turn = turn.lock().expect("its turn");
        std::thread::sleep(pace);
    }
    script().in_hand -= 1;
}

pub fn request(reader: &mut impl BufRead) -> Option<(String, String, Value)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let (mut length, mut key) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim_end();
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(": ").unwrap_or((header, ""));
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => key = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((line, key, serde_json::from_slice(&body).unwrap_or_default()))
}

/// Status and body; nothing when the connection is to break.
fn answer(line: &str, body: &Value, script: &Mutex<Script>) -> Option<(u16, Value)> {
    let path = line.split(' ').nth(1).unwrap_or_default();
    let mut script = script.lock().expect("the script");
    if path == "/api/tags" {
        let digest = format!("sha256:{}", script.digest);
        let row = |name: &String| json!({"name": name, "model": name, "digest": digest});
        return Some((200, json!({"models": script.models.iter().map(row).collect::<Vec<_>>()})));
    }
    if path == "/api/pull" {
        let name = body["model"].as_str().unwrap_or_default();
        script.models.push(format!("{name}:latest"));
        return Some((200, json!({"status": "success"})));
    }
    let texts: Vec<String> =
        body["input"].as_array()?.iter().filter_map(|t| t.as_str().map(str::to_owned)).collect();
    let words = |text: &String| text.split_whitespace().count();
    script.asked.push(texts.iter().map(words).sum());
    if script.turned_away.is_some_and(|each| script.asked.len().is_multiple_of(each)) {
        return Some((429, json!({"error": {"message": "rate limit reached"}})));
    }
    script.texts.extend(texts.iter().cloned());
    match script.wrong {
        "drop" => return None,
        "404" => return Some((404, json!({"error": "model \"toy\" not found, try pulling it"}))),
        "500" => return Some((500, json!({"error": "out of memory"}))),
        "503" => return Some((503, json!({"error": "server busy, please try again"}))),
        "429" => return Some((429, json!({"error": {"message": "slow down"}}))),
        _ => {}
    }
    if !script.silent && texts.iter().any(|text| words(text) > script.window) {
        let (status, text) =
            script.refusal.unwrap_or((400, "the input length exceeds the context length"));
        let error = if path == "/api/embed" { json!(text) } else { json!({"message": text}) };
        return Some((status, json!({ "error": error })));
    }
    let mut vectors: Vec<Value> = texts.iter().map(|t| vector(t, &script)).collect();
    if script.wrong == "few" {
        vectors.pop();
    }
    let tokens: usize = texts.iter().map(|text| words(text).min(script.window)).sum();
    if path == "/api/embed" {
        let reply = json!({"model": body["model"], "embeddings": vectors,
                           "prompt_eval_count": tokens + texts.len()});
        return Some((200, reply));
    }
    let mut rows: Vec<Value> = vectors
        .into_iter()
        .enumerate()
        .map(|(at, vector)| json!({"object": "embedding", "index": at, "embedding": vector}))
        .collect();
    // The order is not promised.
    rows.reverse();
    Some((200, json!({"object": "list", "data": rows, "usage": {"prompt_tokens": 0}})))
}

/// Words of the same meaning fall on the same value; not of length 1, as some servers have it.
fn vector(text: &str, script: &Script) -> Value {
    const MEANINGS: [&[&str]; 4] =
        [&["car", "automobile"], &["bread", "loaves"], &["singing", "choir"], &["stone"]];
    let mut values = [0.01; DIMENSIONS];
    for word in text.split_whitespace().take(script.window) {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        let meaning = MEANINGS.iter().position(|words| words.contains(&word.as_str()));
        let at = meaning.unwrap_or(4 + word.len() % 8) + script.seed;
        values[at % DIMENSIONS] += if meaning.is_some() { 5.0 } else { 0.1 };
    }
    match script.wrong {
        "nan" => values.map(|_| Value::Null).to_vec().into(),
        "zeros" => json!(vec![0.0; DIMENSIONS]),
        "short" => json!(&values[..3]),
        "long" => json!([&values[..], &[0.01]].concat()),
        _ => json!(values),
    }
}

pub fn vault() -> Place {
    let place = Place::new();
    place.write("vault/garage.md", "# Garage\n\nThe automobile needs brakes before winter.\n");
    place.write("vault/oven.md", "# Oven\n\nTwo loaves with rye flour, forty minutes.\n");
    let long = "harbour ferry weather tide ".repeat(30);
    place.write("vault/choir.md", format!("# Music\n\n{long}\n\nThe choir meets on Thursday.\n"));
    // The same as far as a short window reads.
    place.write("vault/band.md", format!("# Music\n\n{long}\n\nNobody meets on Thursday.\n"));
    place
}

pub fn configure(place: &Place, provider: &str, url: &str, more: &str) -> String {
    let text =
        format!("[embedding]\nprovider = \"{provider}\"\nmodel = \"toy\"\nurl = \"{url}\"\n{more}");
    place.write("synod.toml", text).to_str().expect("UTF-8").to_owned()
}

pub fn index(place: &Place, config: &str) -> (i32, String, String) {
    let vault = place.path().join("vault");
    let vault = vault.to_str().expect("UTF-8");
    place.outcome(&["index", vault, "--wait", "--config", config])
}

pub fn search(place: &Place, config: &str, query: &str) -> Value {
    let ask = json!({"query": query, "mode": "semantic"}).to_string();
    let (code, out, err) = place.outcome(&["call", "search", &ask, "--config", config]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).expect("JSON")
}

#[test]
fn both_dialects_find_what_is_said_in_other_words() {
    for (provider, path) in [("ollama", ""), ("openai", "/v1")] {
        let server = Server::start(Script::default());
        let place = vault();
        let config = configure(&place, provider, &format!("{}{path}", server.url), "");
        let (code, _, err) = index(&place, &config);
        assert_eq!(code, 0, "{provider}: {err}");
        for (query, path) in [("car", "garage.md"), ("bread", "oven.md"), ("singing", "choir.md")] {
            let reply = search(&place, &config, query);
            assert_eq!(reply["hits"][0]["path"], path, "{provider} {query}: {reply}");
            assert_eq!(reply["degraded"], json!([]));
            assert!(reply["total"].as_u64() > Some(0), "{query}: {reply}");
        }
        let (_, out, _) = place.outcome(&["model", "spaces", "--config", &config]);
        // Measured to one part in sixteen; the prefix says who embeds.
        let known = out.split("window ").nth(1).and_then(|rest| rest.split(' ').next());
        let window: usize = known.expect("a window").parse().expect("a number");
        assert!((90..=100).contains(&window), "{out}");
        assert!(out.starts_with(&format!("answers: {provider}/toy@")), "{out}");
    }
}

#[test]
fn a_model_of_lm_studio_has_its_prefixes_unless_a_space_was_filled_without() {
    let server = Server::start(Script::default());
    let write = |place: &Place, more: &str| {
        let url = &server.url;
        let text = format!(
            "[embedding]\nprovider = \"openai\"\nmodel = \"text-embedding-nomic-embed-text-v1.5\"\n\
             url = \"{url}/v1\"\n{more}"
        );
        place.write("synod.toml", text).to_str().expect("UTF-8").to_owned()
    };
    let asked = |place: &Place, config: &str| {
        server.change(|script| script.texts.clear());
        let (code, _, err) = index(place, config);
        assert_eq!(code, 0, "{err}");
        assert_eq!(search(place, config, "car")["hits"][0]["path"], "garage.md");
        server.script().texts
    };
    let begins = |texts: &[String], with: &str| texts.iter().any(|text| text.starts_with(with));
    let place = vault();
    let config = write(&place, "");
    let texts = asked(&place, &config);
    assert!(begins(&texts, "search_document: ") && begins(&texts, "search_query: car"));
    // As an older program filled it.
    let place = vault();
    asked(&place, &write(&place, "query_prefix = \"\"\npassage_prefix = \"\"\n"));
    place.write("vault/attic.md", "# Attic\n\nDust and letters.\n");
    let config = write(&place, "");
    let texts = asked(&place, &config);
    assert!(begins(&texts, "car") && !begins(&texts, "search_"), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("Dust")), "{texts:?}");
    assert!(!texts.iter().any(|text| text.contains("brakes")), "it was embedded again");
    assert_eq!(spaces(&place, &config).len(), 1);
}

/// A vault of so many notes in German, and in English.
fn written(german: usize, english: usize) -> Place {
    let place = Place::new();
    let german = std::iter::repeat_n(
        "Der Hafen war am Morgen noch leer, und die Boote lagen ruhig am Steg. Wir haben lange \
         auf den Wind gewartet, aber er kam nicht.",
        german,
    );
    let english = std::iter::repeat_n(
        "The harbour was still empty in the morning and the boats lay calm at the pier. We waited \
         for the wind.",
        english,
    );
    for (at, text) in german.chain(english).enumerate() {
        place.write(&format!("vault/{at}.md"), format!("{text}\n"));
    }
    place
}

/// What is said of the languages of the notes: by a server, in data, words and its resource, and
/// by `doctor`, in data and words.
fn said(place: &Place, args: &[&str], ready: impl Fn(&Value) -> bool) -> [String; 5] {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |all: &str| {
        let line = all.lines().find(|line| line.contains("made for English"));
        line.map(|line| line.trim_start_matches("note: ").to_owned()).unwrap_or_default()
    };
    let mut client = place.stdio(args);
    let result = poll("a status", PATIENCE, || {
        let result = client.call("index_status", json!({}));
        ready(&result["structuredContent"]).then_some(result)
    });
    let read = client.request("resources/read", json!({"uri": "synod://status"}));
    let resource = read["result"]["contents"][0]["text"].as_str().expect("a resource");
    let resource: Value = serde_json::from_str(resource).expect("JSON");
    assert!(client.end().success());
    let doctor = |more: &[&str]| {
        let (code, out, err) = place.outcome(&[&["doctor"][..], more, args].concat());
        assert_eq!(code, 0, "{out}{err}");
        out
    };
    let data: Value = serde_json::from_str(&doctor(&["--json"])).expect("JSON");
    [
        text(&result["structuredContent"]["embedding"]["warning"]),
        line(result["content"][0]["text"].as_str().expect("words")),
        text(&resource["warning"]),
        text(&data["warning"]),
        line(&doctor(&[])),
    ]
}

/// The same of a server whose model has this name.
fn said_with(place: &Place, model: &str) -> [String; 5] {
    let models = vec![format!("{model}:latest")];
    let server = Server::start(Script { models, ..Script::default() });
    let url = &server.url;
    let text =
        format!("[embedding]\nprovider = \"ollama\"\nmodel = \"{model}\"\nurl = \"{url}\"\n");
    let config = place.write("synod.toml", text).to_str().expect("UTF-8").to_owned();
    let (code, _, err) = index(place, &config);
    assert_eq!(code, 0, "{model}: {err}");
    // The model is there, and something is embedded.
    said(place, &["--config", &config], |status| status["degraded"] == json!([]))
}

#[test]
fn a_model_for_english_among_notes_in_other_languages_is_warned_of() {
    let place = written(6, 2);
    let all = said_with(&place, "all-minilm");
    for said in &all {
        let whole = said.contains("75 % in German") && said.contains("`embedding.model`");
        assert!(whole && said == &all[0], "{all:#?}");
    }
    let nothing: [String; 5] = Default::default();
    assert_eq!(said_with(&place, "bge-m3"), nothing, "a model for many languages");
    assert_eq!(said_with(&place, "toy"), nothing, "a model of which nothing is known");
    assert_eq!(said_with(&written(0, 8), "all-minilm"), nothing, "English notes");
    assert_eq!(said_with(&written(4, 6), "all-minilm"), nothing, "German ones are fewer");
    let config = place.write("synod.toml", "[embedding]\nmodel = \"\"\n");
    let args = ["--config", config.to_str().expect("UTF-8")];
    let words = said(&place, &args, |status| status["documents"] == 8);
    assert_eq!(words, nothing, "words alone, beside vectors");
}

#[test]
fn a_window_is_measured_and_longer_passages_go_in_parts() {
    for silent in [false, true] {
        let server = Server::start(Script { window: 40, silent, ..Script::default() });
        let place = vault();
        let config = configure(&place, "ollama", &server.url, "");
        assert_eq!(index(&place, &config).0, 0);
        let (_, out, _) = place.outcome(&["model", "spaces", "--config", &config]);
        let known = out.split("window ").nth(1).and_then(|rest| rest.split(' ').next());
        let window: usize = known.expect("a window").parse().expect("a number");
        assert!((36..=40).contains(&window), "silent {silent}: {out}");
        // The word at the end of the long note is beyond the window.
        let reply = search(&place, &config, "singing");
        let best = &reply["hits"][0]["path"];
        assert_eq!(best, "choir.md", "silent {silent}: {reply}");
    }
}

#[test]
fn a_window_is_measured_whatever_words_a_server_has_for_it() {
    for refusal in [
        (500, "input (514 tokens) is too large to process. increase the physical batch size"),
        (413, "Input validation error: `inputs` must have less than 40 tokens. Given: 514"),
    ] {
        let refusal = Some(refusal);
        let server = Server::start(Script { window: 40, refusal, ..Script::default() });
        let place = vault();
        let config = configure(&place, "openai", &format!("{}/v1", server.url), "");
        let (code, _, err) = index(&place, &config);
        assert_eq!(code, 0, "{refusal:?}: {err}");
        let reply = search(&place, &config, "singing");
        assert_eq!(reply["hits"][0]["path"], "choir.md", "{refusal:?}: {reply}");
    }
}

#[test]
fn what_is_no_vector_is_refused_and_words_still_answer() {
    for (wrong, said) in [
        ("nan", "no numbers"),
        ("zeros", "zeros"),
        ("few", "vectors for"),
        ("404", "has no model `toy`"),
        ("500", "answered 500"),
        ("503", "answered 503"),
        ("429", "answered 429"),
        ("drop", "does not answer"),
    ] {
        let server = Server::start(Script { wrong, ..Script::default() });
        let place = vault();
        let config = configure(&place, "ollama", &server.url, "");
        let (code, _, err) = index(&place, &config);
        assert!(code == 1 && err.contains(said), "{wrong}: {code} {err}");
        let ask = json!({"query": "automobile"}).to_string();
        let (_, out, _) = place.outcome(&["call", "search", &ask, "--config", &config]);
        let reply: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(reply["hits"][0]["path"], "garage.md", "{wrong}");
        assert_eq!(reply["degraded"], json!(["semantic"]), "{wrong}");
    }
}

#[test]
fn a_server_that_says_when_to_ask_again_is_asked_again() {
    let server = Server::start(Script { turned_away: Some(4), ..Script::default() });
    let place = vault();
    let config = configure(&place, "openai", &format!("{}/v1", server.url), "");
    let (code, _, err) = index(&place, &config);
    assert_eq!(code, 0, "{err}");
    // While it was measured and later, too.
    assert!(server.script().asked.len() > 9, "{:?}", server.script().asked);
    server.change(|script| script.turned_away = None);
    assert_eq!(search(&place, &config, "car")["hits"][0]["path"], "garage.md");
}

#[test]
fn a_server_that_fails_in_the_middle_costs_nothing_but_the_meaning() {
    let server = Server::start(Script::default());
    let place = vault();
    let config = configure(&place, "ollama", &server.url, "");
    assert_eq!(index(&place, &config).0, 0);
    for wrong in ["short", "404", "500", "503", "drop"] {
        server.change(|script| script.wrong = "");
        let mut client = place.stdio(&["--config", &config]);
        let mut semantic = |query: &str| {
            let reply = client.call("search", json!({"query": query}));
            let reply = reply["structuredContent"].clone();
            assert!(reply["hits"].as_array().is_some_and(|hits| !hits.is_empty()), "{reply}");
            reply
        };
        poll("the model is there", PATIENCE, || {
            (semantic("automobile")["degraded"] == json!([])).then_some(())
        });
        server.change(|script| script.wrong = wrong);
        let reply = semantic("automobile brakes");
        assert_eq!(reply["degraded"], json!(["semantic"]), "{wrong}: {reply}");
        assert!(reply["notes"][0].as_str().is_some_and(|n| n.contains("ollama at")), "{reply}");
    }
}

/// A server over stdio whose model is there.
fn with_model(place: &Place, config: &str) -> Client {
    let mut client = place.stdio(&["--config", config]);
    poll("the model is there", PATIENCE, || {
        let reply = client.answered("search", json!({"query": "car"}));
        (reply["degraded"] == json!([])).then_some(())
    });
    client
}

#[test]
fn a_server_that_does_not_answer_costs_one_search_a_wait_and_no_other() {
    let server = Server::start(Script::default());
    let place = vault();
    let config = configure(&place, "ollama", &server.url, "");
    assert_eq!(index(&place, &config).0, 0);
    let mut client = with_model(&place, &config);
    let mut search = |query: &str| {
        let reply = client.answered("search", json!({"query": query}));
        assert_eq!(reply["hits"][0]["path"], "garage.md", "{query}: {reply}");
        reply["degraded"].clone()
    };
    // One that loads its model first is waited for.
    server.change(|script| script.pace = Duration::from_millis(1_500));
    assert_eq!(search("automobile tyres"), json!([]));
    server.change(|script| {
        (script.pace, script.wrong) = (Duration::ZERO, "hang");
        script.paced.clear();
    });
    for query in ["automobile brakes", "automobile winter", "automobile needs"] {
        assert_eq!(search(query), json!(["semantic"]), "{query}");
        assert_eq!(server.script().paced.len(), 1, "it was asked once and is left alone");
    }
    server.change(|script| script.wrong = "");
    poll("it is asked again", PATIENCE, || (search("automobile") == json!([])).then_some(()));
}

#[test]
fn background_requests_follow_the_speed_of_a_server_and_a_query_waits_for_one_at_most() {
    let server = Server::start(Script::default());
    let place = vault();
    let config = configure(&place, "ollama", &server.url, "");
    assert_eq!(index(&place, &config).0, 0);
    let mut client = with_model(&place, &config);
    server.change(|script| script.pace = Duration::from_millis(300));
    for n in 0..30 {
        place.write(&format!("vault/new{n}.md"), format!("# New {n}\n\nA stone, the {n}th.\n"));
    }
    let background = |server: &Server| {
        let paced = server.script().paced.into_iter();
        paced.filter(|request| request.first.contains('\n')).collect::<Vec<_>>()
    };
    poll("work in the background", PATIENCE, || (!background(&server).is_empty()).then_some(()));
    let mut asked = 0;
    poll("the end of it", PATIENCE, || {
        asked += 1;
        client.answered("search", json!({"query": format!("query{asked} car")}));
        let texts: usize = background(&server).iter().map(|request| request.n_texts).sum();
        (texts >= 30).then_some(())
    });
    let requests = background(&server);
    let largest = requests.iter().map(|request| request.n_texts).max().expect("a request");
    // Three seconds are ten texts, where sixteen would be sent at once.
    assert!((3..=10).contains(&largest), "{largest} texts: {requests:?}");
    let paced = server.script().paced;
    let queries: Vec<&Paced> = paced.iter().filter(|r| r.first.starts_with("query")).collect();
    assert!(queries.iter().any(|query| query.ahead == 1), "none came meanwhile: {queries:?}");
    assert!(queries.iter().all(|query| query.ahead <= 1), "{queries:?}");
}

#[test]
fn a_missing_model_is_named_and_can_be_pulled() {
    let server = Server::start(Script { models: Vec::new(), ..Script::default() });
    let place = vault();
    let config = configure(&place, "ollama", &server.url, "");
    let (code, _, err) = index(&place, &config);
    assert!(code == 1 && err.contains("`synod model pull toy`"), "{err}");
    let (code, out, err) = place.outcome(&["model", "pull", "--config", &config]);
    assert_eq!((code, out.as_str()), (0, "toy is there\n"), "{err}");
    assert_eq!(index(&place, &config).0, 0);
}

#[test]
fn another_model_under_the_same_name_fills_a_space_of_its_own() {
    let server = Server::start(Script::default());
    let place = vault();
    let config = configure(&place, "ollama", &server.url, "");
    assert_eq!(index(&place, &config).0, 0);
    server.change(|script| script.digest = "ccccccccccccdddd".to_owned());
    assert_eq!(index(&place, &config).0, 0);
    let (_, out, _) = place.outcome(&["model", "spaces", "--config", &config]);
    assert!(out.contains("answers: ollama/toy@cccccccccccc"), "{out}");
    assert!(out.contains("kept: ollama/toy@aaaaaaaaaaaa"), "{out}");
    let (code, out, err) = place.outcome(&["model", "rollback", "--config", &config]);
    assert!(code == 0 && out.contains("ollama/toy@aaaaaaaaaaaa"), "{out}{err}");
    // What was taken back does not come again by itself.
    assert_eq!(index(&place, &config).0, 0);
    let (_, out, _) = place.outcome(&["model", "spaces", "--config", &config]);
    assert!(out.contains("answers: ollama/toy@aaaaaaaaaaaa"), "{out}");
}

/// A name of OpenAI's API, behind which there may be any model.
fn named(server: &Server) -> Embedding {
    Embedding {
        provider: Provider::Openai,
        model: "toy".to_owned(),
        url: Some(format!("{}/v1", server.url)),
        ..Embedding::default()
    }
}

#[test]
fn another_model_behind_a_name_is_known_by_what_it_gives() {
    let server = Server::start(Script::default());
    let place = vault();
    let config = configure(&place, "openai", &format!("{}/v1", server.url), "");
    let with = |seed: usize| {
        server.change(|script| script.seed = seed);
        let (code, _, err) = index(&place, &config);
        assert_eq!(code, 0, "{seed}: {err}");
        let reply = search(&place, &config, "car");
        assert_eq!(reply["hits"][0]["path"], "garage.md", "{seed}: {reply}");
        let lines = spaces(&place, &config);
        let answers = lines.iter().find_map(|line| line.strip_prefix("answers: "));
        let name = answers.and_then(|line| line.split(", ").next()).expect("one");
        (name.to_owned(), lines.len())
    };
    let (first, n) = with(0);
    assert!(n == 1 && first.starts_with("openai/toy@named 16d") && first.ends_with("parts"));
    let (second, n) = with(5);
    assert!(n == 2 && second.starts_with(&format!("{first} probe ")), "{second}");
    assert_eq!(with(0).0, first);
    assert_eq!(with(5).0, second);
}

#[test]
fn a_server_that_was_given_another_model_is_asked_nothing_more_under_the_old_one() {
    let server = Server::start(Script::default());
    let remote = Remote::open(&named(&server)).expect("the server");
    let n_asked = || server.script().asked.len();
    let before = n_asked();
    assert_eq!(remote.is_same().ok(), Some(true));
    assert_eq!(n_asked(), before, "nobody asked it: it may rest");
    remote.query("car").expect("a vector");
    assert_eq!(remote.is_same().ok(), Some(true));
    remote.query("car").expect("a vector");
    server.change(|script| script.seed = 5);
    assert_eq!(remote.is_same().ok(), Some(false));
    let before = n_asked();
    let passages = remote.passages(&["a car".to_owned()]).expect_err("another model");
    for why in [remote.query("car").expect_err("another model"), passages] {
        assert!(why.contains("another model under the same name"), "{why}");
    }
    assert_eq!(n_asked(), before);
    // Where it does not answer nothing is said of its model.
    let other = Remote::open(&named(&server)).expect("the server");
    server.change(|script| script.wrong = "drop");
    assert!(other.query("car").is_err() && other.is_same().is_err());
}

#[test]
fn a_model_with_other_vectors_behind_a_name_is_taken_up_by_a_running_server() {
    let server = Server::start(Script::default());
    let place = vault();
    let config = configure(&place, "openai", &format!("{}/v1", server.url), "");
    assert_eq!(index(&place, &config).0, 0);
    let mut client = with_model(&place, &config);
    server.change(|script| script.wrong = "long");
    // Each time another query: what was asked last is known.
    let mut n = 0;
    let mut search = || {
        n += 1;
        client.answered("search", json!({"query": format!("automobile {n}")}))
    };
    let reply = search();
    assert_eq!(reply["degraded"], json!(["semantic"]), "{reply}");
    let reply = poll("the other model answers", PATIENCE, || {
        Some(search()).filter(|reply| reply["degraded"] == json!([]))
    });
    assert_eq!(reply["hits"][0]["path"], "garage.md", "{reply}");
}

/// The lines of `synod model spaces`.
fn spaces(place: &Place, config: &str) -> Vec<String> {
    let (code, out, err) = place.outcome(&["model", "spaces", "--config", config]);
    assert_eq!(code, 0, "{err}");
    out.lines().map(str::to_owned).collect()
}

/// Two settings that give two spaces of one server.
fn two_settings(place: &Place, url: &str) -> [String; 2] {
    let text = |prefix: &str| {
        format!(
            "[embedding]\nprovider = \"ollama\"\nmodel = \"toy\"\nurl = \"{url}\"\n\
             passage_prefix = \"{prefix}\"\n"
        )
    };
    ["first", "second"].map(|name| {
        let path = place.write(&format!("{name}.toml"), text(&format!("{name}: ")));
        path.to_str().expect("UTF-8").to_owned()
    })
}

#[test]
fn two_processes_that_switch_at_once_leave_one_space_that_answers() {
    let server = Server::start(Script::default());
    let place = vault();
    let configs = two_settings(&place, &server.url);
    assert_eq!(index(&place, &configs[0]).0, 0);
    for round in 0..3 {
        place.write(&format!("vault/new{round}.md"), "# Stone\n\nA wall of granite.\n");
        std::thread::scope(|scope| {
            for config in &configs {
                let place = &place;
                scope.spawn(move || {
                    let (code, _, err) = index(place, config);
                    assert_eq!(code, 0, "{config}: {err}");
                });
            }
        });
        let lines = spaces(&place, &configs[0]);
        let answering = lines.iter().filter(|line| line.starts_with("answers: ")).count();
        assert_eq!(answering, 1, "{lines:?}");
        assert!(lines.len() <= 3, "the last two, and one that is filled: {lines:?}");
        for config in &configs {
            let reply = search(&place, config, "car");
            assert_eq!(reply["hits"][0]["path"], "garage.md", "{reply}");
            assert_eq!(reply["degraded"], json!([]), "{reply}");
        }
    }
    // Each by itself: what it names answers in the end.
    for (config, name) in configs.iter().zip(["first: ", "second: "]) {
        assert_eq!(index(&place, config).0, 0);
        let lines = spaces(&place, config);
        let answers = lines.iter().find(|line| line.starts_with("answers: ")).expect("one");
        assert!(answers.contains(name), "{lines:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_disk_that_is_full_during_a_switch_leaves_the_old_space_answering() {
    let server = Server::start(Script::default());
    let place = vault();
    let [first, second] = two_settings(&place, &server.url);
    assert_eq!(index(&place, &first).0, 0);
    let before = spaces(&place, &first);
    let vault = place.path().join("vault");
    let mut failed = 0;
    // Files may not grow beyond so many blocks: as a full disk, it fails whatever writes more.
    for blocks in [0, 1, 2, 4, 16, 64, 128] {
        let synod = place.command(&[]);
        let mut command = std::process::Command::new("sh");
        command.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\""));
        command.arg("sh").arg(synod.get_program());
        command.args(synod.get_args());
        let vault = vault.to_str().expect("UTF-8");
        command.args(["index", vault, "--wait", "--config", &second]);
        command.envs(synod.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let (code, _, err) = super::program::outcome(command);
        assert!(code == 0 || code == 1, "{blocks}: {code} {err}");
        if code == 1 {
            failed += 1;
            assert!(!err.trim().is_empty(), "{blocks}: a failure without a word");
            let now = spaces(&place, &first);
            assert_eq!(now.iter().find(|l| l.starts_with("answers")), before.first(), "{now:?}");
        }
        let reply = search(&place, &second, "car");
        assert_eq!(reply["hits"][0]["path"], "garage.md", "{blocks}: {reply}");
        assert_eq!(reply["degraded"], json!([]), "{blocks}: {reply}");
    }
    assert!(failed > 0, "no disk was full");
    assert_eq!(index(&place, &second).0, 0);
    let now = spaces(&place, &second);
    assert!(now.iter().any(|l| l.starts_with("answers") && l.contains("second: ")), "{now:?}");
    let (code, out, err) = place.outcome(&["doctor", "--config", &second]);
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn odd_queries_are_answered_with_a_model_too() {
    let server = Server::start(Script::default());
    let place = vault();
    let config = configure(&place, "ollama", &server.url, "");
    assert_eq!(index(&place, &config).0, 0);
    let mut client = place.stdio(&["--config", &config]);
    poll("the model is there", PATIENCE, || {
        let reply = client.call("search", json!({"query": "car"}));
        (reply["structuredContent"]["degraded"] == json!([])).then_some(())
    });
    let status = client.call("index_status", json!({}));
    let place = &status["structuredContent"]["sources"][0]["embedded_by"];
    assert_eq!(place, &json!(format!("ollama at {}/", server.url)), "{status}");
    let long = "automobile ".repeat(100_000);
    for query in
        [long.as_str(), "", "   ", "the of and to a", "\u{1F697}\u{1F35E}", "?!\u{2026}", "\0"]
    {
        for mode in ["hybrid", "semantic", "lexical"] {
            let reply = client.call("search", json!({"query": query, "mode": mode}));
            let head: String = query.chars().take(20).collect();
            assert_eq!(reply["isError"], json!(false), "{mode} {head:?}: {reply}");
            let found = &reply["structuredContent"];
            let hits = found["hits"].as_array().is_some_and(|hits| !hits.is_empty());
            let notes = found["notes"].as_array().is_some_and(|notes| !notes.is_empty());
            assert!(hits || notes, "{mode} {head:?} is answered by silence: {reply}");
        }
        let pack = client.call("context_pack", json!({"query": query, "tokens": 500}));
        let said = &pack["content"][0]["text"];
        assert!(pack["isError"] == false && said.as_str().is_some_and(|t| t.len() > 20), "{pack}");
    }
}

#[test]
fn a_server_that_is_long_gone_is_found_again() {
    let server = Server::start(Script::default());
    let place = vault();
    let config = configure(&place, "ollama", &server.url, "");
    assert_eq!(index(&place, &config).0, 0);
    server.change(|script| script.wrong = "drop");
    let mut client = place.stdio(&["--config", &config]);
    // Meanwhile what is saved is found by its words, and waits for its vector.
    place.write("vault/quay.md", "# Quay\n\nA bollard of granite, and a singing gull.\n");
    let mut found = |query: &str, mode: &str| {
        let reply = client.call("search", json!({"query": query, "mode": mode}));
        let found = reply["structuredContent"].clone();
        let path = found["hits"][0]["path"].as_str().unwrap_or_default().to_owned();
        (path, found["degraded"].clone())
    };
    poll("the new note is found by word", PATIENCE, || {
        let (path, degraded) = found("bollard", "hybrid");
        (path == "quay.md" && degraded == json!(["semantic"])).then_some(())
    });
    assert_eq!(found("automobile", "hybrid").1, json!(["semantic"]));
    server.change(|script| script.wrong = "");
    poll("the server is asked again and the note has its vector", PATIENCE, || {
        let (path, degraded) = found("choir gull", "semantic");
        (degraded == json!([]) && path == "quay.md").then_some(())
    });
}

#[test]
fn a_status_says_why_nothing_is_embedded_until_something_is() {
    let server = Server::start(Script::default());
    let place = vault();
    let config = configure(&place, "ollama", &server.url, "");
    assert_eq!(index(&place, &config).0, 0);
    let mut client = with_model(&place, &config);
    let mut status = || client.answered("index_status", json!({}));
    assert_eq!(status()["degraded"], json!([]));
    // Nobody asks for anything: it is a note that waits.
    server.change(|script| script.wrong = "500");
    place.write("vault/quay.md", "# Quay\n\nA bollard of granite.\n");
    let failing = poll("the reason", PATIENCE, || {
        Some(status()).filter(|status| status["degraded"] == json!(["semantic"]))
    });
    let why = failing["embedding"]["warning"].as_str().unwrap_or_default();
    assert!(why.contains("answered 500"), "{failing}");
    server.change(|script| script.wrong = "");
    let well = poll("the end of it", PATIENCE, || {
        Some(status()).filter(|status| status["degraded"] == json!([]))
    });
    assert_eq!(well["embedding"]["warning"], Value::Null, "{well}");
    // And a query that fails.
    server.change(|script| script.wrong = "500");
    client.answered("search", json!({"query": "automobile tyres"}));
    let failing = client.answered("index_status", json!({}));
    assert_eq!(failing["degraded"], json!(["semantic"]), "{failing}");
}

#[test]
fn a_status_says_why_nothing_was_ever_embedded() {
    let place = vault();
    // Nobody listens there any more.
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let config = configure(&place, "ollama", &format!("http://{port}"), "");
    let (code, _, err) = index(&place, &config);
    assert!(code == 1 && err.contains("does not answer"), "{code}: {err}");
    let mut client = place.stdio(&["--config", &config]);
    let status = poll("the reason", PATIENCE, || {
        let status = client.answered("index_status", json!({}));
        Some(status).filter(|status| status["embedding"]["warning"].is_string())
    });
    let why = status["embedding"]["warning"].as_str().unwrap_or_default();
    assert!(why.contains("does not answer"), "{status}");
    assert_eq!(status["degraded"], json!(["semantic"]));
    assert_eq!(status["embedding"]["coverage"].as_f64(), Some(0.0));
}

#[test]
fn nothing_leaves_this_machine_that_was_not_named() {
    let place = vault();
    let config = configure(&place, "openai", "https://embeddings.invalid/v1", "");
    let (code, _, err) = index(&place, &config);
    assert!(code == 1 && err.contains("cloud_collections"), "{err}");
    let more = "key_env = \"SYNOD_TEST_NO_SUCH_KEY\"\n";
    let config = configure(&place, "openai", "http://127.0.0.1:9/v1", more);
    let (code, _, err) = index(&place, &config);
    assert!(code == 1 && err.contains("SYNOD_TEST_NO_SUCH_KEY"), "{err}");
}

#[test]
fn the_key_goes_in_the_header_and_nowhere_else() {
    for (provider, path) in [("openai", "/v1"), ("ollama", "")] {
        let server = Server::start(Script::default());
        let place = vault();
        let url = format!("{}{path}", server.url);
        let config = configure(&place, provider, &url, "key_env = \"SYNOD_TEST_KEY\"\n");
        let vault = place.path().join("vault");
        let run = |args: &[&str]| {
            let mut command = place.command(args);
            command.env("SYNOD_TEST_KEY", "s3cret-of-mine");
            let (code, out, err) = super::program::outcome(command);
            assert_eq!(code, 0, "{provider}: {err}");
            let keys = server.script().keys;
            assert!(keys.iter().all(|key| key == "Bearer s3cret-of-mine"), "{keys:?}");
            assert!(!format!("{out}{err}").contains("s3cret"));
            keys.len()
        };
        let vault = vault.to_str().expect("UTF-8");
        let n = run(&["index", vault, "--wait", "--config", &config]);
        assert!(n > 0, "{provider}: no key was sent");
        if provider == "ollama" {
            assert_eq!(run(&["model", "pull", "--config", &config]), n + 1);
        }
        for entry in walk(&place.data()) {
            let bytes = std::fs::read(&entry).expect("a file");
            assert!(!bytes.windows(14).any(|w| w == b"s3cret-of-mine"), "{}", entry.display());
        }
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        match entry.file_type().expect("a type").is_dir() {
            true => out.extend(walk(&entry.path())),
            false => out.push(entry.path()),
        }
    }
    out
}

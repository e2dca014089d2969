//! A server that speaks OpenAI's chat completions, whole or as a stream, and answers every question
//! alike or as a test says; models that are held answer when they are let go.

use super::provider::request;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// What a model says to a request.
pub type Says = fn(&str, &Value) -> String;

#[derive(Default)]
struct State {
    held: Vec<String>,
    asked: BTreeMap<String, usize>,
}

/// A server on a port of its own; it ends with the test's process.
pub struct Chat {
    pub url: String,
    inside: Arc<(Mutex<State>, Condvar)>,
}

impl Chat {
    /// With models that wait until [`Chat::release`].
    pub fn start(held: &[&str]) -> Self {
        Self::with(held, |_, _| "Half.\nAnswer: 42".to_owned())
    }

    /// With models that say what `says` makes of a request.
    pub fn saying(says: Says) -> Self {
        Self::with(&[], says)
    }

    /// The configuration of a provider `p` here, with these models, each of a family of its own.
    pub fn config(&self, models: &[&str]) -> String {
        let mut text = format!(
            "[[provider]]\nname = \"p\"\ndialect = \"openai\"\nurl = \"{}\"\nstream = false\n",
            self.url
        );
        for id in models {
            text.push_str(&format!(
                "[[model]]\nid = \"{id}\"\nprovider = \"p\"\nfamily = \"{id}\"\n\
                 vendor = \"v-{id}\"\n"
            ));
        }
        text
    }

    /// Both.
    pub fn with(held: &[&str], says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let held = held.iter().map(|model| (*model).to_owned()).collect();
        let state = State { held, ..State::default() };
        let inside = Arc::new((Mutex::new(state), Condvar::new()));
        let shared = Arc::clone(&inside);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared, says));
            }
        });
        Chat { url, inside }
    }

    pub fn release(&self) {
        self.inside.0.lock().expect("the state").held.clear();
        self.inside.1.notify_all();
    }

    /// Questions that a model was asked.
    pub fn asked(&self, model: &str) -> usize {
        let state = self.inside.0.lock().expect("the state");
        state.asked.get(model).copied().unwrap_or(0)
    }
}

fn serve(mut stream: TcpStream, inside: &(Mutex<State>, Condvar), says: Says) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    while let Some((_, _, body)) = request(&mut reader) {
        let model = body["model"].as_str().unwrap_or_default().to_owned();
        let mut state = inside.0.lock().expect("the state");
        *state.asked.entry(model.clone()).or_default() += 1;
        while state.held.contains(&model) {
            state = inside.1.wait(state).expect("the state");
        }
        drop(state);
        let text = says(&model, &body);
        let (kind, reply) = match body["stream"] == true {
            true => ("text/event-stream", streamed(&model, &text)),
            false => ("application/json", whole(&model, &text)),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            reply.len()
        );
        if stream.write_all(format!("{head}{reply}").as_bytes()).is_err() {
            return;
        }
    }
}

fn whole(model: &str, text: &str) -> String {
    json!({
        "id": "c", "object": "chat.completion", "created": 0, "model": model,
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    })
    .to_string()
}

/// Piece by piece, one for each word.
fn streamed(model: &str, text: &str) -> String {
    let chunk = |delta: Value, finish: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        let body = json!({"id": "c", "object": "chat.completion.chunk", "created": 0,
                          "model": model, "choices": [choice]});
        format!("data: {body}\n\n")
    };
    let words: String =
        text.split_inclusive(' ').map(|word| chunk(json!({ "content": word }), None)).collect();
    format!("{words}{}data: [DONE]\n\n", chunk(json!({}), Some("stop")))
}

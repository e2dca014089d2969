//! A server that speaks OpenAI's chat completions and answers every question alike; models that are
//! held answer when they are let go.

use super::provider::request;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

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
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let held = held.iter().map(|model| (*model).to_owned()).collect();
        let state = State { held, ..State::default() };
        let inside = Arc::new((Mutex::new(state), Condvar::new()));
        let shared = Arc::clone(&inside);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
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

fn serve(mut stream: TcpStream, inside: &(Mutex<State>, Condvar)) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    while let Some((_, _, body)) = request(&mut reader) {
        let model = body["model"].as_str().unwrap_or_default().to_owned();
        let mut state = inside.0.lock().expect("the state");
        *state.asked.entry(model.clone()).or_default() += 1;
        while state.held.contains(&model) {
            state = inside.1.wait(state).expect("the state");
        }
        drop(state);
        let reply = json!({
            "id": "c", "object": "chat.completion", "created": 0, "model": model,
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": "Half.\nAnswer: 42"}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        });
        let reply = reply.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            reply.len()
        );
        if stream.write_all(format!("{head}{reply}").as_bytes()).is_err() {
            return;
        }
    }
}

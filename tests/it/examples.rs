//! The examples of the documentation run as they stand, against a real server with recorded models.

use super::chat::Chat;
use super::program::{Place, root};
use std::process::Command;

/// Runs an example and gives what it printed.
fn run(program: &str, args: &[&str], example: &str, base: &str, words: &[&str]) -> String {
    let path = root().join("docs/examples").join(example);
    let mut command = Command::new(program);
    command.args(args).arg(path).arg(base).args(words).env_remove("TOKEN");
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example}: {said}{err}");
    said
}

/// Node: the test command installs version 22 for its clients; whoever has it needs no other.
pub fn node() -> String {
    let node = root().join("target/clients/node_modules/.bin/node");
    if node.exists() { node.to_string_lossy().into_owned() } else { "node".to_owned() }
}

#[test]
fn they_run() {
    let server = Chat::start(&[]);
    let place = Place::new();
    let config = place.write("synod.toml", server.config(&["one", "two", "three"]));
    let web = place.http(&["--config", &config.to_string_lossy()], &[]);
    let base = format!("http://{}", web.address);
    let said = run("bash", &[], "council.sh", &base, &["What is half of 84?", "42"]);
    assert!(said.contains("answer: 42") && said.contains("same:   True"), "{said}");
    let models = super::http::get(web.address, "/v1/models").json()["models"].to_string();
    assert!(models.contains("\"n\":1"), "it was taught: {models}");
    let said = run("python3", &[], "council.py", &base, &["What is half of 84?"]);
    assert!(said.contains("answer: 42") && said.contains("asked:"), "{said}");
    let args = ["--experimental-websocket", "--no-warnings"];
    let said = run(&node(), &args, "council.mjs", &base, &["Should the index move?"]);
    assert!(
        said.contains("logic: ") && said.contains("cost: ") && said.contains("trust:"),
        "{said}"
    );
}

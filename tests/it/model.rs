//! In-process embedding against vectors that sentence-transformers made of the same texts.

use super::program::{PATIENCE, Place, poll};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use synod::config::Embedding;
use synod::embedder::Local;
use synod_embed::{Error, Model, Precision};
use synod_index::{Detail, Embedder, Filters, Index, Mode, Role, SearchArgs, SourceSpec, Updater};

/// The model that `tests/model.sh` got; absent is a failure where everything must be checked.
pub fn minilm() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"));
    let folder = target.join("models/all-MiniLM-L6-v2");
    if folder.join("model.safetensors").exists() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "no embedding model: run tests/model.sh");
    eprintln!("no embedding model here (tests/model.sh gets it): nothing to compare");
    None
}

struct Case {
    text: String,
    vector: Vec<f32>,
}

fn golden() -> (usize, Vec<Case>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/minilm.json");
    let all: Value =
        serde_json::from_slice(&std::fs::read(path).expect("the golden file")).expect("JSON");
    let numbers = |value: &Value| -> Vec<f32> {
        let numbers = value.as_array().expect("numbers").iter();
        numbers.map(|n| n.as_f64().expect("a number") as f32).collect()
    };
    let case = |case: &Value| Case {
        text: case["text"].as_str().expect("a text").to_owned(),
        vector: numbers(&case["vector"]),
    };
    let cases = all["cases"].as_array().expect("cases").iter().map(case).collect();
    (all["window"].as_u64().expect("a window") as usize, cases)
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn vectors_are_those_of_sentence_transformers() {
    let Some(folder) = minilm() else { return };
    let (window, cases) = golden();
    let model = Model::open(&folder, Precision::F32).expect("the model");
    assert_eq!((model.window(), model.dimensions()), (window, 384));
    for Case { text, vector } in &cases {
        let near = cosine(&model.vector(text).expect("a vector"), vector);
        assert!(near >= 0.9999, "{near} for {text:?}");
    }
    // Texts of all lengths in one call stay apart.
    let tokens = cases.iter().map(|case| model.tokens(&case.text).expect("tokens"));
    let together = model.vectors(&tokens.collect::<Vec<_>>()).expect("vectors");
    for (Case { text, vector }, ours) in cases.iter().zip(&together) {
        assert!(cosine(ours, vector) >= 0.9999, "{text:?} among others");
    }
}

#[test]
fn eight_bits_keep_the_direction() {
    let Some(folder) = minilm() else { return };
    let model = Model::open(&folder, Precision::Int8).expect("the model");
    // What says nothing is never embedded.
    let cases: Vec<Case> = golden().1.into_iter().filter(|case| !case.text.is_empty()).collect();
    let near = |case: &Case| cosine(&model.vector(&case.text).expect("a vector"), &case.vector);
    let all: Vec<f32> = cases.iter().map(near).collect();
    let least = all.iter().copied().fold(1.0, f32::min);
    let mean = all.iter().sum::<f32>() / all.len() as f32;
    assert!(mean >= 0.995 && least >= 0.99, "mean {mean}, least {least}");
}

#[test]
fn what_is_no_model_is_refused_with_the_file_at_fault() {
    let Some(folder) = minilm() else { return };
    let broken = |file: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            let bytes = std::fs::read(folder.join(name)).expect("a file of the model");
            let bytes = if name == file { change(bytes) } else { bytes };
            std::fs::write(dir.path().join(name), bytes).expect("a copy");
        }
        let fault = Model::open(dir.path(), Precision::Int8).err();
        let fault = fault.unwrap_or_else(|| panic!("a broken {file} is taken"));
        assert!(fault.to_string().contains(dir.path().to_str().expect("UTF-8")), "{fault}");
        fault
    };
    let edited = |file: &'static str, from: &'static str, to: &'static str| {
        broken(file, &|bytes| {
            let text = String::from_utf8(bytes).expect("UTF-8");
            assert!(text.contains(from));
            text.replacen(from, to, 1).into_bytes()
        })
    };
    let cut = broken("model.safetensors", &|bytes| bytes[..bytes.len() / 2].to_vec());
    assert!(matches!(cut, Error::Damaged { .. }), "{cut}");
    let empty = broken("model.safetensors", &|_| Vec::new());
    assert!(matches!(empty, Error::File { .. } | Error::Damaged { .. }), "{empty}");
    let garbage = broken("tokenizer.json", &|_| b"{}".to_vec());
    assert!(matches!(garbage, Error::Damaged { .. }), "{garbage}");
    let narrow = edited("config.json", "\"hidden_size\": 384", "\"hidden_size\": 768");
    assert!(matches!(narrow, Error::Damaged { .. }), "{narrow}");
    let other = edited("config.json", "\"model_type\": \"bert\"", "\"model_type\": \"gpt2\"");
    assert!(matches!(other, Error::Unsupported { .. }), "{other}");
    // A tokenizer of a larger vocabulary would ask for rows that are not there.
    let larger = edited("tokenizer.json", "\"[unused0]\":1,", "\"[unused0]\":1,\"qqsynod\":40000,");
    assert!(matches!(larger, Error::Damaged { .. }), "{larger}");
    // Numbers that are none, in a matrix of one of the layers.
    let poisoned = broken("model.safetensors", &|mut bytes| {
        let at = bytes.len() / 10 * 9;
        bytes[at..at + 64].fill(0xFF);
        bytes
    });
    assert!(matches!(poisoned, Error::Damaged { .. }), "{poisoned}");
}

/// The number that `tests/golden/shapes.py` puts at a place of a tensor.
fn weight(name: &str, at: usize) -> f32 {
    let seed = name.bytes().map(u64::from).sum::<u64>() * 7_919;
    let hash = ((at as u64 * 31 + seed) * 2_654_435_761) as u32;
    let value = ((hash >> 26) as f32 - 32.0) / 128.0;
    if name.ends_with("LayerNorm.weight") { value + 1.0 } else { value }
}

/// A value that a 16-bit float holds exactly.
fn half(value: f32) -> u16 {
    let bits = value.to_bits();
    let (sign, exponent) = ((bits >> 16) as u16 & 0x8000, (bits >> 23 & 0xFF) as i32 - 112);
    if value == 0.0 { 0 } else { sign | (exponent as u16) << 10 | (bits >> 13 & 0x3FF) as u16 }
}

/// Names and sizes of the tensors of a shape.
fn tensors(shape: &Value, n_words: usize) -> Vec<(String, Vec<usize>)> {
    let number = |key: &str| shape[key].as_u64().expect("a number") as usize;
    let (hidden, wide) = (number("hidden"), number("wide"));
    let tables = [
        ("word_embeddings", n_words),
        ("position_embeddings", number("window")),
        ("token_type_embeddings", 2),
    ];
    let table =
        |(name, rows): (&str, usize)| (format!("embeddings.{name}.weight"), vec![rows, hidden]);
    let mut tensors: Vec<(String, Vec<usize>)> = tables.into_iter().map(table).collect();
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..number("layers") {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        let dense = [
            ("attention.self.query", hidden, hidden),
            ("attention.self.key", hidden, hidden),
            ("attention.self.value", hidden, hidden),
            ("attention.output.dense", hidden, hidden),
            ("intermediate.dense", wide, hidden),
            ("output.dense", hidden, wide),
        ];
        for (part, outputs, inputs) in dense {
            tensors.push((name(&format!("{part}.weight")), vec![outputs, inputs]));
            tensors.push((name(&format!("{part}.bias")), vec![outputs]));
        }
        norms.extend([name("attention.output.LayerNorm"), name("output.LayerNorm")]);
    }
    for norm in norms {
        tensors.push((format!("{norm}.weight"), vec![hidden]));
        tensors.push((format!("{norm}.bias"), vec![hidden]));
    }
    tensors
}

/// The weights of a shape as a safetensors file.
fn weights(shape: &Value, n_words: usize) -> Vec<u8> {
    let dtype = shape["dtype"].as_str().expect("a type");
    let (mut head, mut body) = (serde_json::Map::new(), Vec::new());
    for (name, sizes) in tensors(shape, n_words) {
        let start = body.len();
        for at in 0..sizes.iter().product() {
            let value = weight(&name, at);
            match dtype {
                "F32" => body.extend(value.to_le_bytes()),
                "BF16" => body.extend(((value.to_bits() >> 16) as u16).to_le_bytes()),
                _ => body.extend(half(value).to_le_bytes()),
            }
        }
        let name = format!("{}{name}", shape["prefix"].as_str().expect("a prefix"));
        let offsets = [start, body.len()];
        head.insert(name, json!({"dtype": dtype, "shape": sizes, "data_offsets": offsets}));
    }
    let head = serde_json::to_vec(&head).expect("JSON");
    [&(head.len() as u64).to_le_bytes(), &head[..], &body].concat()
}

/// WordPiece over a vocabulary that begins with the five marks.
fn tokenizer(vocabulary: &[Value]) -> Value {
    let ids = vocabulary.iter().enumerate();
    let words: serde_json::Map<String, Value> =
        ids.map(|(id, word)| (word.as_str().expect("a word").to_owned(), json!(id))).collect();
    let special = |id: usize| {
        json!({"id": id, "content": vocabulary[id], "special": true, "single_word": false,
               "lstrip": false, "rstrip": false, "normalized": false})
    };
    json!({
        "version": "1.0", "added_tokens": [special(0), special(1), special(2), special(3)],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "lowercase": true,
            "handle_chinese_chars": true, "strip_accents": null},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "cls": ["[CLS]", 2], "sep": ["[SEP]", 3]},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": words,
            "continuing_subword_prefix": "##", "max_input_chars_per_word": 100},
    })
}

/// Lays out the small model that a shape of the golden file describes.
fn lay_out(shape: &Value, vocabulary: &[Value], folder: &Path) {
    let config = json!({
        "model_type": "bert", "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "hidden_size": shape["hidden"], "intermediate_size": shape["wide"],
        "max_position_embeddings": shape["window"], "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
    });
    let cls = shape["pooling"] == "cls";
    let pooling = json!({"pooling_mode_cls_token": cls, "pooling_mode_mean_tokens": !cls});
    std::fs::create_dir_all(folder.join("1_Pooling")).expect("a folder");
    let write = |name: &str, bytes: Vec<u8>| {
        std::fs::write(folder.join(name), bytes).expect("a file of the model");
    };
    write("model.safetensors", weights(shape, vocabulary.len()));
    write("config.json", config.to_string().into());
    write("1_Pooling/config.json", pooling.to_string().into());
    write("tokenizer.json", tokenizer(vocabulary).to_string().into());
}

fn shapes() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/shapes.json");
    serde_json::from_slice(&std::fs::read(path).expect("the golden file")).expect("JSON")
}

#[test]
fn berts_of_other_shapes_give_the_vectors_that_torch_gives() {
    let golden = shapes();
    let vocabulary = golden["vocabulary"].as_array().expect("words");
    let texts: Vec<&str> =
        golden["texts"].as_array().expect("texts").iter().filter_map(Value::as_str).collect();
    for shape in golden["shapes"].as_array().expect("shapes") {
        let dir = tempfile::tempdir().expect("a folder");
        lay_out(shape, vocabulary, dir.path());
        for (precision, wanted) in [(Precision::F32, 0.9999), (Precision::Int8, 0.99)] {
            let model = Model::open(dir.path(), precision).expect("the model");
            for (text, vector) in texts.iter().zip(shape["vectors"].as_array().expect("vectors")) {
                let truth: Vec<f32> = vector
                    .as_array()
                    .expect("numbers")
                    .iter()
                    .map(|n| n.as_f64().expect("a number") as f32)
                    .collect();
                let near = cosine(&model.vector(text).expect("a vector"), &truth);
                assert!(near >= wanted, "{}, {precision:?}: {near} for {text:?}", shape["name"]);
            }
            // Together they are what they are alone.
            let tokens = texts.iter().map(|text| model.tokens(text).expect("tokens"));
            let together = model.vectors(&tokens.collect::<Vec<_>>()).expect("vectors");
            for (text, vector) in texts.iter().zip(&together) {
                let near = cosine(&model.vector(text).expect("a vector"), vector);
                assert!(near >= 0.999, "{}, {precision:?}: {near} for {text:?}", shape["name"]);
            }
        }
    }
}

#[test]
fn weights_are_packed_once_and_mended() {
    let Some(folder) = minilm() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let installed = synod_embed::install(&folder, dir.path(), "mini").expect("installed").folder;
    assert!(!folder.join("model.7bit-1").exists(), "a folder that is not ours was written to");
    let packed = installed.join("model.7bit-1");
    let vector = || {
        let model = Model::open(&installed, Precision::Int8).expect("the model");
        (model.vector("rye bread").expect("a vector"), model.revision())
    };
    let hash = synod_embed::hash(&folder.join("model.safetensors")).expect("a hash");
    let first = vector();
    assert_eq!(first.1, hash);
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let bytes = std::fs::read(&packed).expect("made when it was installed");
    for broken in [&bytes[..bytes.len() / 2], b"", b"synod 7b"] {
        // Replaced, not written into: whoever has the old one mapped keeps it.
        std::fs::remove_file(&packed).expect("removed");
        std::fs::write(&packed, broken).expect("written");
        assert_eq!(vector(), first);
        assert!(std::fs::read(&packed).expect("made anew") == bytes);
    }
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 0x40;
    std::fs::remove_file(&packed).expect("removed");
    std::fs::write(&packed, &damaged).expect("written");
    assert_eq!(vector(), first);
    // Where nothing can be put the process keeps its own copy.
    std::fs::remove_file(&packed).expect("removed");
    std::fs::create_dir(&packed).expect("something in its place");
    assert_eq!(vector(), first);
    let left = std::fs::read_dir(&installed).expect("a folder").flatten();
    let new = left.filter(|f| f.file_name().to_string_lossy().contains("new-")).count();
    assert_eq!(new, 0, "nothing half-written stays");
}

/// Lays out a small model whose weights have 32 bits.
fn small(folder: &Path) {
    let golden = shapes();
    lay_out(&golden["shapes"][0], golden["vocabulary"].as_array().expect("words"), folder);
}

#[test]
fn a_model_with_a_step_that_is_not_run_is_refused_and_not_installed() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("small");
    small(&folder);
    let modules = |names: &[&str]| {
        let row = |name: &&str| json!({"type": format!("sentence_transformers.models.{name}")});
        let rows: Vec<Value> = names.iter().map(row).collect();
        std::fs::write(folder.join("modules.json"), json!(rows).to_string()).expect("written");
    };
    modules(&["Transformer", "Pooling", "Normalize"]);
    assert!(Model::open(&folder, Precision::Int8).is_ok());
    modules(&["Transformer", "Pooling", "Dense", "Normalize"]);
    let fault = synod_embed::install(&folder, &dir.path().join("models"), "small").err();
    assert!(matches!(fault, Some(Error::Unsupported { .. })), "{fault:?}");
    let said = fault.map(|fault| fault.to_string()).unwrap_or_default();
    assert!(said.contains("`Dense`"), "{said}");
}

/// The small model, which rests whenever it is told to and nobody uses it, and is tried again by
/// whoever asks.
fn restless(folder: &Path) -> Local {
    small(folder);
    let local = Local::open(folder).expect("the model");
    local.idle_after(Duration::ZERO).again_after(Duration::ZERO)
}

/// Whether this process has a file of a folder mapped; nothing where the system does not say.
fn is_mapped(folder: &Path) -> Option<bool> {
    let folder = folder.canonicalize().expect("there");
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    Some(maps.contains(folder.to_str().expect("UTF-8")))
}

/// Puts other weights of the same shape in the place of those of the small model.
fn change_weights(folder: &Path) {
    let path = folder.join("model.safetensors");
    let mut bytes = std::fs::read(&path).expect("weights");
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&0.5f32.to_le_bytes());
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, bytes).expect("written");
}

/// Changes of a file beside the weights of the small model that change its vectors: the file, what
/// stands in it, and what then does.
const CHANGES: [[&str; 3]; 2] = [
    ["config.json", "\"layer_norm_eps\":", "\"layer_norm_eps\":1e-5,\"before\":"],
    ["tokenizer.json", "\"lowercase\":true", "\"lowercase\":false"],
];

/// Makes one of them, and returns what the file held.
fn change_beside(folder: &Path, [file, from, to]: [&str; 3]) -> String {
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path).expect("a file of the model");
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replace(from, to)).expect("written");
    text
}

fn some_texts() -> [String; 2] {
    ["The ferry leaves at dawn.", "birds singing"].map(str::to_owned)
}

#[test]
fn an_idle_model_is_given_back_and_gives_the_same_vectors_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("small");
    let (local, texts) = (restless(&folder), some_texts());
    let (query, passages) = (local.query("rye bread"), local.passages(&texts));
    assert!(query.is_ok() && passages.is_ok(), "{query:?} {passages:?}");
    assert_ne!(is_mapped(&folder), Some(false), "it is in use");
    assert!(local.rest());
    assert_ne!(is_mapped(&folder), Some(true), "its files are still mapped");
    assert!(!local.rest(), "there was nothing to give back");
    assert_eq!(local.query("rye bread"), query);
    assert_ne!(is_mapped(&folder), Some(false));
    assert!(local.rest());
    assert_eq!(local.passages(&texts), passages);
    assert!(local.rest());
    // One that was asked a moment ago is not idle.
    let usual = Local::open(&folder).expect("the model");
    assert_eq!(usual.query("rye bread"), query);
    assert!(!usual.rest());
    assert_ne!(is_mapped(&folder), Some(false));
}

#[test]
fn what_is_asked_while_a_model_is_given_back_has_its_vectors() {
    const ROUNDS: usize = 30;
    let dir = tempfile::tempdir().expect("a folder");
    let (local, texts) = (restless(&dir.path().join("small")), some_texts());
    let query = local.query("rye bread").expect("a vector");
    let passages = local.passages(&texts).expect("vectors");
    let n_rests = AtomicUsize::new(usize::from(local.rest()));
    let rest = || n_rests.fetch_add(usize::from(local.rest()), Ordering::Relaxed);
    let ask_query = || {
        for _ in 0..5 {
            assert_eq!(local.query("rye bread").as_ref(), Ok(&query));
        }
    };
    let ask_passages = || {
        for _ in 0..5 {
            assert_eq!(local.passages(&texts).as_ref(), Ok(&passages));
        }
    };
    for _ in 0..ROUNDS {
        // All of them find it resting, and it rests whenever none of them holds it.
        std::thread::scope(|scope| {
            let asking =
                [scope.spawn(ask_query), scope.spawn(ask_query), scope.spawn(ask_passages)];
            while !asking.iter().all(|thread| thread.is_finished()) {
                rest();
                std::thread::yield_now();
            }
        });
        rest();
    }
    assert!(n_rests.load(Ordering::Relaxed) > ROUNDS, "it was held when nobody asked");
}

#[test]
fn a_model_in_process_is_given_the_prefixes_of_the_configuration() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("small");
    small(&folder);
    let open = |query_prefix: Option<&str>, passage_prefix: Option<&str>| {
        let settings = Embedding {
            model: folder.to_str().expect("UTF-8").to_owned(),
            query_prefix: query_prefix.map(str::to_owned),
            passage_prefix: passage_prefix.map(str::to_owned),
            ..Embedding::default()
        };
        synod::embedder::open(&settings, None).expect("the model").expect("it is installed")
    };
    let plain = Local::open(&folder).expect("the model");
    assert_eq!(open(None, None).space(), plain.space());
    // A query is no part of what is kept.
    let asked = open(Some("rye "), None);
    assert_eq!(asked.space(), plain.space());
    assert_eq!(asked.query("bread"), plain.query("rye bread"));
    assert_ne!(asked.query("bread"), plain.query("bread"));
    let told = open(None, Some("rye "));
    assert!(told.space().contains("\"rye \""), "{}", told.space());
    let texts = |text: &str| [text.to_owned()];
    assert_eq!(told.passages(&texts("bread")), plain.passages(&texts("rye bread")));
}

#[test]
fn a_resting_model_whose_folder_is_gone_says_so_until_it_is_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("small");
    let (local, texts) = (restless(&folder), some_texts());
    let query = local.query("rye bread").expect("a vector");
    assert!(local.rest());
    let away = dir.path().join("away");
    std::fs::rename(&folder, &away).expect("moved");
    for asked in [local.query("rye bread").map(drop), local.passages(&texts).map(drop)] {
        let why = asked.expect_err("there is no model");
        assert!(why.contains("cannot read") && why.contains("config.json"), "{why}");
    }
    assert!(!local.take_changed(), "no other model is there");
    std::fs::rename(&away, &folder).expect("moved back");
    assert_eq!(local.query("rye bread"), Ok(query));
}

#[test]
fn a_resting_model_that_cannot_be_opened_is_not_tried_by_every_search() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("small");
    let local = restless(&folder).again_after(Duration::from_secs(3_600));
    local.query("rye bread").expect("a vector");
    assert!(local.rest());
    let away = dir.path().join("away");
    std::fs::rename(&folder, &away).expect("moved");
    let why = local.query("rye bread").expect_err("there is no model");
    // Whoever tried it once more would find it.
    std::fs::rename(&away, &folder).expect("moved back");
    assert_eq!(local.query("rye bread"), Err(why.clone()));
    assert_eq!(local.passages(&some_texts()), Err(why));
}

#[test]
fn other_files_beside_the_weights_of_a_resting_model_are_another_model() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("small");
    let local = restless(&folder);
    let query = local.query("rye bread").expect("a vector");
    for change in CHANGES {
        assert!(local.rest());
        let former = change_beside(&folder, change);
        let why = local.query("rye bread").expect_err("another model");
        assert!(why.contains("holds another one now"), "{why}");
        assert!(local.take_changed());
        let other = Local::open(&folder).expect("the model");
        assert!(why.contains(other.space()) && why.contains(local.space()), "{why}");
        std::fs::write(folder.join(change[0]), former).expect("written");
        assert_eq!(local.query("rye bread"), Ok(query.clone()), "{change:?}");
        assert!(!local.take_changed());
    }
    // What is written otherwise and says the same is the same.
    assert!(local.rest());
    let same = ["config.json", "{", "{ \"_name_or_path\": \"elsewhere\", "];
    change_beside(&folder, same);
    assert_eq!(local.query("rye bread"), Ok(query));
}

#[test]
fn the_model_of_the_space_that_answers_goes_when_another_one_takes_its_place() {
    let place = Place::new();
    let (configured, former) = (place.path().join("configured"), place.path().join("former"));
    let index = Index::open(&place.data()).expect("an index");
    let wanted = Arc::new(restless(&configured));
    let local = Arc::new(restless(&former));
    index.set_embedder(Arc::clone(&wanted) as Arc<dyn Embedder>);
    index.set_former(Arc::clone(&local) as Arc<dyn Embedder>);
    let model = configured.to_str().expect("UTF-8").to_owned();
    let settings = Embedding { model, ..Embedding::default() };
    synod::embedder::tend(&settings, &index);
    assert!(index.has_embedder(local.space()), "nobody found another one yet");
    change_weights(&former);
    assert!(local.query("rye bread").is_err());
    synod::embedder::tend(&settings, &index);
    assert!(!index.has_embedder(local.space()));
    assert!(index.has_embedder(wanted.space()));
    assert!(!local.take_changed(), "it was said once");
}

/// An index of a place's vault, by words.
fn indexed(place: &Place) -> Arc<Index> {
    let vault = place.path().canonicalize().expect("there").join("vault");
    let index = Index::open(&place.data()).expect("an index");
    let mut updater = Updater::new(Arc::clone(&index), || 0).expect("the writer");
    let source = updater.add_source(&vault, &SourceSpec::default()).expect("a source");
    updater.scan(&source, &|_| true).expect("scanned");
    index
}

/// Embeds whatever has no vector yet, and lets the index search with the model.
fn fill(index: &Arc<Index>, embedder: Arc<dyn Embedder>) {
    synod::eval::embed(index, embedder, &|_, _| ()).expect("embedded");
}

/// Whether a search by meaning found by words alone, and what it said.
fn ask(index: &Index, query: &str) -> (bool, Vec<String>) {
    let args = SearchArgs {
        query: query.to_owned(),
        also: Vec::new(),
        limit: 10,
        offset: 0,
        at_generation: None,
        filters: Filters::default(),
        detail: Detail::Names,
        mode: Mode::Semantic,
        explain: false,
        copies: true,
    };
    let found = index.search(&args).expect("found");
    (found.wordy, found.notes)
}

/// The spaces of an index: their names, vectors and roles.
fn spaces(index: &Index) -> Vec<(String, u64, Option<Role>)> {
    let spaces = index.spaces().expect("spaces").into_iter();
    spaces.map(|space| (space.name, space.vectors, space.role)).collect()
}

/// A model as programs call it that do not look at what lies beside its weights.
struct Older(Arc<Local>);

impl Embedder for Older {
    fn space(&self) -> &str {
        self.0.old_name().expect("a name")
    }

    fn dimensions(&self) -> usize {
        self.0.dimensions()
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        self.0.passages(texts)
    }

    fn query(&self, text: &str) -> Result<Vec<f32>, String> {
        self.0.query(text)
    }
}

#[test]
fn another_model_in_the_folder_of_a_resting_one_is_never_mixed_and_is_taken_up() {
    let place = garage();
    let folder = place.path().join("models/small");
    let local = Arc::new(restless(&folder));
    let index = indexed(&place);
    let ask = |query: &str| ask(&index, query);
    let model = folder.to_str().expect("UTF-8").to_owned();
    let settings = Embedding { model, ..Embedding::default() };
    fill(&index, Arc::clone(&local) as Arc<dyn Embedder>);
    assert!(!ask("letters").0, "{:?}", ask("letters"));
    synod::embedder::tend(&settings, &index);
    assert_ne!(is_mapped(&folder), Some(true), "it does not rest");
    change_weights(&folder);
    let (wordy, notes) = ask("bread");
    let said = notes.iter().any(|note| note.contains("holds another one now"));
    assert!(wordy && said, "{notes:?}");
    let refused = local.passages(&some_texts()).expect_err("vectors of another model");
    assert!(refused.contains("holds another one now"), "{refused}");
    assert!(index.has_embedder(local.space()));
    // As with a server's model: the other one has a space of its own, and asks for nothing of the
    // former one.
    synod::embedder::tend(&settings, &index);
    let other = index.embedder().expect("the other model");
    assert_ne!(other.space(), local.space());
    assert!(!index.has_embedder(local.space()));
    assert!(ask("ferry").0, "a query of one model met vectors of the other");
    fill(&index, other);
    assert!(!ask("ferry").0, "{:?}", ask("ferry"));
    assert!(local.query("ferry").is_err());
}

#[test]
fn other_files_beside_the_weights_fill_a_space_of_their_own_in_the_next_run() {
    for change in CHANGES {
        let place = garage();
        let folder = place.path().join("models/small");
        small(&folder);
        let open = || Arc::new(Local::open(&folder).expect("the model"));
        let first = open();
        fill(&indexed(&place), Arc::clone(&first) as Arc<dyn Embedder>);
        let former = change_beside(&folder, change);
        let other = open();
        let index = Index::open(&place.data()).expect("an index");
        let n = spaces(&index)[0].1;
        index.set_embedder(Arc::clone(&other) as Arc<dyn Embedder>);
        assert!(ask(&index, "ferry").0, "a query met vectors of another model: {change:?}");
        assert!(index.waiting(&*other).expect("counted") > 0, "{change:?}");
        fill(&index, Arc::clone(&other) as Arc<dyn Embedder>);
        assert!(!ask(&index, "ferry").0, "{:?}", ask(&index, "ferry"));
        let space = |local: &Local, role| (local.space().to_owned(), n, Some(role));
        let wanted = [space(&first, Role::Former), space(&other, Role::Serving)];
        assert_eq!(spaces(&index), wanted);
        // The file is put back.
        std::fs::write(folder.join(change[0]), former).expect("written");
        let again = open();
        let index = Index::open(&place.data()).expect("an index");
        assert_eq!(index.waiting(&*again).expect("counted"), 0, "it would be embedded again");
        fill(&index, Arc::clone(&again) as Arc<dyn Embedder>);
        assert!(!ask(&index, "ferry").0, "{:?}", ask(&index, "ferry"));
        let wanted = [space(&first, Role::Serving), space(&other, Role::Former)];
        assert_eq!(spaces(&index), wanted);
    }
}

#[test]
fn an_index_of_an_older_program_is_taken_over_and_nothing_is_embedded_again() {
    let place = garage();
    let folder = place.path().join("models/small");
    small(&folder);
    let local = Arc::new(Local::open(&folder).expect("the model"));
    let older = Arc::new(Older(Arc::clone(&local)));
    fill(&indexed(&place), Arc::clone(&older) as Arc<dyn Embedder>);
    // Who only reads it finds by its vectors before anybody gave them another name.
    let index = Index::open(&place.data()).expect("an index");
    let (name, n, _) = spaces(&index).remove(0);
    assert_eq!(name, older.space());
    index.set_embedder(Arc::clone(&local) as Arc<dyn Embedder>);
    assert!(!ask(&index, "ferry").0, "{:?}", ask(&index, "ferry"));
    assert!(index.has_embedder(&name) && index.serving_embedder().expect("spaces").is_some());
    assert_eq!(index.waiting(&*local).expect("counted"), 0, "it would be embedded again");
    fill(&index, Arc::clone(&local) as Arc<dyn Embedder>);
    assert_eq!(spaces(&index), [(local.space().to_owned(), n, Some(Role::Serving))]);
    assert!(!ask(&index, "bread").0, "{:?}", ask(&index, "bread"));
    // An older program beside it knows nothing of what lay beside the weights, and finds by words.
    index.set_embedder(Arc::clone(&older) as Arc<dyn Embedder>);
    assert!(ask(&index, "brakes").0);
    // Nor does another model take over what has a name.
    change_beside(&folder, CHANGES[1]);
    let other = Local::open(&folder).expect("the model");
    assert_eq!(other.old_name(), local.old_name());
    assert!(index.waiting(&other).expect("counted") > 0);
}

#[test]
fn an_archive_brings_vectors_to_the_model_they_were_made_by_and_to_no_other() {
    let place = garage();
    let models = place.path().join("models");
    let folder = models.join("all-MiniLM-L6-v2");
    small(&folder);
    let vault = place.path().join("vault");
    let vault = vault.to_str().expect("UTF-8");
    let archive = place.path().join("notes.zip");
    let archive = archive.to_str().expect("UTF-8");
    for args in [vec!["index", vault, "--wait"], vec!["export", archive]] {
        let (code, _, err) = with_model(&place, &args, &models);
        assert_eq!(code, 0, "{args:?}: {err}");
    }
    // An index that an older program filled from the same notes, which nobody wrote since.
    let old = garage();
    let local = Arc::new(Local::open(&folder).expect("the model"));
    fill(&indexed(&old), Arc::new(Older(Arc::clone(&local))));
    let import = ["import", archive, "--vectors-only"];
    let (code, out, err) = with_model(&old, &import, &models);
    assert_eq!((code, out.as_str()), (0, "0 documents, 0 new vectors\n"), "{err}");
    let index = Index::open(&old.data()).expect("an index");
    let spaces = spaces(&index);
    assert!(matches!(&spaces[..], [(name, _, _)] if name == local.space()), "{spaces:?}");
    // A machine with another tokenizer beside the same weights.
    change_beside(&folder, CHANGES[1]);
    let other = Place::new();
    let (code, out, err) = with_model(&other, &["import", archive], &models);
    assert!(code == 0 && out.starts_with("3 documents, "), "{out}{err}");
    let index = Index::open(&other.data()).expect("an index");
    assert_eq!(index.waiting(&*local).expect("counted"), 0);
    let changed = Local::open(&folder).expect("the model");
    assert!(index.waiting(&changed).expect("counted") > 0);
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_that_stays_lets_idle_models_rest() {
    let place = Place::new();
    let (configured, idle) = (place.path().join("configured"), place.path().join("idle"));
    small(&configured);
    let index = Index::open(&place.data()).expect("an index");
    let model = configured.to_str().expect("UTF-8").to_owned();
    let settings = Embedding { model, ..Embedding::default() };
    assert!(synod::embedder::keep(&settings, Arc::clone(&index)).is_some());
    poll("the model of the configuration", PATIENCE, || index.embedder());
    let local = Arc::new(restless(&idle));
    let query = local.query("rye bread");
    assert_eq!(is_mapped(&idle), Some(true));
    index.set_embedder(Arc::clone(&local) as Arc<dyn Embedder>);
    poll("its rest", PATIENCE, || (is_mapped(&idle) == Some(false)).then_some(()));
    assert_eq!(local.query("rye bread"), query);
}

#[test]
fn a_model_that_is_not_open_yet_is_not_missing() {
    let place = garage();
    let models = place.path().join("models");
    small(&models.join("all-MiniLM-L6-v2"));
    let vault = place.path().join("vault");
    let index = ["index", vault.to_str().expect("UTF-8"), "--wait"];
    assert_eq!(with_model(&place, &index, &models).0, 0);
    let (_, out, _) = with_model(&place, &["call", "index_status"], &models);
    let status: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (&status["degraded"], status["embedding"]["coverage"].as_f64()),
        (&json!([]), Some(1.0))
    );
    let mut command = place.command(&["serve", "--stdio"]);
    command.env("SYNOD_MODELS", &models);
    let mut client = super::program::Client::of(command);
    client.initialize("2025-11-25");
    assert_eq!(client.answered("index_status", json!({}))["degraded"], json!([]));
    assert!(client.end().success());
    // What is found before the model is there says so; what is found without one does not.
    let index = Index::open(&place.data()).expect("an index");
    for opening in [true, false] {
        index.set_opening(opening);
        let (wordy, notes) = ask(&index, "ferry");
        let said = notes.iter().any(|note| note.contains("still being opened"));
        assert!(wordy && said == opening, "{notes:?}");
        assert_eq!(index.status().expect("a status").opening, opening);
    }
}

#[test]
fn a_model_that_is_installed_while_a_server_runs_is_taken_up() {
    let place = garage();
    let models = place.path().join("models");
    std::fs::create_dir_all(&models).expect("a folder");
    let vault = place.path().join("vault");
    let index = ["index", vault.to_str().expect("UTF-8")];
    assert_eq!(with_model(&place, &index, &models).0, 0);
    let mut command = place.command(&["serve", "--stdio"]);
    command.env("SYNOD_MODELS", &models);
    let mut client = super::program::Client::of(command);
    client.initialize("2025-11-25");
    let mut degraded = || client.answered("index_status", json!({}))["degraded"].clone();
    assert_eq!(degraded(), json!(["semantic"]));
    // As an installation does: its folder is there whole or not at all.
    let new = place.path().join("new");
    small(&new);
    std::fs::rename(&new, models.join("all-MiniLM-L6-v2")).expect("moved");
    poll("the model is taken up", PATIENCE, || (degraded() == json!([])).then_some(()));
    assert!(client.end().success());
}

#[test]
fn a_model_of_the_configuration_that_is_not_there_is_named() {
    let place = garage();
    let models = place.path().join("models");
    let vault = place.path().join("vault");
    let vault = vault.to_str().expect("UTF-8");
    let (code, _, err) = with_model(&place, &["index", vault, "--wait"], &models);
    let get = "so nothing is embedded; `synod model install all-MiniLM-L6-v2` gets it";
    assert!(code == 0 && err.contains(get), "{err}");
    let (code, _, err) = with_model(&place, &["search", "rye"], &models);
    assert_eq!((code, err.as_str()), (0, ""), "whoever has no model may want none");
    small(&models.join("all-MiniLM-L6-v2"));
    let config = place.write("synod.toml", "[embedding]\nmodel = \"bge-m3\"\n");
    let config = config.to_str().expect("UTF-8");
    for args in [&["index", "--wait"][..], &["search", "rye"], &["doctor"]] {
        let args = [args, &["--config", config]].concat();
        let (code, out, err) = with_model(&place, &args, &models);
        let said = "`bge-m3` is not installed, so nothing is embedded; installed are \
                    `all-MiniLM-L6-v2`: set `embedding.model`";
        assert!(code == 0 && (out + &err).contains(said), "{args:?}: {err}");
    }
}

/// A command that finds the installed model.
fn with_model(place: &Place, args: &[&str], models: &Path) -> (i32, String, String) {
    let mut command = place.command(args);
    command.env("SYNOD_MODELS", models);
    super::program::outcome(command)
}

fn garage() -> Place {
    let place = Place::new();
    place.write("vault/garage.md", "# Garage\n\nThe automobile needs new brakes before winter.\n");
    place.write("vault/oven.md", "# Oven\n\nTwo loaves with rye flour, forty minutes.\n");
    place.write("vault/choir.md", "# Choir\n\nRehearsal moves to Thursday evening.\n");
    place
}

#[test]
fn an_installed_model_finds_what_is_said_in_other_words() {
    let Some(folder) = minilm() else { return };
    let place = garage();
    let models = place.path().join("models");
    let folder = folder.to_str().expect("UTF-8");
    let (code, out, err) = with_model(&place, &["model", "install", folder], &models);
    assert_eq!((code, out.as_str()), (0, "installed all-MiniLM-L6-v2 (90 MB)\n"), "{err}");
    let (code, out, _) = with_model(&place, &["model", "list"], &models);
    assert_eq!((code, out.as_str()), (0, "all-MiniLM-L6-v2  90 MB  (used)\n"));
    assert_eq!(with_model(&place, &["model", "verify"], &models).0, 0);
    let vault = place.path().join("vault");
    let vault = vault.to_str().expect("UTF-8");
    let (code, _, err) = with_model(&place, &["index", vault, "--wait"], &models);
    assert_eq!(code, 0, "{err}");
    let ask = json!({"query": "repairing the car"}).to_string();
    let (_, out, _) = with_model(&place, &["call", "search", &ask], &models);
    let reply: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(reply["hits"][0]["path"], "garage.md", "{reply}");
    assert_eq!(reply["degraded"], json!([]), "{reply}");
    // Without the model the same index is searched by words, and says so.
    let reply = place.call("search", json!({"query": "repairing the car"}));
    assert_eq!(reply["degraded"], json!(["semantic"]));
    // A model that was touched since is named.
    std::fs::write(models.join("all-MiniLM-L6-v2/config.json"), "{}").expect("written");
    let (code, _, err) = with_model(&place, &["model", "verify"], &models);
    assert!(code == 1 && err.contains("config.json"), "{err}");
}

#[test]
fn a_running_server_embeds_what_is_saved() {
    let Some(folder) = minilm() else { return };
    let place = garage();
    place.index(&place.path().join("vault"));
    let mut command = place.command(&["serve", "--stdio"]);
    command.env("SYNOD_MODELS", folder.parent().expect("a folder"));
    let mut client = super::program::Client::of(command);
    client.initialize("2025-11-25");
    let mut best = |query: &str| {
        let reply = client.call("search", json!({"query": query, "mode": "semantic"}));
        let found = reply["structuredContent"].clone();
        let whole =
            found["degraded"] == json!([]) && found["notes"].as_array().is_none_or(Vec::is_empty);
        whole.then(|| found["hits"][0]["path"].as_str().unwrap_or_default().to_owned())
    };
    poll("the vault is embedded", PATIENCE, || {
        best("singing together").filter(|path| path == "choir.md")
    });
    place.write("vault/harbour.md", "# Harbour\n\nThe ferry leaves at dawn.\n");
    poll("the new note is embedded", PATIENCE, || {
        best("a boat across the sea").filter(|path| path == "harbour.md")
    });
}

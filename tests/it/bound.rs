//! What is bounded: a restart over a vault that did not change reads none of it, a server that is
//! asked, or that refuses, a hundred thousand times keeps nothing of it, and who indexes stays
//! below the memory that was stated, whatever the files are.

use super::http::Connection;
use super::program::{PATIENCE, Place, Server, long, poll};
use super::soak::anonymous_mb;
use super::system::{bytes_below, bytes_read, memory};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Growth of anonymous memory that is no leak, in MB: caches fill to their bounds, and allocators
/// keep what is between.
const GROWTH_MB: f64 = 4.0;

/// The least limit of memory that can be stated, in MiB.
const MEMORY_MB: f64 = synod_index::limit::MEMORY_MB_MIN as f64;
/// What it may be over that limit: a tenth, and what a build without optimisation holds more.
const OVER_MB: f64 = MEMORY_MB / 10.0 + 16.0;

/// A vault of notes of 8 KiB, and its folder.
fn vault(notes: usize) -> (Place, PathBuf) {
    let place = Place::new();
    for n in 0..notes {
        let links = format!("[[n{}]] [[n{}]]", (n * 7) % notes, (n * 13) % notes);
        let body = "tide and moon and shore ".repeat(340);
        let text = format!("# Note {n}\n\nperiwinkle number{n} {links}\n\n{body}\n");
        place.write(&format!("vault/f{}/n{n}.md", n % 20), text);
    }
    let folder = place.path().join("vault");
    (place, folder)
}

fn served(place: &Place) -> Server {
    let server = place.http(&[], &[]);
    poll("freshness", PATIENCE, || {
        let status = super::http::get(server.address, "/v1/index").json();
        (status["fresh"] == true).then_some(())
    });
    server
}

#[test]
fn a_vault_that_did_not_change_is_not_read() {
    let (place, folder) = vault(2_000);
    // What is read in the moment it was written is read again.
    std::thread::sleep(synod_index::limit::RACY);
    place.index(&folder);
    let server = served(&place);
    let (read, all) = (bytes_read(server.child.id()), bytes_below(&folder));
    eprintln!("{read} bytes read at the start over {all}");
    // The program, its libraries, and rows of the database are read.
    assert!(read < all / 4, "{read} bytes were read at the start over {all} that did not change");
    // One note that changed is read, and no other.
    let before = bytes_read(server.child.id());
    place.write("vault/f7/n7.md", "walrus\n");
    poll("the note", PATIENCE, || {
        let found = super::http::get(server.address, "/v1/search?q=%2Bwalrus").json();
        (found["total"] == 1 && found["fresh"] == true).then_some(())
    });
    let read = bytes_read(server.child.id()) - before;
    assert!(read < all / 16, "{read} bytes were read for one note of 7 bytes");
}

/// Does it `n` times after a quarter of that many for the caches; how memory grew, in MB.
fn growth(server: &Server, n: u64, mut each: impl FnMut(u64)) -> f64 {
    (0..n / 4).for_each(&mut each);
    let memory = || anonymous_mb(server.child.id()).expect("its memory");
    let before = memory();
    (n / 4..n / 4 + n).for_each(each);
    let after = memory();
    eprintln!("{n} times: {before:.2} MB, then {after:.2} MB");
    after - before
}

#[test]
fn a_hundred_thousand_searches_leave_nothing_behind() {
    let (place, folder) = vault(300);
    place.index(&folder);
    let server = served(&place);
    let mut connection = Connection::new(server.address);
    let grown = growth(&server, long(2_000, 100_000), |n| {
        // Words that are there and words that are not, filters, pages.
        let path = match n % 4 {
            0 => format!("/v1/search?q=tide%20number{}", n % 300),
            1 => format!("/v1/search?q=%2Bnowhere{n}&limit=1"),
            2 => format!("/v1/search?q=moon%20path:f{}&limit=50&detail=names", n % 20),
            _ => format!("/v1/search?q=%22moon%20and%20shore%22%20n{n}&limit=3&explain=true"),
        };
        let reply = connection.get(&path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
    });
    assert!(grown < GROWTH_MB, "{grown:.2} MB more");
}

#[test]
fn a_hundred_thousand_refused_requests_leave_nothing_behind() {
    let (place, folder) = vault(20);
    place.index(&folder);
    let server = served(&place);
    let mut connection = Connection::new(server.address);
    let mcp = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
        ("MCP-Protocol-Version", "2025-11-25"),
    ];
    let call = json!({"name": "serch", "arguments": {}});
    let unknown = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call});
    let unknown = unknown.to_string();
    let push = json!({"op": "push", "path": "x.md", "content": "x"}).to_string();
    let search = "/v1/search?q=tide";
    let grown = growth(&server, long(2_000, 100_000), |n| {
        let (bearer, foreign) = (format!("Bearer syn_{n}"), format!("evil{n}.example"));
        let bearer = [("Authorization", bearer.as_str())];
        let (foreign, origin) =
            ([("Host", foreign.as_str())], [("Origin", "https://evil.example")]);
        let (expected, reply) = match n % 9 {
            0 => (403, connection.request("GET", search, &foreign, "")),
            1 => (401, connection.request("GET", search, &bearer, "")),
            2 => (403, connection.request("GET", search, &origin, "")),
            3 => (404, connection.get(&format!("/v1/nothing{n}"))),
            4 => (400, connection.get("/v1/search?q=tide&limit=many")),
            5 => (404, connection.get(&format!("/v1/documents/nowhere{n}.md"))),
            6 => (415, connection.request("POST", "/mcp", &mcp, "{bad")),
            // A refusal of the protocol's own.
            7 => (200, connection.request("POST", "/mcp", &mcp, &unknown)),
            _ => (403, connection.request("POST", "/v1/ingest", &mcp[..1], &push)),
        };
        assert_eq!(reply.status, expected, "{} in turn: {reply:?}", n % 9);
        assert!(reply.body.contains("\"error\""), "{} in turn: {reply:?}", n % 9);
    });
    assert!(grown < GROWTH_MB, "{grown:.2} MB more");
}

/// Indexes a folder within [`MEMORY_MB`]; the most memory it was seen with that is no page of a
/// file, which the system takes back whenever it wants to, in MiB.
fn peak(place: &Place, folder: &Path) -> f64 {
    let mut command =
        place.command(&["index", &folder.to_string_lossy(), "--wait", "--lexical-only"]);
    command.env("SYNOD_LIMITS_MEMORY_MB", MEMORY_MB.to_string());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let (mut most, mut with_files, mut n) = (0.0_f64, 0.0_f64, 0);
    let status = loop {
        if let Some(status) = child.try_wait().expect("a state") {
            break status;
        }
        if let Some((now, all)) = memory(child.id()) {
            (most, with_files, n) = (most.max(now), with_files.max(all), n + 1);
        }
        // The least of these runs lasts some forty milliseconds on a fast machine.
        std::thread::sleep(Duration::from_micros(200));
    };
    assert!(status.success(), "{status}");
    eprintln!("at most {most:.1} MiB, {with_files:.1} MiB with pages of files, in {n} looks");
    assert!(n > 20, "only {n} looks");
    most
}

/// So many bytes of prose of some thousand words.
fn prose(bytes: usize, seed: u64) -> String {
    let (mut out, mut state) = (String::with_capacity(bytes + 16), seed | 1);
    for n in 0_u32.. {
        if out.len() >= bytes {
            break;
        }
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let word = (state >> 40) % 4_000;
        match n % 240 {
            0 => out.push_str("\n\n## Of the tide\n\n"),
            60 | 120 | 180 => out.push_str("\n\n"),
            _ if n % 12 == 0 => out.push('\n'),
            _ => out.push(' '),
        }
        out.push_str(&format!("{}{word}", ["ebb", "flow", "moon", "shore"][word as usize % 4]));
    }
    out
}

#[test]
fn many_large_files_are_indexed_within_the_memory_that_was_stated() {
    let place = Place::new();
    let files = long(16, 60);
    for n in 0..files {
        place.write(&format!("vault/large{n}.md"), prose(7 << 20, n));
    }
    let folder = place.path().join("vault");
    let most = peak(&place, &folder);
    assert!(most <= MEMORY_MB + OVER_MB, "{most:.1} MiB, {MEMORY_MB} were stated");
    let status = place.call("index_status", json!({}));
    assert_eq!(status["documents"], files, "{status}");
    assert_eq!(status["sources"][0]["n_errors"], 0, "{status}");
}

#[test]
fn files_that_nobody_writes_are_indexed_within_it_and_say_what_is_left_out() {
    let place = Place::new();
    let mib = 1 << 20;
    let symbols: String = (0..100_000).map(|n| format!("fn f{n}() {{}}\n")).collect();
    let ids: String = (0..1_000_000).map(|n| format!("^{n:x}\n")).collect();
    let minified = minified(2 * mib - 64);
    let files = [
        ("headings.md", "# a\n".repeat(2 * mib - 16), "headings and links in it are left out"),
        ("setext.md", "a\n-\n".repeat(2 * mib - 16), "headings and links in it are left out"),
        ("titles.rst", "a\n-\n".repeat(2 * mib - 16), "headings and links in it are left out"),
        ("line.md", "tide ".repeat(8 * mib / 5 - 16), ""),
        ("blank.txt", "\n".repeat(8 * mib - 64), ""),
        ("links.md", "[[a]] [[b]]\n".repeat(200_000), "headings and links in it are left out"),
        ("symbols.rs", symbols, "left out"),
        ("ids.md", ids, "over 20000 block ids"),
        ("minified.js", minified, "too long to be parsed at once"),
    ];
    for (path, text, _) in &files {
        place.write(&format!("vault/{path}"), format!("{text}\nwalrus\n"));
    }
    let folder = place.path().join("vault");
    let most = peak(&place, &folder);
    assert!(most <= MEMORY_MB + OVER_MB, "{most:.1} MiB, {MEMORY_MB} were stated");
    let status = place.call("index_status", json!({}));
    let errors = status["sources"][0]["errors"].as_array().expect("errors");
    for (path, _, said) in &files {
        let found = errors.iter().find(|error| error["path"] == *path);
        let reason = found.map_or("", |error| error["reason"].as_str().expect("a reason"));
        assert!(reason.contains(said) && reason.is_empty() == said.is_empty(), "{path}: {reason}");
    }
    let full = folder.join("headings.md").display().to_string();
    let (code, why, _) = place.outcome(&["doctor", "--explain", &full]);
    assert!(code == 0 && why.contains("findable by its words"), "{code} {why}");
    let found = place.call("search", json!({"query": "+walrus", "limit": 50}));
    assert_eq!(found["total"], files.len(), "{found}");
    let (code, said, why) = place.outcome(&["doctor"]);
    assert_eq!(code, 0, "{said}{why}");
}

/// So many bytes of minified code: one line, with all of it in one function.
fn minified(bytes: usize) -> String {
    let mut out = String::from("!function(){\"use strict\";");
    for n in 0.. {
        let next = format!("function f{n}(a,b){{var c=a+\"}};\"+b;return c?g(c,{n},b):h(c)+b}}");
        if out.len() + next.len() + 4 > bytes {
            break;
        }
        out.push_str(&next);
    }
    out + "}();"
}

/// So many bytes of PHP: a class with all of it, and HTML.
fn pages(bytes: usize) -> String {
    let mut out = String::from("<?php\nnamespace App;\n\nclass Pages extends Site\n{\n");
    for n in 0.. {
        let head = format!("    public function page{n}(array $a): void\n    {{\n");
        let body = "        echo \"it's {$a['title']}\"; ?>\n<p class=\"tide\">It's ebb.</p>\n";
        let next = format!("{head}{body}        <?php $this->done($a, {n});\n    }}\n\n");
        if out.len() + next.len() + 2 > bytes {
            break;
        }
        out.push_str(&next);
    }
    out + "}\n"
}

/// What any file may cost beside four times its size, in MiB: the tree of a piece of code, tables.
const BESIDE_MB: f64 = 12.0;

#[test]
fn no_file_costs_more_than_four_times_its_size() {
    let mib = 1 << 20;
    let functions: String = (0..100_000).map(|n| format!("fn f{n}() {{}}\n")).collect();
    let place = Place::new();
    place.write("small/a.md", "walrus\n");
    let least = peak(&place, &place.path().join("small"));
    for (path, text) in [
        ("blank.txt", "\n".repeat(8 * mib - 64)),
        ("headings.md", "# a\n".repeat(2 * mib - 16)),
        ("words.txt", prose(8 * mib - 64, 7)),
        ("functions.rs", functions),
        ("minified.js", minified(mib)),
        ("pages.php", pages(mib)),
    ] {
        let place = Place::new();
        place.write(&format!("vault/{path}"), &text);
        let cost = peak(&place, &place.path().join("vault")) - least;
        let size = text.len() as f64 / mib as f64;
        eprintln!("{path}: {size:.1} MiB cost {cost:.1} MiB");
        assert!(cost <= 4.0 * size + BESIDE_MB, "{path}: {cost:.1} MiB for {size:.1}");
    }
}

/// So many spaces, packed: a block of deflate's with one of them and copies of it, 258 at a time.
fn packed_spaces(bytes: usize) -> Vec<u8> {
    let mut bits = Vec::new();
    // The last block, with the codes that are fixed; the first space; codes begin at their highest
    // bit.
    bits.extend([true, true, false]);
    let code = |bits: &mut Vec<bool>, value: u32, n: u32| {
        bits.extend((0..n).rev().map(|at| value >> at & 1 == 1));
    };
    code(&mut bits, 0x30 + 0x20, 8);
    // 258 bytes from one before: thirteen bits, so that thirteen bytes are eight of them.
    let before = bits.len().div_ceil(8);
    for _ in 0..16 {
        code(&mut bits, 0b1100_0101, 8);
        code(&mut bits, 0, 5);
    }
    let byte = |bits: &[bool]| bits.iter().rev().fold(0_u8, |all, bit| all << 1 | u8::from(*bit));
    let start: Vec<u8> = bits.chunks(8).map(byte).collect();
    let mut out = vec![0x78, 0x01];
    out.extend(&start[..before]);
    let turn = &start[before..before + 13];
    (0..bytes / (8 * 258)).for_each(|_| out.extend(turn));
    out
}

#[test]
fn pdfs_made_to_exhaust_their_reader_cost_their_own_text_only() {
    use super::index::kinds::{pdf, pdf_of, pdf_with};
    let place = Place::new();
    let stream = |filters: &str, bytes: &[u8]| {
        let head = format!("<< /Length {} /Filter {filters} >>\nstream\n", bytes.len());
        [head.as_bytes(), bytes, b"\nendstream"].concat()
    };
    let gigabytes = stream("/FlateDecode", &packed_spaces(3 << 30));
    let deep = [b"[".repeat(1 << 20), b"]".repeat(1 << 20)].concat();
    let text: &[u8] = b"<< /Length 1 >>\nstream\n \nendstream";
    let ring: [&[u8]; 3] = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R 2 0 R] /Count 2 >>",
        b"<< /Type /Pages /Parent 2 0 R /Kids [2 0 R 3 0 R] /Count 2 >>",
    ];
    let long = b"BT /F1 12 Tf 72 700 Td (walrus) Tj ET /X Do\n".repeat(200_000);
    let files = [
        ("unpacks.pdf", pdf_with(&gigabytes, &[])),
        ("deep.pdf", pdf_with(text, &[&deep])),
        ("ring.pdf", pdf_of(&ring)),
        ("long.pdf", pdf_with(&stream("[]", &long), &[])),
        ("paper.pdf", pdf("the marmoset paper").into_bytes()),
    ];
    assert!(files[0].1.len() > 8 << 20, "{} bytes", files[0].1.len());
    for (path, bytes) in &files {
        place.write(&format!("vault/{path}"), bytes);
    }
    let folder = place.path().join("vault");
    let most = peak(&place, &folder);
    assert!(most <= MEMORY_MB + OVER_MB, "{most:.1} MiB, {MEMORY_MB} were stated");
    let status = place.call("index_status", json!({}));
    let errors = status["sources"][0]["errors"].as_array().expect("errors");
    let reason = |path: &str| {
        let error = errors.iter().find(|error| error["path"] == path);
        error.map_or("", |error| error["reason"].as_str().expect("a reason"))
    };
    eprintln!("{errors:?}");
    assert!(reason("unpacks.pdf").contains("16 MiB"), "{errors:?}");
    for (path, _) in &files {
        // Whatever became of its text, its name is found.
        let found = place.call("search", json!({"query": format!("path:{path}"), "limit": 5}));
        assert_eq!(found["hits"][0]["path"], *path, "{found}");
    }
    let found = place.call("search", json!({"query": "marmoset", "mode": "lexical"}));
    assert_eq!(found["hits"][0]["path"], "paper.pdf", "{found}");
    assert_eq!(reason("paper.pdf"), "");
}

//! Files whose text is made of their bytes, and prose in other markup, in one vault.

use super::{Answers, Place};
use synod_index::{Filters, ReadArgs};

/// A page that says `text`, as a PDF.
pub fn pdf(text: &str) -> String {
    let content = format!("BT /F1 12 Tf 72 700 Td ({text}) Tj ET");
    let content = format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len());
    String::from_utf8(pdf_with(content.as_bytes(), &[])).expect("text")
}

/// A PDF of one page with this object as its content, and others behind its own five.
pub fn pdf_with(content: &[u8], more: &[&[u8]]) -> Vec<u8> {
    let page: &[u8] = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
        /Resources << /Font << /F1 5 0 R >> >> >>";
    let own: [&[u8]; 5] = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        page,
        content,
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ];
    let objects: Vec<&[u8]> = own.iter().chain(more).copied().collect();
    pdf_of(&objects)
}

/// A PDF of these objects; the first one is its catalogue.
pub fn pdf_of(objects: &[&[u8]]) -> Vec<u8> {
    let (mut out, mut starts) = (b"%PDF-1.4\n".to_vec(), Vec::new());
    for (number, object) in objects.iter().enumerate() {
        starts.push(out.len());
        out.extend(format!("{} 0 obj\n", number + 1).as_bytes());
        out.extend(*object);
        out.extend(b"\nendobj\n");
    }
    let at = out.len();
    out.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).as_bytes());
    for start in starts {
        out.extend(format!("{start:010} 00000 n \n").as_bytes());
    }
    let size = objects.len() + 1;
    let end = format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{at}\n%%EOF\n");
    out.extend(end.as_bytes());
    out
}

fn place() -> Place {
    let place = Place::new();
    place.write("paper.pdf", pdf("the marmoset paper"));
    place.write(
        "lab.ipynb",
        r##"{"nbformat":4,"metadata":{"kernelspec":{"language":"python"}},"cells":[
            {"cell_type":"markdown","source":["# Lab book\n","of tamarins"]},
            {"cell_type":"code","source":"def weigh(): pass","outputs":[
              {"output_type":"stream","text":["seven grams\n"]}]}]}"##,
    );
    place.write(
        "board.canvas",
        r#"{"nodes":[
            {"id":"a","type":"text","text":"gibbon plan","x":0,"y":0,"width":9,"height":9},
            {"id":"b","type":"file","file":"zoo.md","x":0,"y":20,"width":9,"height":9}],
            "edges":[{"id":"e","fromNode":"a","toNode":"b","label":"feeds"}]}"#,
    );
    place.write(
        "zoo.base",
        "filters:\n  and:\n    - file.hasTag(\"ape\")\nviews:\n  - type: table\n    name: \
         Siamangs\n",
    );
    place.write("zoo.md", "# Zoo\n\nAll of them.\n");
    place.write(
        "guide.rst",
        "Guide\n=====\n\nOn colobus.\n\n.. _deep:\n\nDeep part\n---------\n\nSee `zoo \
         <zoo.md>`_.\n",
    );
    place.write(
        "book.adoc",
        "= Book\n:keywords: primate\n\nIntro.\n\n== Howlers\n\nSee link:guide.rst[the guide].\n",
    );
    place.write("broken.pdf", "%PDF-1.4\nnothing");
    place
}

#[test]
fn each_is_found_shown_and_linked() {
    let place = place();
    let engine = place.scanned();
    for (word, path) in [
        ("marmoset", "paper.pdf"),
        ("tamarins", "lab.ipynb"),
        ("seven grams", "lab.ipynb"),
        ("gibbon", "board.canvas"),
        ("siamangs", "zoo.base"),
        ("colobus", "guide.rst"),
        ("howlers", "book.adoc"),
        ("broken", "broken.pdf"),
        ("tag:primate", "book.adoc"),
    ] {
        assert_eq!(engine.paths(word).first().map(String::as_str), Some(path), "{word}");
    }
    let shown = engine.search("marmoset");
    assert_eq!(shown.hits[0].snippet.trim(), "the marmoset paper");
    assert_eq!(shown.hits[0].heading.as_deref(), Some("Page 1"));
    assert!(engine.search("broken").hits[0].snippet.contains("PDF"));
    assert_eq!(engine.neighbours("board.canvas", "links"), ["zoo.md"]);
    assert_eq!(engine.neighbours("book.adoc", "links"), ["guide.rst"]);
    assert_eq!(engine.neighbours("guide.rst", "links"), ["zoo.md"]);
    engine.assert_clean();
}

#[test]
fn a_header_of_cpp_has_its_classes_as_definitions() {
    let place = Place::new();
    let class = "class TidePool {\n public:\n  int depth() const;\n};\n";
    place.write("pool.h", format!("#pragma once\nnamespace sea {{\n{class}}}\n"));
    place.write("kelp.h", "struct Kelp { int class; };\n");
    let engine = place.scanned();
    for (name, path, kind) in [("TidePool", "pool.h", "cpp"), ("Kelp", "kelp.h", "c")] {
        let symbol = Some(name.to_owned());
        let args = ReadArgs { symbol, bytes_max: 9_999, ..ReadArgs::default() };
        let read = engine.index.read(&args).expect("a definition");
        assert_eq!((read.path.as_str(), read.kind.as_str()), (path, kind));
        assert!(read.text.contains(name), "{}", read.text);
    }
    assert_eq!(engine.paths("kind:cpp"), ["pool.h"]);
    engine.assert_clean();
}

#[test]
fn what_was_made_of_a_file_follows_it() {
    let place = place();
    let mut engine = place.scanned();
    place.write("paper.pdf", pdf("the capuchin paper"));
    engine.scan();
    assert_eq!(engine.paths("marmoset"), Vec::<String>::new());
    assert_eq!(engine.search("capuchin").hits[0].snippet.trim(), "the capuchin paper");
    // Changed and not yet indexed: nothing stale is shown.
    place.write("paper.pdf", pdf("the lemur paper"));
    assert!(!engine.search("capuchin").hits.iter().any(|hit| hit.snippet.contains("capuchin")));
    engine.scan();
    assert_eq!(engine.paths("lemur"), ["paper.pdf"]);
    place.write("paper.pdf", "%PDF-1.4\nnothing");
    engine.scan();
    assert_eq!(engine.paths("lemur"), Vec::<String>::new());
    engine.assert_clean();
    drop(engine);
    let queries: Vec<(String, Filters)> =
        ["paper", "tamarins", "gibbon"].map(|q| (q.to_owned(), Filters::default())).to_vec();
    let (again, fresh) = (place.scanned(), place.fresh());
    Answers::of(&again.index, &queries).assert_same(&Answers::of(&fresh.index, &queries));
}

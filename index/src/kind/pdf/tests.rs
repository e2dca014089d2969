//! Tests of PDFs: files are written here by hand, so that every part of one can be broken.

use super::*;
use crate::kind::outline::proof;

/// A file of `objects`, numbered from 1, with a trailer's entries.
fn file(objects: &[String], trailer: &str) -> Vec<u8> {
    let mut out = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut offsets = Vec::new();
    for (idx, object) in objects.iter().enumerate() {
        offsets.push(out.len());
        out.extend(format!("{} 0 obj\n{object}\nendobj\n", idx + 1).bytes());
    }
    let start = out.len();
    out.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
    for offset in offsets {
        out.extend(format!("{offset:010} 00000 n \n").bytes());
    }
    let size = objects.len() + 1;
    let trailer = format!("trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\n");
    out.extend(format!("{trailer}startxref\n{start}\n%%EOF\n").bytes());
    out
}

fn stream(entries: &str, content: &str) -> String {
    format!("<< /Length {} {entries} >>\nstream\n{content}\nendstream", content.len())
}

/// A file with one page for each of `pages` (its commands) and `/F1` as `font`; further objects
/// are numbered from `5 + 2 * pages.len()`.
fn pdf(pages: &[&str], font: &str, more: &[String]) -> Vec<u8> {
    let kids: Vec<String> = (0..pages.len()).map(|n| format!("{} 0 R", 5 + 2 * n)).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), pages.len()),
        font.to_owned(),
        "<< /Font << /F1 3 0 R >> /XObject << /X 9 0 R /Y 9 0 R >> >>".to_owned(),
    ];
    for (n, page) in pages.iter().enumerate() {
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /Resources 4 0 R /MediaBox [0 0 600 800] \
             /Contents {} 0 R >>",
            6 + 2 * n
        ));
        objects.push(stream("", page));
    }
    objects.extend(more.iter().cloned());
    file(&objects, "")
}

const HELVETICA: &str = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica \
                         /Encoding /WinAnsiEncoding >>";

fn text(page: &str) -> String {
    extract(&pdf(&[page], HELVETICA, &[])).unwrap()
}

#[test]
fn pages_stand_a_form_feed_apart() {
    let one = "BT /F1 12 Tf 72 700 Td (Tides rise) Tj 0 -14 Td (and fall.) Tj ET";
    let two = "BT /F1 12 Tf 72 700 Td (The moon) Tj 0 -40 Td (pulls.) Tj ET";
    let made = extract(&pdf(&[one, "0 0 m 5 5 l S", two], HELVETICA, &[])).unwrap();
    assert_eq!(made, "Tides rise\nand fall.\n\u{c}\n\u{c}\nThe moon\n\npulls.\n");
    let parsed = proof::read(&KIND, "papers/tides.pdf", &made);
    assert_eq!(proof::outline(&parsed), [(1, "Page 1"), (1, "Page 2"), (1, "Page 3")]);
    assert_eq!(parsed.title, "tides");
    assert_eq!(&made[parsed.sections[2].bytes.clone()], "The moon\n\npulls.\n");
}

#[test]
fn a_passage_says_its_page() {
    let long = "Water rises and falls twice a day. ".repeat(12);
    let made = format!("{long}\n\u{c}\n{long}\n\n{long}\n\n{long}\n");
    let parsed = proof::read(&KIND, "tides.pdf", &made);
    let headers: Vec<&str> = parsed.chunks.iter().map(|chunk| chunk.header.as_str()).collect();
    assert_eq!(headers, ["page 1", "page 2", "page 2"]);
    assert_eq!(parsed.chunks[2].heading.as_deref(), Some("Page 2"));
}

#[test]
fn gaps_are_spaces_and_steps_are_lines() {
    let words = "BT /F1 10 Tf 1 0 0 1 50 700 Tm [(Ti) 20 (des) -300 (rise)] TJ ET \
                 BT /F1 10 Tf 1 0 0 1 130 700 Tm (far) Tj ET";
    assert_eq!(text(words), "Tides rise far\n");
    let raised = "BT /F1 10 Tf 50 700 Td (x) Tj 5 4 Td /F1 6 Tf (2) Tj ET";
    assert_eq!(text(raised), "x2\n");
    let quoted = "BT /F1 10 Tf 12 TL 50 700 Td (a) Tj (b) ' 0 0 (c) \" T* (d) Tj ET";
    assert_eq!(text(quoted), "a\nb\nc\nd\n");
    let columns = "BT /F1 10 Tf 300 700 Td (right) Tj -250 0 Td (left) Tj ET";
    assert_eq!(text(columns), "right\nleft\n");
    let spread = "BT /F1 10 Tf 6 Tc 50 700 Td (TITLE) Tj ET";
    assert_eq!(text(spread), "TITLE\n");
    let turned = "BT /F1 10 Tf 0 1 -1 0 50 100 Tm (up) Tj 0 -12 Td (next) Tj ET";
    assert_eq!(text(turned), "up\nnext\n");
    let scaled = "q 0.1 0 0 0.1 0 0 cm BT /F1 100 Tf 500 7000 Td (a) Tj 56 0 Td (b) Tj \
                  300 0 Td (c) Tj ET Q BT /F1 10 Tf 50 600 Td (d) Tj ET";
    assert_eq!(text(scaled), "ab c\n\nd\n");
}

#[test]
fn encodings_and_differences() {
    assert_eq!(text("BT /F1 9 Tf (caf\\351 \\200 5) Tj ET"), "café € 5\n");
    let font = "<< /Subtype /Type1 /Encoding << /BaseEncoding /MacRomanEncoding /Differences \
                [65 /germandbls /.notdef /g77 /uni00E9 /a.sc 97 /fi] >> /FirstChar 65 /Widths \
                [500 500 500 500 500] >>";
    let made = extract(&pdf(&["BT /F1 9 Tf (AxBCDEa) Tj ET"], font, &[])).unwrap();
    assert_eq!(made, "ßxéaﬁ\n");
    let unknown = "BT /F9 9 Tf (Latin) Tj ET";
    assert_eq!(text(unknown), "Latin\n");
}

#[test]
fn fonts_with_codes_of_two_bytes() {
    let font = "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H \
                /DescendantFonts [8 0 R] /ToUnicode 7 0 R >>";
    let map = "/CIDInit /ProcSet findresource begin\nbegincmap % <0001> <0041>\n\
               1 begincodespacerange <0000> <FFFF> endcodespacerange\n\
               3 beginbfchar\n<0001> <6F6E>\n<0002> <0066 0069>\n<0003><D83CDF0A>\nendbfchar\n\
               3 beginbfrange\n<0010> <0012> <0061>\n<0020> <0021> [<0058> <0059005A>]\n\
               <00000000> <FFFFFFFF> <0062>\nendbfrange\nendcmap";
    let below = "<< /Type /Font /Subtype /CIDFontType2 /DW 500 /W [1 [1000 900] 16 18 400] >>";
    let page = "BT /F1 10 Tf 50 700 Td <00010002000300100011001200200021> Tj ET";
    let made = extract(&pdf(&[page], font, &[stream("", map), below.to_owned()])).unwrap();
    assert_eq!(made, "潮fi🌊abcXYZ\n");
    let font = "<< /Type /Font /Subtype /Type0 /Encoding /UniJIS-UCS2-H >>";
    let page = "BT /F1 10 Tf 50 700 Td <6F6E4F4D> Tj ET";
    assert_eq!(extract(&pdf(&[page], font, &[])).as_deref(), Ok("潮位\n"));
    let font = "<< /Type /Font /Subtype /Type0 /Encoding /Identity-H >>";
    assert_eq!(extract(&pdf(&[page], font, &[])), Err("holds no text (a scan?)".to_owned()));
}

#[test]
fn drawings_hold_text_and_do_not_recurse_without_end() {
    let form = |content: &str| {
        let entries = "/Type /XObject /Subtype /Form /Matrix [1 0 0 1 0 -50]";
        ["null".to_owned(), "null".to_owned(), stream(entries, content)]
    };
    let page = "BT /F1 10 Tf 50 700 Td (above) Tj ET q /X Do Q";
    let inner = form("BT /F1 10 Tf 50 700 Td (below) Tj ET");
    let made = extract(&pdf(&[page], HELVETICA, &inner)).unwrap();
    assert_eq!(made, "above\n\nbelow\n");
    let endless = form("/X Do /Y Do /X Do /Y Do BT /F1 10 Tf (a) Tj ET");
    assert!(extract(&pdf(&[page], HELVETICA, &endless)).unwrap().starts_with("above\n"));
    let states = format!("{}BT /F1 10 Tf (deep) Tj ET{}", "q ".repeat(5_000), " Q".repeat(9_000));
    assert_eq!(text(&states), "deep\n");
}

#[test]
fn what_holds_no_text_says_why() {
    let reason = |bytes: &[u8]| extract(bytes).unwrap_err();
    assert_eq!(reason(b""), "is an empty PDF");
    assert_eq!(reason(b"plain text"), "is no PDF");
    assert_eq!(reason(b"%PDF-1.7\nand no more"), DAMAGED);
    assert_eq!(
        reason(&pdf(&["q 5 0 0 5 0 0 cm /X Do Q"], HELVETICA, &[])),
        "holds no text (a scan?)"
    );
    assert_eq!(
        reason(&pdf(&["BT /F1 9 Tf ( ... ) Tj ET"], HELVETICA, &[])),
        "holds no text (a scan?)"
    );
    assert_eq!(reason(&pdf(&[], HELVETICA, &[])), DAMAGED);
    let locked = ["<< /Type /Catalog >>".to_owned(), "<< /Filter /Other /V 9 >>".to_owned()];
    assert_eq!(reason(&file(&locked, "/Encrypt 2 0 R /ID [<00> <00>]")), "is encrypted");
}

#[test]
fn damaged_files_are_read_or_refused() {
    let page = "BT /F1 12 Tf 72 700 Td [(Tides) -300 (rise)] TJ (x) ' ET q 1 0 0 1 0 0 cm Q";
    let whole = pdf(&[page, page], HELVETICA, &[]);
    for len in (0..whole.len()).step_by(7) {
        let _ = extract(&whole[..len]);
    }
    let mut seed = 7_u32;
    for _ in 0..500 {
        let mut bytes = whole.clone();
        for _ in 0..4 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (seed >> 8) as usize % bytes.len();
            bytes[at] = seed as u8;
        }
        let _ = extract(&bytes);
    }
    for commands in ["(", "[", "<<", "BT (a", ") Tj", "/F1 Tf (a) Tj", "[(a) /x [1]] TJ", "Td Tm"] {
        let _ = extract(&pdf(&[commands, &commands.repeat(20_000)], HELVETICA, &[]));
    }
}

#[test]
fn pages_are_tidied() {
    let mut out = String::new();
    tidy("\n\n\na  \r\nb\u{0}\u{7}\tc\n\n\n\n\n\nd\u{c}\n\n\n", &mut out);
    assert_eq!(out, "a\n\nb\tc\n\n\nd\n");
    out.clear();
    tidy("the con-\n  catenation of\nwell-\nKnown things, a-\n", &mut out);
    assert_eq!(out, "the concatenation\nof\nwell-\nKnown things, a-\n");
}

#[test]
fn hostile_texts() {
    proof::survives(&KIND, "a.pdf", &["\u{c}\n", "\u{c}", "Page 1", "\n\n", "é", "words"]);
}

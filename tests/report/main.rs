//! Reports as a reader meets them: in a real browser, on paper, with thousands of VMs, and with names that would do harm.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where what it stands on is missing")]

mod browser;
mod sample;

use browser::{browser, chromium, open};
use holdfast::report::{Document, availability, capacity, failovers, html, load, markdown, month};
use sample::NAMES;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each report, with its name.
fn reports() -> Vec<(&'static str, Document)> {
    let frame = sample::frame(100);
    vec![
        ("availability", availability(&sample::figures(60, 48), &frame)),
        ("one-vm", availability(&sample::figures(1, 1), &frame)),
        ("many-vms", availability(&sample::figures(20_000, 48), &frame)),
        ("no-vm", availability(&sample::figures(0, 0), &frame)),
        ("failovers", failovers(&sample::failovers(40), &frame)),
        ("load", load(&sample::load(8), &frame)),
        ("capacity", capacity(&sample::capacity(), &frame)),
        ("month", month(&sample::month(), &frame)),
    ]
}

/// Where pages are left to be looked at.
fn written(name: &str, page: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.html"));
    fs::write(&path, page).expect("the folder of tests");
    path
}

#[test]
fn every_report_opens_in_a_browser_without_a_word_and_asks_for_nothing_else() {
    let Some(program) = chromium() else { return };
    for (name, document) in reports() {
        let page = html(&document);
        written(name, &page);
        let seen = open(&program, &page);
        assert_eq!(seen.console, Vec::<String>::new(), "{name}");
        assert_eq!(seen.asked.len(), 1, "{name}: {:?}", seen.asked);
        assert!(seen.page.contains("<h1>"), "{name}: {}", seen.page);
    }
}

#[test]
fn a_page_that_complains_or_asks_for_more_is_noticed() {
    let Some(program) = chromium() else { return };
    let seen = open(&program, "<!doctype html><title>x</title><script>console.error('no')</script><img src=/more>");
    assert!(seen.console.iter().any(|line| line.contains("no")), "{:?}", seen.console);
    assert!(seen.asked.iter().any(|line| line.contains("/more")), "{:?}", seen.asked);
    // The policy of our pages forbids it, and says so on the console.
    let (_, document) = reports().swap_remove(1);
    let page = html(&document).replace("<main>", "<main><img src=\"/more\"><script>alert(1)</script>");
    let seen = open(&program, &page);
    assert!(seen.console.len() >= 2 && seen.asked.len() == 1, "{seen:?}");
}

#[test]
fn a_name_does_nothing_but_stand_there() {
    for (name, document) in reports() {
        let page = html(&document);
        assert_eq!(page.matches("<script").count(), 1, "{name}: only the data");
        assert_eq!(page.matches("</script").count(), 1, "{name}");
        for bad in ["<b>host-2", "alert('x')</", "frankfurt <1>", "\"quoted\" & "] {
            assert!(!page.contains(bad), "{name}: {bad}");
        }
        let text = markdown(&document);
        assert!(!text.contains("<script") && !text.contains("<b>"), "{name}");
    }
    let Some(program) = chromium() else { return };
    let seen = open(&program, &html(&availability(&sample::figures(NAMES.len(), 9), &sample::frame(100))));
    // The browser writes text as it has understood it.
    assert!(seen.page.contains("&lt;script&gt;alert('x')&lt;/script&gt;"), "{}", seen.page);
    assert!(seen.page.contains("קובץ-שרת") && seen.page.contains("🐘 elephant"));
}

#[test]
fn a_report_of_twenty_thousand_vms_shows_the_worst_and_has_them_all() {
    let page = html(&availability(&sample::figures(20_000, 48), &sample::frame(100)));
    assert!(page.contains("The worst 100 of 20000 are shown"), "it is said that not all are shown");
    assert_eq!(page.matches("<tr><th scope=\"row\">").count(), 100 + 5, "a hundred VMs and five causes");
    let (_, data) = page.split_once("id=\"data\">").expect("the data");
    let (data, _) = data.split_once("</script>").expect("its end");
    let view: holdfast::api::FiguresView = serde_json::from_str(data).expect("JSON");
    assert_eq!(view.rows.len(), 20_000);
    println!("{} bytes, of which {} are data", page.len(), data.len());
    assert!(page.len() < 16 << 20, "{} bytes", page.len());
}

#[test]
fn what_is_printed_breaks_nowhere_within_a_row() {
    let Some(program) = chromium() else { return };
    let (_, document) = reports().swap_remove(0);
    let page = written("printed", &html(&document));
    let folder = tempfile::tempdir().expect("a folder");
    let pdf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("printed.pdf");
    let output = browser(&program, folder.path())
        .args(["--no-pdf-header-footer", &format!("--print-to-pdf={}", pdf.display())])
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser runs");
    assert!(output.status.success() && pdf.exists(), "{}", String::from_utf8_lossy(&output.stderr));
    let Ok(output) = Command::new("pdftotext").args(["-layout", &pdf.display().to_string(), "-"]).output() else {
        eprintln!("SKIPPED: there is no pdftotext; on Debian: apt-get install poppler-utils");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let pages: Vec<&str> = text.split('\u{c}').filter(|page| !page.trim().is_empty()).collect();
    assert!(pages.len() > 1, "{text}");
    let head = |page: &&&str| page.contains("Availability") && page.contains("Nines") && page.contains("MTBF");
    let rows = |page: &&&str| page.lines().any(|line| line.contains("vm-000") && line.contains('%'));
    assert!(pages.iter().filter(rows).count() > 1, "the table goes over more than one page: {text}");
    let headless = pages.iter().filter(rows).filter(|page| !head(page)).count();
    assert_eq!(headless, 0, "each page of the table has its head: {text}");
}

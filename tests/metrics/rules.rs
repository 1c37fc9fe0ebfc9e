//! The alert rules: each is sound, speaks of what there is, and has a test in `alerts` by which it is silent first, and
//! fires then.

use crate::names::{known, used};
use crate::promtool::{ask, must, project};
use std::collections::BTreeSet;
use std::fs;

pub const RULES: &str = "hosts/prometheus/holdfast.rules.yml";
const TESTS: &str = "tests/metrics/alerts";

/// The rules, as they lie there.
pub fn rules() -> String {
    fs::read_to_string(project(RULES)).expect("the rules")
}

/// How each alert is called.
fn alerts() -> BTreeSet<String> {
    rules().lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

#[test]
fn the_rules_are_sound() {
    let path = project(RULES);
    let Some(said) = must(&["check", "rules", path.to_str().unwrap()], "") else { return };
    assert!(said.contains(&format!("SUCCESS: {} rules found", alerts().len())), "{said}");
}

#[test]
fn each_says_how_bad_it_is_and_what_to_do() {
    for rule in rules().split("- alert: ").skip(1) {
        for key in ["severity: ", "summary: ", "description: "] {
            assert_eq!(rule.matches(key).count(), 1, "{key}in {rule}");
        }
        assert!(["critical", "warning"].iter().any(|one| rule.contains(&format!("severity: {one} }}"))), "{rule}");
    }
}

#[test]
fn they_speak_of_what_there_is() {
    let unknown: Vec<String> = used(&rules()).difference(&known()).cloned().collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn each_fires_when_it_should_and_not_before() {
    let files = fs::read_dir(project(TESTS)).expect("the tests");
    let names = files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
    let tested: BTreeSet<String> = names.collect();
    assert_eq!(tested, alerts(), "each alert has a test of its own in {TESTS}");
    for name in &tested {
        let text = fs::read_to_string(project(TESTS).join(format!("{name}.yml"))).expect("a test");
        let firing = format!("'ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}}'");
        let looks: Vec<&str> = text.split(&format!("- expr: {firing}")).skip(1).collect();
        assert!(looks.len() == 2 && looks[0].contains("exp_samples: []") && !looks[1].contains("[]"), "{name}: {text}");
    }
    let paths = tested.iter().map(|name| format!("{}/{name}.yml", project(TESTS).display()));
    let words: Vec<String> = ["test", "rules"].map(str::to_owned).into_iter().chain(paths).collect();
    must(&words.iter().map(String::as_str).collect::<Vec<_>>(), "");
}

/// What a broken test would say is said: the tests above can fail.
#[test]
fn a_rule_that_does_not_fire_is_found() {
    let name = "HoldfastBrake";
    let text = fs::read_to_string(project(TESTS).join(format!("{name}.yml"))).expect("a test");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.yml");
    let rules = project(RULES);
    let calm = text.replace("../../../hosts/prometheus/holdfast.rules.yml", rules.to_str().unwrap());
    fs::write(&path, calm.replace("'0x40 1x40'", "'0x80'")).expect("a file");
    let Some(output) = ask(&["test", "rules", path.to_str().unwrap()], "") else { return };
    assert!(!output.status.success());
}

/// The example of how to scrape is one that Prometheus takes, but for the files that it names.
#[test]
fn the_example_is_sound() {
    let path = project("hosts/prometheus/prometheus.yml");
    must(&["check", "config", "--syntax-only", path.to_str().unwrap()], "");
}

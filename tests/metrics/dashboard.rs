//! The dashboard: a Grafana dashboard in form, and each of its questions one that Prometheus understands, about what there
//! is.

use crate::names::{known, used};
use crate::promtool::{must, project};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

/// The oldest schema that a supported Grafana takes over without a migration of panels.
const SCHEMA: u64 = 36;
/// The width of Grafana's grid.
const WIDTH: u64 = 24;

pub fn dashboard() -> Value {
    let text = fs::read_to_string(project("hosts/grafana/holdfast.json")).expect("the dashboard");
    serde_json::from_str(&text).expect("it is JSON")
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().expect("panels").iter().collect()
}

/// The questions of all panels and variables, with what Grafana puts in the place of its own words.
pub fn questions(dashboard: &Value) -> Vec<String> {
    let of_panels = panels(dashboard).into_iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let questions = of_panels.map(|target| target["expr"].as_str().expect("a question").to_owned());
    questions.map(|question| question.replace("$__rate_interval", "1m").replace("$job", "holdfast.*")).collect()
}

#[test]
fn it_is_one_that_grafana_loads() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= SCHEMA);
    assert!(dashboard["uid"].as_str().unwrap().len() <= 40 && !dashboard["title"].as_str().unwrap().is_empty());
    assert!(dashboard["id"].is_null(), "one that is imported has no number yet");
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(variables.iter().map(|one| one["name"].as_str().unwrap()).collect::<Vec<_>>(), ["source", "job"]);
    let mut ids = BTreeSet::new();
    let mut places: Vec<[u64; 4]> = Vec::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its number is another's, too");
        let place = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a place"));
        assert!(place[0] + place[2] <= WIDTH && place[2] > 0 && place[3] > 0, "{title}: {place:?}");
        let apart = |other: &[u64; 4]| {
            let beside = |at: usize| place[at] + place[at + 2] <= other[at] || other[at] + other[at + 2] <= place[at];
            beside(0) || beside(1)
        };
        assert!(places.iter().all(apart), "{title} lies on another panel");
        places.push(place);
        if panel["type"] == "row" {
            continue;
        }
        assert!(
            ["timeseries", "stat", "table", "state-timeline", "bargauge"].contains(&panel["type"].as_str().unwrap())
        );
        assert_eq!(panel["datasource"]["uid"], "${source}", "{title}");
        assert!(!panel["description"].as_str().unwrap_or_default().is_empty(), "{title} says what it shows");
        let targets = panel["targets"].as_array().expect("questions");
        let names: BTreeSet<&str> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
        assert!(names.len() == targets.len() && !targets.is_empty(), "{title}");
    }
}

#[test]
fn it_asks_what_prometheus_understands_about_what_there_is() {
    let questions = questions(&dashboard());
    let unknown: Vec<String> = used(&questions.join("\n")).difference(&known()).cloned().collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    // A rule is parsed as a question would be.
    let rules = questions.iter().enumerate().map(|(number, question)| {
        let question = serde_json::to_string(question).unwrap();
        format!("    - {{ record: question_{number}, expr: {question} }}\n")
    });
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("questions.yml");
    fs::write(&path, format!("groups:\n- name: questions\n  rules:\n{}", rules.collect::<String>())).expect("a file");
    let Some(said) = must(&["check", "rules", path.to_str().unwrap()], "") else { return };
    assert!(said.contains(&format!("{} rules found", questions.len())), "{said}");
}

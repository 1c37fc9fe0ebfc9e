//! Faults in words: the scenario's own word, what it befalls, and its figures.

use crate::explain::NameList;
use crate::sim::fault::Fault;
use crate::sim::spelling::{fault_fields, fault_kind};
use serde_json::Value;

/// A fault, such as `host-2 freeze, for 10s`.
pub fn fault(fault: &Fault, names: &NameList) -> String {
    let mut fields = fault_fields(fault, names);
    let mut text = String::new();
    // What it befalls comes first, as the eye looks for a name.
    for key in ["vm", "host", "hosts", "fence", "datastore"] {
        if let Some(value) = fields.remove(key) {
            text.push_str(&plain(&value));
            text.push(' ');
        }
    }
    text.push_str(fault_kind(fault));
    for (index, (key, value)) in fields.iter().enumerate() {
        let comma = if index == 0 { "," } else { "" };
        text.push_str(&format!("{comma} {key} {}", plain(value)));
    }
    text
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| format!("{key} {}", plain(value))).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

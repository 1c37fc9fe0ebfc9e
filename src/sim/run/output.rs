//! An outcome as JSON, for machines.

use crate::explain::{NameList, Names};
use crate::sim::facts;
use crate::sim::run::finals::FinalStates;
use crate::sim::run::{Failure, Outcome};
use serde_json::{Map, Value, json};

/// One object: `name`, `seed`, `passed`, `events`, `final`, `violations`, `failures` and `differences`.
pub fn json(outcome: &Outcome) -> Value {
    let events: Vec<Value> = outcome.events.iter().map(|moment| facts::event(moment, &outcome.names)).collect();
    let violations: Vec<Value> = outcome.violations.iter().map(facts::violation).collect();
    let failures: Vec<Value> = outcome.failures.iter().map(failure).collect();
    json!({
        "name": outcome.name,
        "seed": outcome.seed,
        "passed": outcome.is_good(),
        "events": events,
        "final": finals(&outcome.finals, &outcome.names),
        "violations": violations,
        "failures": failures,
        "differences": outcome.differences,
    })
}

fn failure(failure: &Failure) -> Value {
    json!({ "line": failure.line, "what": failure.what })
}

/// How everything stands: `vms` and `hosts`, by name.
pub fn finals(finals: &FinalStates, names: &NameList) -> Value {
    let mut vms = Map::new();
    for (vm, end) in &finals.vms {
        let host = end.host.map(|host| names.host(host));
        let reason = end.wait.as_ref().filter(|_| end.host.is_none()).map(|wait| facts::wait(wait, names));
        vms.insert(names.vm(*vm), json!({ "host": host, "state": end.state.name(), "reason": reason }));
    }
    let mut hosts = Map::new();
    for (host, state) in &finals.hosts {
        hosts.insert(names.host(*host), json!({ "state": state.map_or("unknown", |state| state.name()) }));
    }
    json!({ "vms": vms, "hosts": hosts })
}

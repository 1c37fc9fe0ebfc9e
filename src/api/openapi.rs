//! The description of this interface, for programs and their makers.

use super::extract::Json;
use serde_json::{Map, Value, json};

/// One thing that can be asked: method, path, what it does, and who may.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    right: &'static str,
    /// An example of the body, as JSON.
    body: Option<&'static str>,
}

const fn look(path: &'static str, summary: &'static str) -> Operation {
    Operation { method: "get", path, summary, right: "viewer", body: None }
}

const fn act(method: &'static str, path: &'static str, summary: &'static str, body: Option<&'static str>) -> Operation {
    Operation { method, path, summary, right: "operator", body }
}

/// All of them.
pub(super) const OPERATIONS: &[Operation] = &[
    look("/v1/status", "The cluster at a glance"),
    look("/v1/hosts", "All hosts, or at most `?limit=` of them, `?after=` one"),
    look("/v1/hosts/{host}", "One host, with why it stands as it does"),
    look("/v1/hosts/{host}/live", "What one host uses just now, and each VM there"),
    look(
        "/v1/hosts/{host}/checkup",
        "Whether its hypervisor is set up as the cluster needs it; libvirt's hook is tried",
    ),
    look("/v1/vms", "All VMs, or at most `?limit=` of them, `?after=` one"),
    look("/v1/vms/{vm}", "One VM, with what it waits for and what proved its last holders gone"),
    look("/v1/vms/{vm}/live", "What one VM uses just now, and what its guest says"),
    look("/v1/vms/{vm}/move", "How far the live migration of a VM is, and why the last one came to nothing"),
    look("/v1/found", "The VMs that the hypervisors have, protected or not; those of one host with `?host=`"),
    look("/v1/policy", "The rules of the cluster"),
    look("/v1/doctor", "Which guards there really are, and which failures are survived unattended"),
    look("/v1/events", "What happened, after a key; waits for more if asked to"),
    look("/v1/ledger", "The facts behind the events, as they are kept"),
    look(
        "/v1/report/availability",
        "How available each was from `?from=` to `?to=`, in milliseconds since 1970, `?by=` vm, host, guest-os, tag or \
        cluster; one row with `?name=`, what is to be drawn with `?spans=true`, `?limit=` rows `?after=` the last one",
    ),
    look("/v1/report/failovers", "Each VM that was brought back or moved, with the length of each stage"),
    look(
        "/v1/report/load",
        "What was used over a time: `?of=cpu` or `memory`, `&by=vm`, `host`, `guest-os`, `tag` or `cluster`, `&name=` one, \
        `&points=` so many, at most `&limit=` rows `&after=` one",
    ),
    look(
        "/v1/report/capacity",
        "What hosts have, what of it is reserved and used, and what is left if some of them die",
    ),
    look("/v1/samples", "Samples as they are kept, `?since=` an hour and `&after=` a place, for voters that lack some"),
    look("/v1/load/now", "What each host and its VMs use just now; at most `?limit=` hosts, `?after=` one"),
    look(
        "/v1/report/month",
        "The report of a month, such as `?month=2026-10`, in a `?zone=`, signed by the cluster's authority; its first part",
    ),
    look("/v1/report/month/part", "The part of a signed report with this `?print=` that begins at `?offset=`"),
    look("/v1/targets", "The targets of tags: how much of their time VMs with them are to be up"),
    look("/v1/datastores", "The shared datastores"),
    look("/v1/networks", "The networks of guests"),
    look("/v1/fences", "The fence devices, without their passwords"),
    look("/v1/fences/{fence}/test", "What a fence device tells each voter now: its machine, its power"),
    look("/v1/fences/{fence}/probe", "The same, from the very host that is asked"),
    look("/v1/fence-agents", "The fence agents on the master's host"),
    look("/v1/fence-agents/{agent}", "One of them, with the options that it takes"),
    look("/v1/channels", "By which channels people are told of what happens, without secrets, and how far each is"),
    look("/v1/tokens", "The invitations that are good still, without their secrets"),
    look("/v1/access", "Who may use this interface"),
    look("/metrics", "What this very host tells Prometheus, as plain text; it is not passed on to the master"),
    Operation {
        method: "post",
        path: "/v1/plan",
        summary: "What would become of the VMs if these hosts died now; changes nothing",
        right: "viewer",
        body: Some(r#"{"fail":["host-1"]}"#),
    },
    act(
        "post",
        "/v1/vms",
        "Puts a VM under protection",
        Some(
            r#"{"name":"vm-1","memory_mib":1024,"millicores":1000,"definition":"disk = \"/shared/vm-1\"","start":true}"#,
        ),
    ),
    act("post", "/v1/found/{vm}", "Puts a VM that a hypervisor has under protection", Some(r#"{"priority":5}"#)),
    act("delete", "/v1/vms/{vm}", "Forgets an unprotected VM; its disks stay", None),
    act("post", "/v1/vms/{vm}/start", "The VM should run", None),
    act("post", "/v1/vms/{vm}/stop", "The VM should be stopped", Some(r#"{"force":false}"#)),
    act("post", "/v1/vms/{vm}/move", "Moves the VM alive", Some(r#"{"to":"host-2"}"#)),
    act("post", "/v1/vms/{vm}/unprotect", "Ends the VM's protection; it runs on", None),
    act(
        "put",
        "/v1/vms/{vm}/account",
        "By what its time is accounted for; `up` is running, agent, or a probe by tcp, http or command; what is left out stays",
        Some(r#"{"tags":["web"],"up":{"probe":{"tcp":{"address":"10.0.0.7:80"}}},"target":99.95}"#),
    ),
    act(
        "put",
        "/v1/targets/{tag}",
        "How much of their time VMs with the tag are to be up",
        Some(r#"{"target":99.95}"#),
    ),
    act("delete", "/v1/targets/{tag}", "Takes that back", None),
    act(
        "post",
        "/v1/hosts/{host}/{deed}",
        "confirm-dead, drill, on (power), resolve, end-quarantine or keep (not to be removed after all)",
        None,
    ),
    act(
        "post",
        "/v1/hosts/{host}/off",
        "Has a host powered off; with force although it holds VMs, which are restarted elsewhere",
        Some(r#"{"force":false}"#),
    ),
    act("put", "/v1/hosts/{host}/fences", "Which devices fence the host, in levels", Some(r#"{"levels":[["bmc-1"]]}"#)),
    act("delete", "/v1/hosts/{host}", "Removes a host for good: its certificate counts no more", None),
    act("put", "/v1/policy", "Sets the rules of the cluster", Some(r#"{"brake_percent":40}"#)),
    act("post", "/v1/arm", "From observing to acting", None),
    act("post", "/v1/disarm", "From acting to observing", Some(r#"{"for_seconds":7200}"#)),
    act(
        "post",
        "/v1/recover",
        "Goes on without the voters on these hosts, which are dead for good",
        Some(r#"{"dead":["host-2","host-3"]}"#),
    ),
    act("post", "/v1/datastores", "Names a datastore, and gives it a number", Some(r#"{"name":"shared-1"}"#)),
    act("post", "/v1/networks", "Names a network of guests", Some(r#"{"name":"guests"}"#)),
    act("post", "/v1/fences", "Adds a fence device, or changes its settings", None),
    act("delete", "/v1/fences/{fence}", "Removes a fence device that fences no host", None),
    act(
        "post",
        "/v1/channels",
        "Adds a channel, or changes its settings",
        Some(
            r#"{"name":"team","target":{"webhook":{"url":"https://hooks.example/x","secret":"..."}},"least":"warning"}"#,
        ),
    ),
    act("post", "/v1/channels/{channel}/{deed}", "pause, resume, skip (what waits) or test", None),
    act("delete", "/v1/channels/{channel}", "Removes a channel", None),
    act("post", "/v1/tokens", "Invites one host to join", Some(r#"{"for_seconds":3600}"#)),
    act("delete", "/v1/tokens/{token}", "Takes an invitation back", None),
    act("post", "/v1/access", "Lets somebody use this interface", Some(r#"{"name":"ada","right":"viewer"}"#)),
    act("delete", "/v1/access/{print}", "Takes that right back", None),
    Operation {
        method: "post",
        path: "/v1/join",
        summary: "A host joins with its token",
        right: "nobody: the token is the proof",
        body: None,
    },
    Operation { method: "get", path: "/openapi.json", summary: "This document", right: "nobody", body: None },
];

/// `GET /openapi.json`
pub(super) async fn document() -> Json<Value> {
    Json(description())
}

/// The description of this interface.
pub fn description() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let entry = paths.entry(operation.path).or_insert_with(|| json!({}));
        entry[operation.method] = described(operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Any host of the cluster answers, and passes the question on to the master. While there is none, \
                a voter shows what it knows by itself, and names itself in the header `as-known-by`.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "certificate": { "type": "mutualTLS" },
                "token": { "type": "http", "scheme": "bearer" },
            },
            "schemas": { "Error": {
                "type": "object",
                "required": ["code", "error"],
                "properties": {
                    "code": { "type": "string" },
                    "error": { "type": "string" },
                    "hint": { "type": "string" },
                },
            } },
        },
        "security": [{ "certificate": [] }, { "token": [] }],
    })
}

fn described(operation: &Operation) -> Value {
    let failed = json!({
        "description": "It was not done, with the reason",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    });
    let mut described = json!({
        "summary": operation.summary,
        "description": format!("Needs the right: {}.", operation.right),
        "parameters": parameters(operation.path),
        "responses": { "200": { "description": "Done", "content": { "application/json": {} } }, "default": failed },
    });
    if let Some(example) = operation.body.and_then(|body| serde_json::from_str::<Value>(body).ok()) {
        described["requestBody"] = json!({ "content": { "application/json": { "example": example } } });
    }
    described
}

fn parameters(path: &str) -> Value {
    let named = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter =
        |name: &str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    json!(named.map(parameter).collect::<Vec<_>>())
}

//! What a keystone and a Nova of Zed have answered, shortened to what matters.

use crate::cloud::{Reply, Request, TOKENS};
use serde_json::json;

pub const SERVER: &str = "a015b23c-9624-4f94-88f2-b773949ebf00";
pub const KVM1: &str = "91513f72-d85e-4634-ad56-aa8e7dd5d7a5";

pub const IN_USE: &str = r#"{"badRequest": {"code": 400, "message": "Compute service of kvm1 is still in use."}}"#;
pub const TOO_NEW: &str = r#"{"computeFault": {"code": 406, "message": "Version 2.95 is not supported by the API. Minimum is 2.1 and maximum is 2.93."}}"#;
pub const UNAUTHORIZED: &str = r#"{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}"#;
pub const FORBIDDEN: &str = r#"{"forbidden": {"code": 403, "message": "Policy doesn't allow os_compute_api:os-services:list to be performed."}}"#;
pub const NOT_FOUND: &str = r#"{"itemNotFound": {"code": 404, "message": "Instance 00000000-0000-0000-0000-00000000dead could not be found."}}"#;
pub const CONFLICT: &str = r#"{"conflictingRequest": {"code": 409, "message": "Cannot 'evacuate' instance a015b23c-9624-4f94-88f2-b773949ebf00 while it is in task_state rebuilding"}}"#;
pub const OVER_LIMIT: &str =
    r#"{"overLimit": {"code": 413, "message": "This request was rate-limited.", "retryAfter": "0"}}"#;
pub const FAULT: &str = r#"{"computeFault": {"code": 500, "message": "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/ and attach the Nova API log if possible.\n<class 'keystoneauth1.exceptions.connection.ConnectFailure'>"}}"#;
/// As haproxy says that Nova is not there.
pub const NO_BACKEND: &str = "<html><body><h1>503 Service Unavailable</h1>\nNo server is available.\n</body></html>\n";
pub const RESTART_FIRST: &str = r#"{"badRequest": {"code": 400, "message": "Unable to force up host kvm1 as `done` evacuation migration records remain associated with the host. Ensure the compute service has been restarted, allowing these records to move to `completed` before retrying this request."}}"#;
pub const FORCED_DOWN: &str = r#"{"service": {"binary": "nova-compute", "host": "kvm1", "id": "91513f72-d85e-4634-ad56-aa8e7dd5d7a5", "zone": "nova", "status": "enabled", "state": "down", "updated_at": "2026-11-20T20:48:18.000000", "disabled_reason": null, "forced_down": true}}"#;
pub const DISABLED: &str = r#"{"service": {"binary": "nova-compute", "host": "kvm1", "id": "91513f72-d85e-4634-ad56-aa8e7dd5d7a5", "zone": "nova", "status": "disabled", "state": "down", "updated_at": "2026-11-20T20:48:18.000000", "disabled_reason": "dead", "forced_down": true}}"#;
pub const LIFTED: &str = r#"{"service": {"binary": "nova-compute", "host": "kvm1", "id": "91513f72-d85e-4634-ad56-aa8e7dd5d7a5", "zone": "nova", "status": "enabled", "state": "up", "updated_at": "2026-11-20T21:33:24.775160", "disabled_reason": null, "forced_down": false}}"#;
pub const NO_VALID_HOST: &str = r#"{"server": {"id": "a015b23c-9624-4f94-88f2-b773949ebf00", "name": "nv0", "status": "ERROR", "tenant_id": "f676853ef785401aa66617a84e9904a1", "metadata": {}, "flavor": {"vcpus": 1, "ram": 512, "disk": 1, "original_name": "m1.tiny", "extra_specs": {}}, "fault": {"code": 500, "created": "2026-11-20T20:55:06Z", "message": "No valid host was found. There are not enough hosts available.", "details": "Traceback (most recent call last)"}, "OS-EXT-SRV-ATTR:host": "kvm1", "OS-EXT-SRV-ATTR:hypervisor_hostname": "kvm1", "OS-EXT-STS:task_state": null, "OS-EXT-STS:vm_state": "error", "OS-EXT-STS:power_state": 1, "locked": false}}"#;
/// After two evacuations of one server: it hangs between both.
pub const TWO_EVACUATIONS: &str = r#"{"migrations": [
    {"id": 4, "uuid": "4d8dbbd1-5a5e-42c0-ad67-7c2bb6a3c9f7", "source_compute": "kvm1", "dest_compute": null, "instance_uuid": "a015b23c-9624-4f94-88f2-b773949ebf00", "status": "accepted", "migration_type": "evacuation", "created_at": "2026-11-20T20:49:18.000000", "updated_at": null},
    {"id": 1, "uuid": "c999d0e5-06ec-4ef2-ad65-5ca6ddc189ef", "source_compute": "kvm1", "dest_compute": "kvm2", "instance_uuid": "a015b23c-9624-4f94-88f2-b773949ebf00", "status": "failed", "migration_type": "evacuation", "created_at": "2026-11-20T20:49:16.000000", "updated_at": "2026-11-20T20:49:21.000000"}]}"#;

/// The answer to a request, as it was recorded.
pub fn answer(request: &Request, base: &str) -> Reply {
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", TOKENS) => token(request, base, "2026-11-20T21:48:21.000000Z"),
        ("GET", "/v2.1/") => version("2.93"),
        ("GET", "/v2.1/os-services") => Reply::json(200, services()),
        ("GET", "/v2.1/os-hypervisors/detail") => Reply::json(200, hypervisors()),
        ("GET", "/v2.1/servers/detail") => Reply::json(200, format!("{{\"servers\": [{}]}}", server(SERVER, "kvm1"))),
        ("GET", "/v2.1/os-migrations") => Reply::json(200, r#"{"migrations": []}"#),
        _ => Reply::json(404, NOT_FOUND),
    }
}

/// A token, given at a quarter to nine. Each one is another.
pub fn token(request: &Request, base: &str, expires_at: &str) -> Reply {
    let endpoint = |kind: &str, interface: &str, region: &str, path: &str| {
        json!({ "type": kind, "endpoints": [{
            "interface": interface, "region_id": region, "region": region, "url": format!("{base}{path}"),
        }] })
    };
    let body = json!({ "token": {
        "methods": ["password"],
        "user": { "id": "a2f5", "name": "holdfast", "domain": { "id": "default", "name": "Default" } },
        "expires_at": expires_at,
        "issued_at": "2026-11-20T20:48:21.000000Z",
        "project": { "id": "f676", "name": "admin", "domain": { "id": "default", "name": "Default" } },
        "roles": [{ "id": "679a", "name": "admin" }, { "id": "d191", "name": "reader" }],
        "catalog": [
            endpoint("identity", "public", "RegionOne", "/v3"),
            endpoint("compute", "internal", "RegionOne", "/elsewhere"),
            endpoint("compute", "public", "RegionOne", "/v2.1"),
        ],
    } });
    let headers = format!("X-Subject-Token: {}\r\n", token_text(request.before));
    Reply::Answer(201, headers, body.to_string())
}

/// The token that was given after so many others.
pub fn token_text(before: usize) -> String {
    format!("gAAAAAB-token-{before}")
}

pub fn version(highest: &str) -> Reply {
    let body = json!({ "version": { "id": "v2.1", "status": "CURRENT", "version": highest, "min_version": "2.1" } });
    Reply::json(200, body.to_string())
}

fn services() -> String {
    let service = |host: &str, id: &str| {
        json!({ "binary": "nova-compute", "host": host, "id": id, "zone": "nova", "status": "enabled", "state": "up",
            "updated_at": "2026-11-20T20:48:18.000000", "disabled_reason": null, "forced_down": false })
    };
    let services = [
        service("kvm3", "4fcb53d9-51cf-47da-914b-e757e624599d"),
        service("kvm2", "951877c2-f35d-4832-bb6c-ee7b22bfc274"),
        service("kvm1", KVM1),
    ];
    json!({ "services": services }).to_string()
}

fn hypervisors() -> String {
    let hypervisor = |name: &str, id: &str, service: &str| {
        json!({ "id": id, "hypervisor_hostname": format!("{name}.example"), "state": "up", "status": "enabled",
            "hypervisor_type": "fake", "service": { "id": service, "host": name, "disabled_reason": null } })
    };
    let hypervisors = [
        hypervisor("kvm3", "47f5e805-0008-4842-acd7-38260aaf725e", "4fcb53d9-51cf-47da-914b-e757e624599d"),
        hypervisor("kvm2", "f9e3b00b-c6f5-4433-bc8d-2f426c36207e", "951877c2-f35d-4832-bb6c-ee7b22bfc274"),
        hypervisor("kvm1", "aac0ae03-24f0-4d99-a49c-f534f9b7f120", KVM1),
    ];
    json!({ "hypervisors": hypervisors }).to_string()
}

/// A server that runs.
pub fn server(id: &str, host: &str) -> String {
    let server = json!({ "id": id, "name": "s1", "status": "ACTIVE", "tenant_id": "f676", "metadata": {},
        "image": { "id": "c135" }, "locked": false, "locked_reason": null,
        "flavor": { "vcpus": 1, "ram": 512, "disk": 1, "original_name": "m1.tiny", "extra_specs": {} },
        "OS-EXT-SRV-ATTR:host": host, "OS-EXT-SRV-ATTR:hypervisor_hostname": host,
        "OS-EXT-STS:task_state": null, "OS-EXT-STS:vm_state": "active", "OS-EXT-STS:power_state": 1 });
    server.to_string()
}

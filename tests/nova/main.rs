//! The cloud of `openstack/lab`: that it is a real one, and that nothing is left of it. And on it what an operator is
//! given for Holdfast: a role, a credential and a policy, by which a dead compute's server runs elsewhere, and no more.
//!
//! It needs root and namespaces. Where it cannot be, the test says loudly that it was skipped.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where what it stands on is missing"
)]

mod rig;

use rig::{Answer, Cloud, processes_in};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// No request has it: what is asked for with it is refused before it is looked for.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// One test, as a cloud takes half a minute to come up: each part stands on what those before it have left.
#[test]
fn the_role_saves_a_server_of_a_dead_compute_and_may_do_nothing_else() {
    let Some(cloud) = Cloud::up() else { return };
    let booted = cloud.must(&["servers", "2", "--on", "kvm1"]);
    let (saved, left) = booted.split_once('\n').expect("two servers");

    let holdfast = Role { cloud: &cloud, token: token_of_new_credential(&cloud) };
    assert_eq!(holdfast.get("/servers/detail?all_tenants=1").status, Some(403), "the role alone is worth nothing");
    install_policy(&cloud);
    holdfast.sees([saved, left]);
    let compute = holdfast.service("kvm1", "id");
    holdfast.may_change(&compute, left);
    holdfast.is_refused(&compute, left);
    // The administrator's rights are what they were.
    cloud.must(&["servers", "1", "--on", "kvm2"]);

    holdfast.evacuates(&compute, saved);
    assert_eq!(holdfast.server(left)["OS-EXT-SRV-ATTR:host"], "kvm1", "nobody asked for that one");
    let host = holdfast.server(saved)["OS-EXT-SRV-ATTR:host"].clone();
    holdfast.acts(saved, &json!({ "os-migrateLive": { "host": null, "block_migration": "auto" } }), 202);
    the_api_dies_and_comes_back(&holdfast);
    cloud.must(&["start", "kvm1"]);
    cloud.until("the compute that was started again is no longer forced down", |_| {
        let lifted = holdfast.put(&format!("/os-services/{compute}"), &json!({ "forced_down": false }));
        (lifted.status == Some(200)).then_some(())
    });
    holdfast.settles_elsewhere(saved, &host);

    let namespace = cloud.namespace();
    assert!(processes_in(&namespace) > 12, "each service, and who started them");
    cloud.must(&["down"]);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(processes_in(&namespace) == 0 && !mounts.contains("/run/cloud") && !cloud.path().exists());
    cloud.must(&["down"]);
}

/// Makes role, user and credential as an operator does, and identifies by what the file says then.
fn token_of_new_credential(cloud: &Cloud) -> String {
    let file = cloud.path().join("holdfast.yaml");
    let words = ["exec", "openstack/credential", "--out", file.to_str().expect("a path")];
    cloud.must(&words);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = cloud.ask(&words);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && said.contains("holdfast.yaml cannot be written: File exists"), "{said}");
    let text = fs::read_to_string(&file).unwrap();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {key}: {text}")).to_owned()
    };
    let credential =
        json!({ "id": value("application_credential_id"), "secret": value("application_credential_secret") });
    cloud.token(&json!({ "methods": ["application_credential"], "application_credential": credential }))
}

/// Where nova-api reads it: it needs no restart for that.
fn install_policy(cloud: &Cloud) {
    let policy = cloud.must(&["exec", "openstack/policy", "--config-file", "/run/cloud/etc/nova/nova.conf"]);
    let folder = cloud.path().join("etc/nova/policy.d");
    fs::create_dir(&folder).unwrap();
    fs::write(cloud.path().join("policy.new"), policy).unwrap();
    fs::rename(cloud.path().join("policy.new"), folder.join("holdfast.yaml")).unwrap();
}

fn the_api_dies_and_comes_back(holdfast: &Role<'_>) {
    let cloud = holdfast.cloud;
    cloud.must(&["kill", "nova-api"]);
    assert_eq!(holdfast.get("/os-services").status, None, "nobody answers");
    let twice = cloud.ask(&["kill", "nova-api"]);
    assert!(String::from_utf8_lossy(&twice.stderr).contains("nova-api does not run"));
    cloud.must(&["start", "nova-api"]);
    cloud.until("nova-api serves", |_| (holdfast.get("/os-services").status == Some(200)).then_some(()));
}

/// Whoever has the role, and what Nova answers them.
struct Role<'a> {
    cloud: &'a Cloud,
    token: String,
}

impl Role<'_> {
    fn get(&self, path: &str) -> Answer {
        self.cloud.nova(&self.token, "GET", path, &Value::Null)
    }

    fn put(&self, path: &str, body: &Value) -> Answer {
        self.cloud.nova(&self.token, "PUT", path, body)
    }

    fn acts(&self, server: &str, action: &Value, status: u16) {
        let answer = self.cloud.nova(&self.token, "POST", &format!("/servers/{server}/action"), action);
        assert_eq!(answer.status, Some(status), "{action}: {}", answer.body);
    }

    fn list(&self, path: &str, name: &str) -> Vec<Value> {
        let answer = self.get(path);
        assert_eq!(answer.status, Some(200), "{path}: {}", answer.body);
        answer.body[name].as_array().expect("a list").clone()
    }

    fn server(&self, server: &str) -> Value {
        self.get(&format!("/servers/{server}")).body["server"].take()
    }

    fn service(&self, host: &str, field: &str) -> String {
        let services = self.list(&format!("/os-services?binary=nova-compute&host={host}"), "services");
        services[0][field].as_str().expect("a word").to_owned()
    }

    /// It sees the servers of a project that is not its own, and where they are.
    fn sees(&self, wanted: [&str; 2]) {
        let servers = self.list("/servers/detail?all_tenants=1&host=kvm1", "servers");
        let mut found: Vec<&str> = servers.iter().filter_map(|server| server["id"].as_str()).collect();
        let mut wanted = wanted.to_vec();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted);
        assert_eq!(self.server(wanted[0])["OS-EXT-SRV-ATTR:host"], "kvm1");
        assert!(self.list("/servers/detail?all_tenants=1&host=kvm2", "servers").is_empty(), "they are told by host");
        assert_eq!(self.list("/os-hypervisors/detail", "hypervisors").len(), 3);
        assert_eq!(self.list("/os-services?binary=nova-compute", "services").len(), 3);
        assert!(self.list("/os-migrations", "migrations").is_empty());
        assert!(self.list("/os-aggregates", "aggregates").is_empty());
    }

    fn may_change(&self, compute: &str, server: &str) {
        let path = format!("/os-services/{compute}");
        for change in [json!({ "status": "disabled", "disabled_reason": "a test" }), json!({ "status": "enabled" })] {
            let answer = self.put(&path, &change);
            assert_eq!(answer.status, Some(200), "{change}: {}", answer.body);
        }
        self.acts(server, &json!({ "os-resetState": { "state": "active" } }), 202);
    }

    /// Whatever else an administrator may do: nothing of it.
    fn is_refused(&self, compute: &str, server: &str) {
        let new = json!({ "name": "x", "imageRef": NOBODY, "flavorRef": "1", "networks": "none" });
        let flavor = json!({ "name": "x", "ram": 1, "vcpus": 1, "disk": 1 });
        let requests = [
            ("POST", "/servers".to_owned(), json!({ "server": new })),
            ("DELETE", format!("/servers/{server}"), Value::Null),
            ("PUT", format!("/servers/{server}"), json!({ "server": { "name": "x" } })),
            ("DELETE", format!("/os-services/{compute}"), Value::Null),
            ("POST", "/flavors".to_owned(), json!({ "flavor": flavor })),
            ("POST", "/os-aggregates".to_owned(), json!({ "aggregate": { "name": "x" } })),
            (
                "POST",
                "/os-keypairs".to_owned(),
                json!({ "keypair": { "name": "x", "type": "ssh", "public_key": "x" } }),
            ),
            ("PUT", format!("/os-quota-sets/{NOBODY}"), json!({ "quota_set": { "cores": 1 } })),
        ];
        for (method, path, body) in &requests {
            let answer = self.cloud.nova(&self.token, method, path, body);
            assert_eq!(answer.status, Some(403), "{method} {path}: {}", answer.body);
        }
        let actions = [
            json!({ "resize": { "flavorRef": "1" } }),
            json!({ "rebuild": { "imageRef": NOBODY } }),
            json!({ "changePassword": { "adminPass": "x" } }),
            json!({ "createImage": { "name": "x" } }),
            json!({ "forceDelete": null }),
            json!({ "lock": null }),
            json!({ "migrate": null }),
            json!({ "pause": null }),
            json!({ "shelve": null }),
            json!({ "suspend": null }),
            json!({ "os-getConsoleOutput": {} }),
        ];
        for action in &actions {
            self.acts(server, action, 403);
        }
    }

    fn evacuates(&self, compute: &str, server: &str) {
        self.cloud.must(&["kill", "kvm1"]);
        let down = self.put(&format!("/os-services/{compute}"), &json!({ "forced_down": true }));
        assert_eq!(down.status, Some(200), "{}", down.body);
        assert_eq!(self.service("kvm1", "state"), "down");
        self.acts(server, &json!({ "evacuate": {} }), 200);
        self.settles_elsewhere(server, &json!("kvm1"));
        let migrations = self.list(&format!("/os-migrations?instance_uuid={server}"), "migrations");
        assert_eq!((migrations.len(), &migrations[0]["migration_type"]), (1, &json!("evacuation")));
    }

    /// The status alone is right before the host is: see what Nova says of all three at once.
    fn settles_elsewhere(&self, server: &str, than: &Value) {
        self.cloud.until("the server is active elsewhere", |_| {
            let found = self.server(server);
            let elsewhere = found["OS-EXT-SRV-ATTR:host"] != *than && found["OS-EXT-STS:task_state"].is_null();
            (elsewhere && found["status"] == "ACTIVE").then_some(())
        });
    }
}

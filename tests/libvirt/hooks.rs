//! The hook: who asks, who is refused, who passes.

use crate::host::inside;
use crate::rig::{Adapter, Answers, Host, ONE, TWO, fail, pass, process, succeed, until};
use holdfast::clock::boottime;
use holdfast::core::action::{Ended, Outcome};
use holdfast::core::ids::{Epoch, VmId};
use holdfast::core::message::Coming;
use holdfast::core::reason::Refusal;
use holdfast::platform::{Checkup, Gravity, Platform};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const STRANGER: VmId = VmId(3);

#[test]
fn a_protected_vm_comes_up_only_by_leave_and_others_always_do() {
    inside("hooks::a_protected_vm_comes_up_only_by_leave_and_others_always_do", |folder| {
        let host = Host::start(folder);
        for vm in [ONE, TWO, STRANGER] {
            host.define(vm);
        }
        let answers = Arc::new(|vm, _| Some(if vm == ONE { Err(Refusal::Held) } else { Ok(Epoch::NONE) }));
        let mut adapter = Adapter::new(&host, answers);
        let (one, two, stranger) = (ONE.to_string(), TWO.to_string(), STRANGER.to_string());
        let refused = fail(&["start", &one]);
        assert!(refused.contains("holdfast refuses to let vm-1 come up"), "{refused}");
        assert_eq!(adapter.start(ONE), Outcome::Refused);
        assert_eq!(adapter.start(TWO), Outcome::Done);
        succeed(&["start", &stranger]);
        for name in [&two, &stranger] {
            succeed(&["destroy", name]);
        }
        // Without an agent: what is protected stays down, the rest does not notice.
        drop(adapter);
        std::fs::remove_file(host.run().join("libvirt-hook.sock")).unwrap();
        let refused = fail(&["start", &two]);
        assert!(refused.contains("does not answer"), "{refused}");
        succeed(&["start", &stranger]);
        assert!(process(TWO).is_none() && process(STRANGER).is_some());
    });
}

#[test]
fn a_hook_without_effect_is_told() {
    inside("hooks::a_hook_without_effect_is_told", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        let mut adapter = Adapter::new(&host, pass());
        let live = adapter.platform.lock().unwrap().live();
        let checkup = || live.checkup(boottime() + Duration::from_secs(10));
        let is_asked = |checkup: &Checkup| checkup.works.len() == 1;
        let bad = |checkup: &Checkup| {
            let bad = checkup.flaws.iter().filter(|flaw| flaw.gravity == Gravity::Bad);
            bad.map(|flaw| flaw.text.clone()).collect::<String>()
        };
        let seen = checkup();
        assert!(is_asked(&seen) && seen.flaws.is_empty(), "{seen:?}");
        assert_eq!(succeed(&["list", "--all", "--name"]), ONE.to_string(), "nothing is left of the trial");
        // One that is taken away, and put back: libvirt goes on asking it.
        let (path, aside) = (Path::new("/etc/libvirt/hooks/qemu.d/holdfast"), host.folder.join("hook"));
        std::fs::copy(path, &aside).unwrap();
        std::fs::remove_file(path).unwrap();
        let seen = checkup();
        assert!(!is_asked(&seen) && bad(&seen).contains("not installed"), "{seen:?}");
        std::fs::copy(&aside, path).unwrap();
        assert!(is_asked(&checkup()));
        let mode = |mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(bad(&checkup()).contains("not executable"));
        mode(0o755);
        // One that libvirt has not found when it started is not asked, until libvirt looks again.
        std::fs::remove_file(path).unwrap();
        host.kill_daemon();
        host.start_daemon();
        std::fs::copy(&aside, path).unwrap();
        let seen = checkup();
        assert!(!is_asked(&seen) && bad(&seen).contains("started before"), "{seen:?}");
        assert_eq!(adapter.start(ONE), Outcome::Done);
        host.signal_daemon("HUP");
        until("libvirt asks", || is_asked(&checkup()).then_some(()));
        std::fs::write(path, "#!/bin/sh\nexec /bin/true libvirt-hook\n").unwrap();
        let seen = checkup();
        assert!(!is_asked(&seen) && seen.flaws.iter().any(|flaw| flaw.text.contains("of this version")), "{seen:?}");
    });
}

#[test]
fn an_agent_that_hangs_holds_up_protected_vms_only() {
    inside("hooks::an_agent_that_hangs_holds_up_protected_vms_only", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        host.define(STRANGER);
        let _adapter = Adapter::new(&host, Arc::new(|_, _| None));
        let began = boottime();
        let refused = fail(&["start", &ONE.to_string()]);
        assert!(refused.contains("did not decide in time"), "{refused}");
        assert!(boottime().since(began) < Duration::from_secs(6));
        succeed(&["start", &STRANGER.to_string()]);
    });
}

#[test]
fn the_hook_costs_milliseconds() {
    inside("hooks::the_hook_costs_milliseconds", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        let _adapter = Adapter::new(&host, pass());
        let xml = host.xml(ONE, "");
        let mut times: Vec<Duration> = (0..20).map(|_| hook("prepare", &xml)).collect();
        times.sort_unstable();
        println!("the hook: best {:?}, median {:?}, worst {:?}", times[0], times[10], times[19]);
        // On a busy machine the making of processes takes most of it; to wait for anything would take seconds.
        assert!(times[0] < Duration::from_millis(250), "{times:?}");
    });
}

#[test]
fn what_comes_up_is_said_to_be_moved_restored_or_started() {
    inside("hooks::what_comes_up_is_said_to_be_moved_restored_or_started", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        let (answers, told) = recording();
        let adapter = Adapter::new(&host, answers);
        let bound = |bound: bool| {
            until("how it is defined", || {
                adapter.definitions.try_iter().find(|(_, shape)| shape.bonds.is_empty() != bound)
            })
        };
        bound(false);
        let name = ONE.to_string();
        for operation in ["migrate", "prepare", "prepare", "started"] {
            hook(operation, &host.xml(ONE, ""));
        }
        succeed(&["start", &name]);
        succeed(&["managedsave", &name]);
        bound(true);
        succeed(&["start", &name]);
        let how: Vec<Coming> = told.try_iter().map(|(coming, _)| coming).collect();
        assert_eq!(how, [Coming::Moved, Coming::Started, Coming::Started, Coming::Restored]);
    });
}

#[test]
fn whether_anything_is_left_is_seen_past_the_daemon() {
    inside("hooks::whether_anything_is_left_is_seen_past_the_daemon", |folder| {
        let host = Host::start(folder);
        host.define(ONE);
        let (answers, told) = recording();
        let _adapter = Adapter::new(&host, answers);
        let name = ONE.to_string();
        succeed(&["start", &name]);
        assert!(told.recv().unwrap().1.is_some());
        hook("prepare", &host.xml(ONE, ""));
        assert_eq!(told.recv().unwrap().1, None, "its process runs");
        succeed(&["destroy", &name]);
        succeed(&["start", &name]);
        assert!(told.recv().unwrap().1.is_some(), "in the same breath");
    });
}

/// How VMs come up, and whether anything of the one before is left.
type Told = std::sync::mpsc::Receiver<(Coming, Option<Ended>)>;

/// Lets all pass, and records what is asked.
fn recording() -> (Answers, Told) {
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let answers = move |_, asked| {
        tell.lock().unwrap().send(asked).unwrap();
        Some(Ok(Epoch::NONE))
    };
    (Arc::new(answers), told)
}

/// Calls the hook as libvirt does.
fn hook(operation: &str, xml: &str) -> Duration {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let began = boottime();
    let mut hook = Command::new("/etc/libvirt/hooks/qemu.d/holdfast")
        .args(["vm-1", operation, "begin", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    hook.stdin.take().unwrap().write_all(xml.as_bytes()).unwrap();
    assert!(hook.wait().unwrap().success());
    boottime().since(began)
}

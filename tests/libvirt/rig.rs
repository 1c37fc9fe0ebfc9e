//! What tests inside of a host use: its libvirtd, small VMs, and the adapter.

use holdfast::clock::boottime;
use holdfast::core::action::{Ended, Outcome, PlatformCall, PlatformEvent, ProcessState, View};
use holdfast::core::command::Want;
use holdfast::core::ids::{DatastoreId, Epoch, FeatureId, Ticket, VmId};
use holdfast::core::message::{Coming, Known, Protection};
use holdfast::core::reason::Refusal;
use holdfast::core::state::Shape;
use holdfast::libvirt::definition::Datastore;
use holdfast::libvirt::{LibvirtPlatform, LibvirtSetup};
use holdfast::platform::Platform;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is waited for comes sooner, or not at all.
const SOON: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

pub const ONE: VmId = VmId(1);
pub const TWO: VmId = VmId(2);

/// The UUID of a VM.
pub fn uuid(vm: VmId) -> String {
    format!("11111111-2222-4333-8444-5555555555{:02}", vm.0)
}

/// The host's libvirtd and its folders.
pub struct Host {
    pub folder: PathBuf,
}

impl Host {
    /// Starts the daemon, with our hook installed.
    pub fn start(folder: &Path) -> Host {
        let host = Host { folder: folder.to_owned() };
        let hooks = Path::new("/etc/libvirt/hooks/qemu.d");
        fs::create_dir_all(hooks).unwrap();
        let (program, run, state) = (env!("CARGO_BIN_EXE_holdfast"), host.run(), host.state());
        let script = format!(
            "#!/bin/sh\nexec {program} libvirt-hook --run {} --state {} \"$@\"\n",
            run.display(),
            state.display()
        );
        fs::write(hooks.join("holdfast"), script).unwrap();
        fs::set_permissions(hooks.join("holdfast"), fs::Permissions::from_mode(0o755)).unwrap();
        host.start_daemon();
        host
    }

    pub fn run(&self) -> PathBuf {
        self.folder.join("run")
    }

    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    pub fn datastore(&self) -> PathBuf {
        self.folder.join("datastore")
    }

    pub fn start_daemon(&self) {
        assert!(Command::new("libvirtd").arg("-d").status().unwrap().success());
        until("libvirtd answers", || virsh(&["version"]).status.success().then_some(()));
    }

    /// Sends a signal to the daemon, by the number in its own file.
    pub fn signal_daemon(&self, signal: &str) {
        let pid = fs::read_to_string("/run/libvirtd.pid").unwrap();
        signal_to(pid.trim(), signal);
    }

    pub fn kill_daemon(&self) {
        self.signal_daemon("KILL");
        let pid = fs::read_to_string("/run/libvirtd.pid").unwrap();
        until("libvirtd is gone", || (!is_alive(pid.trim())).then_some(()));
    }

    pub fn disk(&self, vm: VmId) -> PathBuf {
        self.datastore().join(format!("{vm}.qcow2"))
    }

    /// The definition of a small VM: a firmware without a system, which runs and does nothing.
    pub fn xml(&self, vm: VmId, extra: &str) -> String {
        format!(
            "<domain type='qemu'><name>{vm}</name><uuid>{}</uuid><memory unit='MiB'>8</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><cpu mode='maximum'/>\
             <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>\
             <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/>\
             <source file='{}'/><target dev='vda' bus='virtio'/></disk>{extra}\
             <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>",
            uuid(vm),
            self.disk(vm).display()
        )
    }

    pub fn define(&self, vm: VmId) {
        self.define_as(vm, &self.xml(vm, ""));
    }

    pub fn define_as(&self, vm: VmId, xml: &str) {
        if !self.disk(vm).exists() {
            let mut command = Command::new("qemu-img");
            command.args(["create", "-q", "-f", "qcow2"]).arg(self.disk(vm)).arg("16M");
            assert!(command.status().unwrap().success());
        }
        let path = self.folder.join(format!("{vm}.xml"));
        fs::write(&path, xml).unwrap();
        succeed(&["define", path.to_str().unwrap()]);
    }
}

/// Runs virsh.
pub fn virsh(args: &[&str]) -> Output {
    Command::new("virsh").args(["-q", "-c", "qemu:///system"]).args(args).output().unwrap()
}

pub fn succeed(args: &[&str]) -> String {
    let output = virsh(args);
    assert!(output.status.success(), "virsh {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn fail(args: &[&str]) -> String {
    let output = virsh(args);
    assert!(!output.status.success(), "virsh {args:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

pub fn signal_to(pid: &str, signal: &str) {
    assert!(Command::new("kill").args(["-s", signal, pid]).status().unwrap().success());
}

fn is_alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
}

/// The number of a VM's process.
pub fn process(vm: VmId) -> Option<String> {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    pids.filter(|pid| pid.parse::<u32>().is_ok() && is_alive(pid)).find(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&line).replace('\0', " ");
        text.starts_with("/usr/bin/qemu-system") && text.contains(&uuid(vm))
    })
}

/// Waits for something that nobody tells.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = boottime() + SOON;
    let (_never, pause) = channel::<()>();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(boottime() < deadline, "in time: {what}");
        let _over = pause.recv_timeout(POLL);
    }
}

/// What a hook is answered.
pub type Answers = Arc<dyn Fn(VmId, (Coming, Option<Ended>)) -> Option<Result<Epoch, Refusal>> + Send + Sync>;

/// The adapter, and what it told.
pub struct Adapter {
    pub platform: Arc<Mutex<LibvirtPlatform>>,
    events: Receiver<PlatformEvent>,
    pub definitions: Receiver<(VmId, Arc<Shape>)>,
    tickets: u64,
}

/// Every start may pass.
pub fn pass() -> Answers {
    Arc::new(|_, _| Some(Ok(Epoch::NONE)))
}

impl Adapter {
    /// Makes it, with two VMs that are protected.
    pub fn new(host: &Host, answers: Answers) -> Adapter {
        let (tell, events) = channel();
        let (questions, asked) = channel();
        let (told, definitions) = channel();
        let (tell, questions, told) = (Mutex::new(tell), Mutex::new(questions), Mutex::new(told));
        let setup = LibvirtSetup {
            uri: "qemu:///system".to_owned(),
            migration: "qemu+tcp://{host}/system".to_owned(),
            names: Arc::new(|_| Some("127.0.0.1".to_owned())),
            run: host.run(),
            state: host.state(),
            datastores: vec![Datastore { id: Some(DatastoreId(7)), path: host.datastore() }],
            call_deadline: Duration::from_secs(10),
            move_deadline: Duration::from_secs(10),
            hook_deadline: Duration::from_secs(3),
        };
        let hear = move |event| match event {
            PlatformEvent::Asks { ticket, vm, coming, ended } => send(&questions, (ticket, vm, (coming, ended))),
            PlatformEvent::Defined { vm, shape } => send(&told, (vm, shape)),
            event => send(&tell, event),
        };
        let platform = LibvirtPlatform::new(setup, Arc::new(hear)).unwrap();
        let platform = Arc::new(Mutex::new(platform));
        let mut adapter = Adapter { platform: Arc::clone(&platform), events, definitions, tickets: 0 };
        let answer = move || {
            for (ticket, vm, asked) in asked {
                if let Some(answer) = answers(vm, asked) {
                    platform.lock().unwrap().answer(ticket, answer);
                }
            }
        };
        std::thread::spawn(answer);
        adapter.know(&[ONE, TWO]);
        until("the list of protected VMs", || host.state().join("protected-uuids").exists().then_some(()));
        adapter
    }

    pub fn know(&mut self, vms: &[VmId]) {
        let known = |vm: &VmId| {
            let uuid = uuid(*vm).parse::<uuid::Uuid>().unwrap().as_u128();
            (*vm, Known { uuid, protection: Protection::Lease })
        };
        self.platform.lock().unwrap().know(&vms.iter().map(known).collect::<BTreeMap<_, _>>());
    }

    pub fn begin(&mut self, call: PlatformCall) -> Ticket {
        self.tickets += 1;
        self.platform.lock().unwrap().call(Ticket(self.tickets), call);
        Ticket(self.tickets)
    }

    pub fn returned(&self, ticket: Ticket) -> Outcome {
        self.event(|event| match event {
            PlatformEvent::Returned { ticket: told, outcome } if told == ticket => Some(outcome),
            _ => None,
        })
    }

    pub fn call(&mut self, call: PlatformCall) -> Outcome {
        let ticket = self.begin(call);
        self.returned(ticket)
    }

    pub fn begin_start(&mut self, vm: VmId) -> Ticket {
        self.begin(PlatformCall::Start { vm, epoch: Epoch::NONE })
    }

    pub fn start(&mut self, vm: VmId) -> Outcome {
        self.call(PlatformCall::Start { vm, epoch: Epoch::NONE })
    }

    pub fn stop(&mut self, vm: VmId, want: Want) -> Outcome {
        self.call(PlatformCall::Stop { vm, want })
    }

    pub fn look(&mut self) -> View {
        let ticket = self.begin(PlatformCall::Look);
        self.event(|event| match event {
            PlatformEvent::Looked { ticket: told, view } if told == ticket => Some(view),
            _ => None,
        })
    }

    /// Looks until a VM has no process, nothing is under way, and tells how it ended.
    pub fn ended(&mut self, vm: VmId) -> Ended {
        until("a VM is gone", || {
            let view = self.look();
            let is_gone = state(&view, vm).is_none() && view.daemon && !view.busy.contains(&vm);
            let ended = view.inactive.iter().find(|(id, _)| *id == vm).map(|(_, ended)| *ended);
            ended.filter(|_| is_gone)
        })
    }

    /// Waits until it is told what the host has.
    pub fn offers(&self) -> BTreeSet<FeatureId> {
        self.event(|event| match event {
            PlatformEvent::Offers(features) => Some(features),
            _ => None,
        })
    }

    /// Waits until a change of a VM is told.
    pub fn changed(&self, vm: VmId) {
        self.event(|event| (event == PlatformEvent::Changed { vm }).then_some(()));
    }

    /// Forgets what was told until now.
    pub fn drain(&self) {
        while self.events.try_recv().is_ok() {}
    }

    fn event<T>(&self, wanted: impl Fn(PlatformEvent) -> Option<T>) -> T {
        let deadline = boottime() + SOON;
        loop {
            let event = self.events.recv_timeout(deadline.since(boottime())).expect("in time");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }
}

/// The state of a VM's process in a view.
pub fn state(view: &View, vm: VmId) -> Option<ProcessState> {
    view.processes.iter().find(|seen| seen.vm == vm).map(|seen| seen.state)
}

/// Tells a test, which may have ended.
fn send<T>(sender: &Mutex<Sender<T>>, value: T) {
    let _ = sender.lock().unwrap().send(value);
}

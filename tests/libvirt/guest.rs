//! A Linux guest with QEMU's guest agent: the one of the lab.

use crate::rig::{Host, uuid};
use holdfast::core::ids::VmId;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the guest calls itself.
pub const SYSTEM: &str = "A guest of a test";

/// The guest's kernel and initial file system, as the lab makes them; nothing, said loudly, where that cannot be done.
pub fn made() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("lab");
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/guest");
    fs::create_dir_all(&folder).unwrap();
    // Whoever makes it at the same time, the lab among them, makes it in turn.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    if !folder.join("vmlinuz").exists() {
        let built = Command::new(format!("{sources}/build")).arg(sources).arg(&folder).status();
        if !built.is_ok_and(|status| status.success()) {
            println!("SKIPPED: the guest of the lab cannot be made: apt must be able to download packages");
            return None;
        }
    }
    Some(folder)
}

/// Defines a VM with this guest.
pub fn define(host: &Host, vm: VmId, made: &Path) {
    let initrd = host.folder.join("initrd.img");
    fs::copy(made.join("initrd.img"), &initrd).unwrap();
    append_name(&host.folder, &initrd);
    let xml = format!(
        "<domain type='qemu'><name>{vm}</name><uuid>{}</uuid><metadata>\
         <libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>\
         <libosinfo:os id='http://debian.org/debian/12'/></libosinfo:libosinfo></metadata>\
         <memory unit='MiB'>96</memory><vcpu>2</vcpu>\
         <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{}</kernel><initrd>{}</initrd>\
         <cmdline>console=ttyS0 quiet panic=-1</cmdline></os><features><acpi/></features><cpu mode='maximum'/>\
         <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>\
         <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>\
         <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>\
         <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>",
        uuid(vm),
        made.join("vmlinuz").display(),
        initrd.display(),
    );
    host.define_as(vm, &xml);
}

/// Tells the guest what it is called. The kernel takes one archive after the other.
fn append_name(folder: &Path, initrd: &Path) {
    let root = folder.join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/os-release"), format!("ID=test\nPRETTY_NAME=\"{SYSTEM}\"\n")).unwrap();
    let script = r#"printf 'etc\netc/os-release\n' | cpio --quiet -o -H newc | gzip -1 >> "$0""#;
    let status = Command::new("sh").args(["-c", script]).arg(initrd).current_dir(root).stdin(Stdio::null()).status();
    assert!(status.unwrap().success());
}

//! A host of its own for a test: the test starts its own program anew in new namespaces, and waits for it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Says, inside of the host, where its files are.
const INSIDE: &str = "HOLDFAST_TEST_HOST";
/// No test takes longer.
const LIMIT_SECONDS: &str = "120";
const PROGRAMS: [&str; 5] = ["libvirtd", "virsh", "qemu-system-x86_64", "qemu-img", "unshare"];

/// What makes a host of new namespaces. All that libvirt keeps is the host's own, and nothing of the machine's is seen.
const BOOT: &str = r#"
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/libvirt
for folder in etc lib cache log; do mkdir -p "$HOLDFAST_TEST_HOST/$folder"; done
mount --bind "$HOLDFAST_TEST_HOST/etc" /etc/libvirt
mount --bind "$HOLDFAST_TEST_HOST/lib" /var/lib/libvirt
mount --bind "$HOLDFAST_TEST_HOST/cache" /var/cache/libvirt
mount --bind "$HOLDFAST_TEST_HOST/log" /var/log/libvirt
ip link set lo up
# The shell stays as the first process: it reaps what nobody else does, as libvirt expects of one.
"$@"
exit $?
"#;

const LIBVIRTD: &str = "listen_tls = 0\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n";
const QEMU: &str = "security_driver = \"none\"\nuser = \"root\"\ngroup = \"root\"\ndynamic_ownership = 0\n\
                    remember_owner = 0\nnamespaces = [ ]\ncgroup_controllers = [ ]\nstdio_handler = \"file\"\n";

/// Runs a test in a host of its own, under the test's full name.
pub fn inside(test: &str, body: impl FnOnce(&Path)) {
    if let Some(folder) = env::var_os(INSIDE) {
        return body(Path::new(&folder));
    }
    if let Some(reason) = missing() {
        return println!("SKIPPED: {test}: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [("etc/libvirtd.conf", uuid() + LIBVIRTD), ("etc/qemu.conf", QEMU.to_owned())] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir(folder.path().join("datastore")).unwrap();
    let host = Command::new("timeout")
        .args(["--kill-after=5", LIMIT_SECONDS, "unshare", "--mount", "--pid", "--ipc", "--uts", "--net", "--fork"])
        .args(["--kill-child", "sh", "-c", BOOT, "boot"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&host.stdout);
    let errors = String::from_utf8_lossy(&host.stderr);
    println!("{said}{errors}");
    assert!(host.status.success() && said.contains("1 passed"), "{test}: {}", host.status);
}

fn uuid() -> String {
    format!("host_uuid = \"{}\"\n", uuid::Uuid::new_v4())
}

fn missing() -> Option<String> {
    if !rustix::process::getuid().is_root() {
        return Some("only root can make namespaces".to_owned());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = |name: &&&str| !env::split_paths(&path).any(|folder: PathBuf| folder.join(name).exists());
    PROGRAMS.iter().find(found).map(|name| format!("{name} is not installed"))
}

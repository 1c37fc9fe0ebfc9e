//! A guest of one kernel, a shell and the program, without a disk. It ends when it is reset.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// A guest of a processor in software, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);
const INIT: &str = include_str!("init.sh");
const MODULES: [&str; 3] = ["watchdog", "i6300esb", "softdog"];

pub struct Guest(Child);

impl Guest {
    /// Runs a guest until it ends, and returns what it printed; nothing if what it needs is not there.
    pub fn run() -> Option<String> {
        let Some((kernel, modules)) = kernel() else {
            skip("there is no kernel for the guest in target/guest: `scripts/test watchdog` fetches it");
            return None;
        };
        let tools = ["/usr/bin/qemu-system-x86_64", "/usr/bin/busybox", "/usr/bin/cpio", "/usr/bin/objcopy"];
        if let Some(missing) = tools.iter().find(|tool| !Path::new(tool).exists()) {
            skip(&format!("{missing} is not installed"));
            return None;
        }
        let folder = TempDir::new().expect("a folder");
        let image = image(folder.path(), &modules);
        let mut guest = Guest(start(&kernel, &image));
        let mut output = guest.0.stdout.take().expect("its console");
        let (said, say) = channel();
        thread::spawn(move || {
            let mut text = Vec::new();
            // What was read before an error is judged like a guest that ended there.
            output.read_to_end(&mut text).ok();
            // Whoever waited may have lost patience.
            said.send(String::from_utf8_lossy(&text).replace('\r', "")).ok();
        });
        let Ok(console) = say.recv_timeout(PATIENCE) else { panic!("the guest did not end within {PATIENCE:?}") };
        Some(console)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Its processor and its maker do not tell that it is virtual: it is taken for a bare machine. Its kernel is silent: what
/// it says of its own would fall between the lines that are looked for.
fn start(kernel: &Path, image: &Path) -> Child {
    Command::new("/usr/bin/qemu-system-x86_64")
        .args([
            "-accel",
            "tcg",
            "-cpu",
            "qemu64,-hypervisor",
            "-m",
            "1024",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
        ])
        .args(["-smbios", "type=1,manufacturer=ACME", "-serial", "stdio", "-no-reboot"])
        .args(["-device", "i6300esb", "-watchdog-action", "reset"])
        .args(["-append", "console=ttyS0 loglevel=1 panic=-1"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(image)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("QEMU runs")
}

/// The kernel that `scripts/test` has unpacked, and its modules.
fn kernel() -> Option<(PathBuf, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/guest");
    let first = |folder: &Path, start: &str| {
        let entries = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        entries.into_iter().find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start)))
    };
    let modules = first(&root.join("lib/modules"), "")?.join("kernel/drivers/watchdog");
    Some((first(&root.join("boot"), "vmlinuz-")?, modules))
}

/// The guest's files, as the kernel unpacks them.
fn image(folder: &Path, modules: &Path) -> PathBuf {
    let root = folder.join("root");
    for name in ["bin", "proc", "sys", "dev", "modules"] {
        fs::create_dir_all(root.join(name)).expect("a folder");
    }
    copy(Path::new("/usr/bin/busybox"), &root.join("bin/busybox"));
    fs::write(root.join("init"), INIT).expect("the first process");
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755)).expect("it can be run");
    for name in MODULES {
        let name = format!("{name}.ko");
        copy(&modules.join(&name), &root.join("modules").join(&name));
    }
    let program = Path::new(env!("CARGO_BIN_EXE_holdfast"));
    let stripped = Command::new("objcopy").arg("--strip-debug").arg(program).arg(root.join("bin/holdfast")).status();
    assert!(stripped.expect("objcopy runs").success());
    for library in libraries(program) {
        let place = root.join(library.strip_prefix("/").expect("a path from the root"));
        fs::create_dir_all(place.parent().expect("a folder")).expect("its folder");
        copy(&library, &place);
    }
    pack(&root, &folder.join("image"))
}

fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().expect("ldd runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

fn pack(root: &Path, image: &Path) -> PathBuf {
    let out = fs::File::create(image).expect("an image");
    let list = Command::new("find").arg(".").current_dir(root).output().expect("find runs").stdout;
    let mut cpio = Command::new("cpio")
        .args(["--create", "--format=newc", "--quiet"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(out)
        .spawn()
        .expect("cpio runs");
    cpio.stdin.take().expect("its list").write_all(&list).expect("it takes the list");
    assert!(cpio.wait().expect("it ends").success());
    image.to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap_or_else(|error| panic!("{} cannot be copied: {error}", from.display()));
}

/// Says that something was not tested, past the test runner, which keeps what a passing test prints to itself.
fn skip(what: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {what}").ok();
}

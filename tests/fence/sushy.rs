//! The client of Redfish against sushy-tools, the emulator of the OpenStack project: a BMC that nobody here wrote.

use crate::skip;
use holdfast::core::message::{FenceOp, FenceResult};
use holdfast::fence::{FenceClients, FenceDevice, Redfish, Secret, Verify, fingerprint};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

const VERSION: &str = "sushy-tools==2.2.0";
const UUID: &str = "6f2c0000-1111-2222-3333-444455556666";
const LONG: Duration = Duration::from_secs(10);

/// Its environment, made once and kept beside what cargo builds; or why it cannot be had.
fn environment() -> Result<PathBuf, String> {
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools");
    let folder = tools.join(VERSION);
    fs::create_dir_all(&tools).map_err(|error| error.to_string())?;
    let lock = File::create(tools.join("sushy.lock")).map_err(|error| error.to_string())?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| error.to_string())?;
    if folder.join("ready").exists() {
        return Ok(folder);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "--timeout", "20", VERSION]))?;
    File::create(folder.join("ready")).map_err(|error| error.to_string())?;
    Ok(folder)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let complaint = || format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(complaint()) }
}

/// The emulator, with a machine that takes an order within seconds, as machines do.
struct Sushy {
    process: Child,
    address: String,
    certificate: rcgen::Certificate,
    _folder: TempDir,
}

impl Drop for Sushy {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Sushy {
    fn start(environment: &Path) -> Sushy {
        let folder = TempDir::new().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        fs::write(path("cert"), made.cert.pem()).expect("a file");
        fs::write(path("key"), made.signing_key.serialize_pem()).expect("a file");
        let hash = "import bcrypt; print('admin:' + bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode())";
        let users = Command::new(environment.join("bin/python")).args(["-c", hash]).output().expect("it runs");
        fs::write(path("users"), users.stdout).expect("a file");
        let system = format!("{{'uuid':'{UUID}','name':'m','power_state':'On','external_notifier':False,'nics':[]}}");
        let settings = format!(
            "SUSHY_EMULATOR_LISTEN_IP='127.0.0.1'\nSUSHY_EMULATOR_LISTEN_PORT=0\nSUSHY_EMULATOR_FAKE_DRIVER=True\n\
             SUSHY_EMULATOR_SSL_CERT='{}'\nSUSHY_EMULATOR_SSL_KEY='{}'\nSUSHY_EMULATOR_AUTH_FILE='{}'\n\
             SUSHY_EMULATOR_STATE_DIR='{}'\nSUSHY_EMULATOR_FAKE_SYSTEMS=[{system}]\n",
            path("cert"),
            path("key"),
            path("users"),
            path("state"),
        );
        fs::create_dir(path("state")).expect("a folder");
        fs::write(path("settings"), settings).expect("a file");
        let mut process = Command::new(environment.join("bin/sushy-emulator"))
            .args(["--fake", "--config", &path("settings")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut log = BufReader::new(process.stderr.take().expect("its log"));
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            let length = log.read_line(&mut line).expect("text");
            assert!(length > 0, "sushy-emulator ended: {said}");
            if let Some((_, address)) = line.split_once("Running on ") {
                break address.trim().to_owned();
            }
            said.push_str(&line);
        };
        // Read on, so that it never stops at a full pipe.
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Sushy { process, address, certificate: made.cert, _folder: folder }
    }

    fn device(&self, password: &str, verify: Verify) -> FenceDevice {
        let password = Secret::new(password).expect("a password");
        FenceDevice::Redfish(Redfish::new(&self.address, None, "admin", password, verify).expect("a device"))
    }
}

#[tokio::test]
async fn a_bmc_that_nobody_here_wrote_is_worked() {
    let environment = match tokio::task::spawn_blocking(environment).await.expect("it ends") {
        Ok(environment) => environment,
        Err(why) => return skip(&format!("sushy-tools cannot be had, no foreign BMC was tried: {why}")),
    };
    let sushy = Sushy::start(&environment);
    let pinned = Verify::Fingerprint(fingerprint(sushy.certificate.der()));
    let fences = FenceClients::new();
    let device = sushy.device("secret", pinned.clone());
    let ask = async |op| fences.perform(&device, op, LONG).await;
    let uuid = u128::from_str_radix(&UUID.replace('-', ""), 16).expect("a number");
    let identity = ask(FenceOp::Identity).await;
    assert_eq!(identity.result, FenceResult::Identity(uuid), "{identity:?}");
    assert_eq!(ask(FenceOp::Power).await.result, FenceResult::On);

    // It takes orders at once, and carries them out when it likes.
    for (order, state) in [(FenceOp::PowerOff, FenceResult::Off), (FenceOp::PowerOn, FenceResult::On)] {
        assert_eq!(ask(order).await.result, FenceResult::Taken);
        let deadline = Instant::now() + Duration::from_secs(30);
        while ask(FenceOp::Power).await.result != state {
            assert!(Instant::now() < deadline, "it never was {state:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    let wrong = fences.perform(&sushy.device("wrong", pinned), FenceOp::Power, LONG).await;
    assert_eq!(wrong.result, FenceResult::Refused, "{wrong:?}");
    let other = Verify::Fingerprint(fingerprint(b"another"));
    let wrong = fences.perform(&sushy.device("secret", other), FenceOp::Power, LONG).await;
    assert_eq!(wrong.result, FenceResult::Unreachable, "{wrong:?}");
    assert!(wrong.detail.is_some_and(|text| text.contains("fingerprint")));

    // By an authority: the one that signed it, and another of the same name.
    let own = Verify::Authorities(sushy.certificate.pem());
    let trusted = fences.perform(&sushy.device("secret", own), FenceOp::Power, LONG).await;
    assert_eq!(trusted.result, FenceResult::On, "{trusted:?}");
    let foreign = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let foreign = Verify::Authorities(foreign.cert.pem());
    let refused = fences.perform(&sushy.device("secret", foreign), FenceOp::PowerOff, LONG).await;
    assert_eq!(refused.result, FenceResult::Unreachable, "{refused:?}");
    let blind = fences.perform(&sushy.device("secret", Verify::Nothing), FenceOp::Power, LONG).await;
    assert_eq!(blind.result, FenceResult::On, "{blind:?}");
}

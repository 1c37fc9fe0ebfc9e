//! A real browser, and a server of one page that notes what else it is asked for.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

/// What became of a page in the browser.
#[derive(Debug)]
pub struct Seen {
    /// What the page's console says.
    pub console: Vec<String>,
    /// What was asked for, first of all the page itself.
    pub asked: Vec<String>,
    /// The page as the browser has understood it.
    pub page: String,
}

/// The browser, if there is one.
pub fn chromium() -> Option<PathBuf> {
    let found =
        ["/usr/bin/chromium", "/usr/bin/chromium-browser"].map(PathBuf::from).into_iter().find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: there is no Chromium; on Debian: apt-get install chromium");
    }
    found
}

/// The browser on a profile of its own, which knows no way to anywhere but this machine.
pub fn browser(program: &Path, profile: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--enable-logging=stderr", "--v=0"])
        .arg(format!("--user-data-dir={}", profile.display()));
    command
}

/// Opens a page, and tells all that it did.
pub fn open(program: &Path, page: &str) -> Seen {
    let profile = tempfile::tempdir().expect("a folder");
    let (address, asked) = serve(page.to_owned());
    let output = browser(program, profile.path())
        .args(["--virtual-time-budget=3000", "--dump-dom", &format!("http://{address}/")])
        .output()
        .expect("the browser runs");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let console = log.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect();
    let asked = asked.lock().expect("nobody panics with it").clone();
    Seen { console, asked, page: String::from_utf8_lossy(&output.stdout).into_owned() }
}

/// A server of one page, for as long as the test runs.
fn serve(page: String) -> (std::net::SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (page, noted) = (page.clone(), Arc::clone(&noted));
            thread::spawn(move || answer(stream, &page, &noted));
        }
    });
    (address, asked)
}

fn answer(mut stream: TcpStream, page: &str, noted: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().expect("a handle")).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    if first.is_empty() {
        return;
    }
    noted.lock().expect("nobody panics with it").push(first);
    let _headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        page.len()
    );
    // The browser may have gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(page.as_bytes()));
}

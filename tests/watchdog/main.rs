//! A real watchdog: QEMU's i6300esb and the kernel's softdog, worked by the real program in a small guest.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where what it stands on is missing")]

mod guest;

use guest::Guest;

/// What a guest printed between one heading and the next.
fn part<'a>(console: &'a str, heading: &str) -> &'a str {
    let (_, rest) =
        console.split_once(&format!("== {heading}\n")).unwrap_or_else(|| panic!("no {heading}:\n{console}"));
    rest.split_once("\n== ").map_or(rest, |(part, _)| part)
}

#[test]
fn a_host_that_is_not_fed_is_reset_and_one_that_takes_leave_is_not() {
    let Some(console) = Guest::run() else { return };
    let has = |heading: &str, wanted: &str| {
        let part = part(&console, heading);
        assert!(part.contains(wanted), "{heading}: no \"{wanted}\" in\n{part}\nof\n{console}");
    };
    has("no driver", "there is no such device: load the driver");
    has("probe", "i6300ESB timer (hardware)");
    has("probe", "usable as hardware, 4 s");
    has("short", "usable as hardware, 1 s");
    has("not started by a probe", "inactive");
    has("closed in good order", "open as hardware, 4 s\nclosed\ninactive");
    has("opened again in time after its agent died", "open as hardware, 4 s\nactive\nopen as hardware, 4 s\nclosed");
    has("taken", "another agent (process ");
    has("taken", "sleep (process ");
    has("software", "Software Watchdog (software: a timer of the kernel, which stands still with it)");
    has("software", "; it cannot be stopped (nowayout)");
    has("no way out", "open as software, 4 s");
    has("no way out", "closed\nactive\n600");
    has("lives on", "");
    has("left alone", "open as hardware, 4 s");
    has("not fed any more", "");
    assert!(!console.contains("STILL HERE"), "nothing reset it:\n{console}");
}

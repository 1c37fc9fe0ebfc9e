//! What a host or a VM uses just now, beside what the cluster knows of it.

use super::flags::Form;
use super::session::Session;
use super::show::{Mood, cores};
use crate::api::{HostLive, MoveView, VmLive};
use crate::clock::boottime;
use crate::core::time::Instant;
use crate::platform::{Checkup, Flaw, Gravity, GuestAgent};
use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;

/// How far a move is, is asked so often.
const FOLLOW: Duration = Duration::from_secs(1);

/// Rows of a sheet: what, how, and how good that is.
pub(super) type Rows = Vec<(&'static str, String, Mood)>;

/// Whether what goes on just now is shown, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct LiveArgs {
    /// What it uses just now, in JSON and CSV, too; in a table it is always shown, and takes a second
    #[arg(long)]
    live: bool,
}

impl LiveArgs {
    pub(super) fn is_wanted(self, session: &Session<'_>) -> bool {
        self.live || session.flags.output == Form::Table
    }
}

/// What a host uses: for people, and for programs.
pub(super) fn of_host(path: &str, session: &Session<'_>) -> (Rows, Value) {
    told(session, path, |live: &HostLive| {
        let mut rows = vec![
            ("busy now", format!("{} of {} cores", cores(live.busy_millicores), live.cores), Mood::Plain),
            ("memory now", format!("{} of {} in use", amount(live.used_mib), amount(live.memory_mib)), Mood::Plain),
        ];
        if let Some(why) = &live.silent {
            rows.push(("hypervisor", format!("does not answer: {why}"), Mood::Bad));
        }
        rows
    })
}

/// How a host's hypervisor is set up: for people, and for programs. Who cannot be asked for it has been told already.
pub(super) fn checkup(path: &str, session: &Session<'_>) -> (Rows, Value) {
    let Ok(checkup) = session.look::<Checkup>(&format!("{path}/checkup")) else { return (Rows::new(), Value::Null) };
    let flaw = |flaw: &Flaw| {
        let mood = if flaw.gravity == Gravity::Bad { Mood::Bad } else { Mood::Unsure };
        ("hypervisor", format!("{}; {}", flaw.text, flaw.advice), mood)
    };
    let works = checkup.works.iter().map(|text| ("hypervisor", text.clone(), Mood::Good));
    (works.chain(checkup.flaws.iter().map(flaw)).collect(), json!(checkup))
}

/// What a VM uses, and what its guest says: for people, and for programs.
pub(super) fn of_vm(path: &str, session: &Session<'_>) -> (Rows, Value) {
    told(session, path, vm_rows)
}

fn vm_rows(live: &VmLive) -> Rows {
    let mut rows = Rows::new();
    match &live.load {
        Some(load) => {
            let busy = load.busy_millicores.map_or("not known yet".to_owned(), cores);
            let of = load.vcpus.map(|vcpus| format!(" of {vcpus} processors")).unwrap_or_default();
            rows.push(("busy now", format!("{busy}{of}"), Mood::Plain));
            let guest = load.memory_mib.map(|mib| format!("{}, ", amount(mib))).unwrap_or_default();
            rows.push(("memory now", format!("{guest}{} of the host's", amount(load.resident_mib)), Mood::Plain));
        }
        None => rows.push(("busy now", format!("no process of it is seen on {}", live.host), Mood::Unsure)),
    }
    if let Some(system) = &live.system {
        rows.push(("guest", system.clone(), Mood::Plain));
    }
    rows.push(match (live.agent, &live.silent) {
        (Some(GuestAgent::None), _) => ("guest agent", "has none".to_owned(), Mood::Plain),
        (Some(GuestAgent::Silent), _) => ("guest agent", "does not answer".to_owned(), Mood::Unsure),
        (Some(GuestAgent::Answers), _) => ("guest agent", "answers".to_owned(), Mood::Good),
        (None, why) => {
            let why = why.as_deref().unwrap_or("nobody could be asked");
            ("guest agent", format!("not known: {why}"), Mood::Unsure)
        }
    });
    rows
}

/// How far the live migration of a VM is: for people, and for programs.
pub(super) fn of_move(path: &str, session: &Session<'_>) -> (Rows, Value) {
    let Ok(moving) = session.look::<MoveView>(&format!("{path}/move")) else { return (Rows::new(), Value::Null) };
    let row = progress(&moving).map(|text| ("leaves", format!("{}: {text}", moving.from), Mood::Unsure));
    (row.into_iter().collect(), json!(moving))
}

/// Follows a live migration, for people who wait for it.
pub(super) struct Follower {
    path: String,
    asked: Instant,
    shown: Option<String>,
}

impl Follower {
    /// Follows the VM at this path.
    pub(super) fn new(path: &str) -> Follower {
        Follower { path: format!("{path}/move"), asked: Instant::ZERO, shown: None }
    }

    /// How far it is; nothing if nobody looks, or that is not known.
    pub(super) fn progress(&mut self, session: &Session<'_>) -> Option<String> {
        if session.is_watched() && boottime().since(self.asked) >= FOLLOW {
            self.asked = boottime();
            self.shown = session.look(&self.path).ok().and_then(|moving: MoveView| progress(&moving));
        }
        self.shown.clone()
    }

    /// Why it came to nothing.
    pub(super) fn failure(&self, session: &Session<'_>) -> Option<String> {
        session.look(&self.path).ok().and_then(|moving: MoveView| moving.failed)
    }
}

fn progress(moving: &MoveView) -> Option<String> {
    Some(format!("{}% sent, {} left", moving.percent?, amount(moving.remaining_mib?)))
}

/// Whoever cannot be asked hides nothing else.
fn told<T: Serialize + DeserializeOwned>(
    session: &Session<'_>,
    path: &str,
    rows: impl FnOnce(&T) -> Rows,
) -> (Rows, Value) {
    match session.look::<T>(&format!("{path}/live")) {
        Ok(live) => (rows(&live), json!(live)),
        Err(error) => {
            let text = error.to_string();
            let why = text.lines().next().unwrap_or_default();
            (vec![("now", format!("cannot be told: {why}"), Mood::Unsure)], json!({ "error": why }))
        }
    }
}

/// What programs get of something, with what was asked besides.
pub(super) fn with<const N: usize>(view: &impl Serialize, more: [(&str, Value); N]) -> anyhow::Result<Value> {
    let mut all = serde_json::to_value(view)?;
    if let Some(fields) = all.as_object_mut() {
        fields.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    Ok(all)
}

/// So much memory, roughly.
fn amount(mib: u64) -> String {
    if mib < 10 * 1_024 { format!("{mib}MiB") } else { format!("{:.1}GiB", mib as f64 / 1_024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::VmLoad;

    fn live(agent: Option<GuestAgent>) -> VmLive {
        VmLive { host: "host-1".to_owned(), load: None, agent, system: None, silent: Some("it hangs".to_owned()) }
    }

    fn row(live: &VmLive, name: &str) -> Option<String> {
        vm_rows(live).into_iter().find(|(what, ..)| *what == name).map(|(_, how, _)| how)
    }

    #[test]
    fn a_move_is_followed_only_where_something_is_known_of_it() {
        let view = |percent| MoveView { from: String::new(), percent, remaining_mib: Some(120), failed: None };
        assert_eq!(progress(&view(Some(45))).unwrap(), "45% sent, 120MiB left");
        assert_eq!(progress(&view(None)), None);
    }

    #[test]
    fn what_is_not_known_is_not_shown_as_nothing() {
        assert_eq!(row(&live(Some(GuestAgent::None)), "guest agent").unwrap(), "has none");
        assert_eq!(row(&live(Some(GuestAgent::Silent)), "guest agent").unwrap(), "does not answer");
        assert_eq!(row(&live(None), "guest agent").unwrap(), "not known: it hangs");
        assert_eq!(row(&live(None), "busy now").unwrap(), "no process of it is seen on host-1");
        assert_eq!(row(&live(None), "guest"), None);
        let (uuid, memory_mib) = (uuid::Uuid::nil(), Some(20_480));
        let load = VmLoad { uuid, busy_millicores: Some(350), resident_mib: 200, vcpus: Some(2), memory_mib };
        let all = VmLive { load: Some(load.clone()), ..live(None) };
        assert_eq!(row(&all, "busy now").unwrap(), "0.35 of 2 processors");
        assert_eq!(row(&all, "memory now").unwrap(), "20.0GiB, 200MiB of the host's");
        let load = VmLoad { busy_millicores: None, vcpus: None, memory_mib: None, ..load };
        let all = VmLive { load: Some(load), ..live(None) };
        assert_eq!(row(&all, "busy now").unwrap(), "not known yet");
        assert_eq!(row(&all, "memory now").unwrap(), "200MiB of the host's");
    }
}

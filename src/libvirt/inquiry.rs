//! What the daemon says of its domains. Only one such question is under way at a time: a daemon that hangs is not asked
//! again before it has answered, and until then it counts as silent.

use crate::clock::boottime;
use crate::core::action::Ended;
use crate::libvirt::daemon::Daemon;
use crate::libvirt::raw::{self, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

/// A hook holds up every question on its domain, and may take three seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the daemon says of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It has a process, or gets one, or is just losing it.
    Active(Stage),
    /// It has no process, and how the last one ended.
    Inactive(Ended),
}

/// Where an active domain is on its way from one host to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for its state by live migration, or has only a part of it.
    Arrives,
    /// It is the VM.
    Here,
    /// It was stopped to be moved away, and nobody knows whether it was.
    Departed,
}

/// What the daemon says of the domains that it was asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) said: BTreeMap<u128, Said>,
    /// The definitions that were asked for.
    pub(super) definitions: BTreeMap<u128, String>,
}

/// Asks what the daemon says.
#[derive(Debug, Default)]
pub(super) struct Inquiry {
    under_way: OneAtATime,
}

impl Inquiry {
    /// Asks of these domains, and for some of their definitions; nothing if the daemon does not answer in time.
    pub(super) fn ask(&self, daemon: &Arc<Daemon>, wanted: BTreeSet<u128>, unread: BTreeSet<u128>) -> Option<Answer> {
        let under_way = self.under_way.begin()?;
        let work = move |connect: &Connect| {
            let answer = domains(connect, &wanted, &unread);
            drop(under_way);
            answer
        };
        match daemon.ask(boottime() + PATIENCE, work) {
            Ok(answer) => Some(answer),
            Err(trouble) => {
                tracing::warn!("the daemon did not say what runs here: {trouble}");
                None
            }
        }
    }

    /// Whether the daemon has certainly no start of this domain under way. It waits for the daemon's own queue: a question
    /// that takes its turn among the changes of the domain, and of which a domain without a process knows no answer.
    pub(super) fn is_idle(daemon: &Arc<Daemon>, uuid: u128) -> bool {
        let work = move |connect: &Connect| {
            let domain = connect.lookup_domain_by_uuid(uuid::Uuid::from_u128(uuid))?;
            Ok(domain.memory_stats(0).map(|_| ()).map_err(|error| error.code().known()))
        };
        match daemon.ask(boottime() + PATIENCE, work) {
            Ok(Err(Some(virt::error::ErrorNumber::OperationInvalid))) => true,
            Err(trouble) => trouble.is_no_domain(),
            Ok(_) => false,
        }
    }
}

/// Lets one question of a kind be under way, and no more.
#[derive(Debug, Default)]
pub(super) struct OneAtATime(Arc<AtomicBool>);

impl OneAtATime {
    /// Begins; nothing if another has begun, and is not over.
    pub(super) fn begin(&self) -> Option<UnderWay> {
        (!self.0.swap(true, Ordering::SeqCst)).then(|| UnderWay(Arc::clone(&self.0)))
    }
}

/// Until this is dropped, nobody asks again.
pub(super) struct UnderWay(Arc<AtomicBool>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

fn domains(connect: &Connect, wanted: &BTreeSet<u128>, unread: &BTreeSet<u128>) -> Result<Answer, Error> {
    let mut answer = Answer::default();
    for domain in connect.list_all_domains(0)? {
        let uuid = domain.uuid()?.as_u128();
        if wanted.contains(&uuid)
            && let Some(state) = known(raw::state(&domain))?
        {
            answer.said.insert(uuid, said(&domain, state));
            if unread.contains(&uuid)
                && let Ok(xml) = domain.xml_desc(0)
            {
                answer.definitions.insert(uuid, xml);
            }
        }
    }
    Ok(answer)
}

/// A domain that is gone since it was listed is no failure.
fn known(state: Result<State, Error>) -> Result<Option<State>, Error> {
    match state {
        Ok(state) => Ok(Some(state)),
        Err(error) if error.code().known() == Some(virt::error::ErrorNumber::NoDomain) => Ok(None),
        Err(error) => Err(error),
    }
}

fn said(domain: &Domain, State { state, reason }: State) -> Said {
    match state {
        sys::VIR_DOMAIN_SHUTOFF => Said::Inactive(ended(reason)),
        sys::VIR_DOMAIN_PAUSED if is_arriving(domain) => Said::Active(Stage::Arrives),
        _ => Said::Active(match stage(state, reason) {
            // As long as libvirt is at it, it may let it go on here.
            Stage::Departed if is_moving_out(domain).unwrap_or(true) => Stage::Here,
            stage => stage,
        }),
    }
}

/// Whether the daemon is moving it away.
pub(super) fn is_moving_out(domain: &Domain) -> Result<bool, Error> {
    Ok(raw::job(domain)?.is_some_and(|job| job.leaves()))
}

/// Where one is that has a process and does not wait for all of its state. What a move has stopped and nobody moves any
/// more was sent away, for all that libvirt knows.
fn stage(state: u32, reason: u32) -> Stage {
    match (state, reason) {
        (sys::VIR_DOMAIN_PAUSED, sys::VIR_DOMAIN_PAUSED_MIGRATION) => Stage::Departed,
        // Where the rest of its memory comes later, the source is still needed; it stands still, and is a part of it.
        (sys::VIR_DOMAIN_RUNNING, sys::VIR_DOMAIN_RUNNING_POSTCOPY | sys::VIR_DOMAIN_RUNNING_POSTCOPY_FAILED) => {
            Stage::Arrives
        }
        _ => Stage::Here,
    }
}

/// Whether it waits for its state. The figures of a live migration are with the daemon that it comes from: the other one
/// has none to tell.
fn is_arriving(domain: &Domain) -> bool {
    match raw::job(domain) {
        Ok(job) => job.is_some_and(|job| job.arrives()),
        Err(error) => error.code().known() == Some(virt::error::ErrorNumber::OperationUnsupported),
    }
}

/// How the last process ended, by libvirt's reason for there being none.
fn ended(reason: u32) -> Ended {
    match reason {
        sys::VIR_DOMAIN_SHUTOFF_SHUTDOWN => Ended::GuestPoweroff,
        // A saved domain was stopped by a person, and is started from its saved state. So was one that a person has taken
        // back to how it was.
        sys::VIR_DOMAIN_SHUTOFF_DESTROYED | sys::VIR_DOMAIN_SHUTOFF_SAVED | sys::VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT => {
            Ended::Destroyed
        }
        sys::VIR_DOMAIN_SHUTOFF_CRASHED | sys::VIR_DOMAIN_SHUTOFF_DAEMON => Ended::Crashed,
        sys::VIR_DOMAIN_SHUTOFF_MIGRATED => Ended::Moved,
        // A start that failed is no end: how the one before ended is not known any more.
        _ => Ended::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_sent_its_state_away_is_not_the_vm_any_more() {
        assert_eq!(stage(sys::VIR_DOMAIN_PAUSED, sys::VIR_DOMAIN_PAUSED_MIGRATION), Stage::Departed);
        assert_eq!(stage(sys::VIR_DOMAIN_RUNNING, sys::VIR_DOMAIN_RUNNING_MIGRATION_CANCELED), Stage::Here);
        assert_eq!(stage(sys::VIR_DOMAIN_RUNNING, sys::VIR_DOMAIN_RUNNING_POSTCOPY), Stage::Arrives);
        for reason in [sys::VIR_DOMAIN_PAUSED_USER, sys::VIR_DOMAIN_PAUSED_IOERROR, sys::VIR_DOMAIN_PAUSED_POSTCOPY] {
            assert_eq!(stage(sys::VIR_DOMAIN_PAUSED, reason), Stage::Here);
        }
    }

    #[test]
    fn reasons_are_read_as_what_they_mean_for_the_guest() {
        assert_eq!(ended(sys::VIR_DOMAIN_SHUTOFF_SHUTDOWN), Ended::GuestPoweroff);
        assert_eq!(ended(sys::VIR_DOMAIN_SHUTOFF_SAVED), Ended::Destroyed);
        assert_eq!(ended(sys::VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT), Ended::Destroyed);
        assert_eq!(ended(sys::VIR_DOMAIN_SHUTOFF_DESTROYED), Ended::Destroyed);
        assert_eq!(ended(sys::VIR_DOMAIN_SHUTOFF_CRASHED), Ended::Crashed);
        assert_eq!(ended(sys::VIR_DOMAIN_SHUTOFF_MIGRATED), Ended::Moved);
        assert_eq!(ended(sys::VIR_DOMAIN_SHUTOFF_FAILED), Ended::Unknown);
        assert_eq!(ended(99), Ended::Unknown);
    }
}

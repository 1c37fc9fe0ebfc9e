//! The hypervisor of a node, by its configuration.

use super::input::Answer;
use super::shutdown::{ShutdownMark, telling};
use super::start::StartError;
use super::storage::Storage;
use crate::config::{Config, PlatformConfig};
#[cfg(feature = "libvirt")]
use crate::core::ids::{Address, HostId};
use crate::core::timing::Timing;
#[cfg(feature = "libvirt")]
use crate::libvirt::{LibvirtPlatform, LibvirtSetup, definition::Datastore};
use crate::node::NodeEvent;
use crate::platform::{NoPlatform, Platform};
use crate::process::{HostSetup, ProcessPlatform};
use crate::transport::Transport;
use std::path::PathBuf;
use std::sync::Arc;
#[cfg(feature = "libvirt")]
use std::time::Duration;
use tokio::sync::mpsc;

/// A live migration that takes longer is told to give up.
#[cfg(feature = "libvirt")]
const MOVE: Duration = Duration::from_secs(600);

/// The hypervisor, which tells the loop of what it has seen and done.
pub(super) fn platform(
    config: &Config,
    timing: &Timing,
    (storage, transport): (&Storage, &Arc<Transport>),
    shutdown: &Arc<ShutdownMark>,
    answers: &mpsc::UnboundedSender<Answer>,
) -> Result<Box<dyn Platform>, StartError> {
    let answers = answers.clone();
    let tell = telling(Arc::clone(shutdown), move |event| {
        // A loop that has ended waits for nothing.
        let _ = answers.send(Answer::Event(NodeEvent::Core(event)));
    });
    Ok(match &config.platform {
        PlatformConfig::None => Box::new(NoPlatform::new(tell)),
        PlatformConfig::Process { run } => Box::new(ProcessPlatform::new(
            HostSetup {
                host: config.name.clone(),
                run: run.clone(),
                state: config.state.clone(),
                program: PathBuf::from("/proc/self/exe"),
                call_deadline: timing.call_deadline,
            },
            tell,
        )?),
        #[cfg(not(feature = "libvirt"))]
        PlatformConfig::Libvirt { .. } => {
            let _unused = (storage, transport);
            Box::new(NoPlatform::new(tell))
        }
        #[cfg(feature = "libvirt")]
        PlatformConfig::Libvirt { uri, migration, run } => {
            let place = |(id, path): &(_, PathBuf)| Datastore { id: *id, path: path.clone() };
            let transport = Arc::clone(transport);
            let name = move |host: HostId| transport.roster().member(Address(host.0)).map(|member| member.name.clone());
            Box::new(LibvirtPlatform::new(
                LibvirtSetup {
                    uri: uri.clone(),
                    migration: migration.clone(),
                    names: Arc::new(name),
                    run: run.clone(),
                    state: config.state.clone(),
                    datastores: storage.places.iter().map(place).collect(),
                    call_deadline: timing.call_deadline,
                    move_deadline: MOVE,
                    hook_deadline: timing.hook_deadline,
                },
                tell,
            )?)
        }
    })
}

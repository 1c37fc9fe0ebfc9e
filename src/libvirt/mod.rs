//! KVM hosts: the adapter of libvirt.
//!
//! It reports and carries out, and decides nothing. Three sources tell what runs here, and each is trusted for what it
//! cannot be wrong about: the kernel for processes, the daemon for what it has under way and why a process ended, and the
//! hook for what is about to come up.
//!
//! - `processes`, `holders` and `watch` look at the kernel alone: they see, and kill, past a daemon that hangs.
//! - `daemon` is the way to the daemon, and `raw` what the crate `virt` lacks. `events` is the fast path.
//! - `look` joins the sources, `calls` carries out, `books` and `activity` keep what is known meanwhile.
//! - `live` tells what runs here uses, and what guests say.
//! - [`hook`] is libvirt's `qemu` hook, [`definition`] what a VM is made of, and `keeper` sees definitions change.
//!
//! # What libvirt says of ends
//!
//! Seen with libvirt 9.0 and QEMU 7.2, as the reason of the state "shut off":
//!
//! | what happened                                          | reason      | reported as     |
//! |--------------------------------------------------------|-------------|-----------------|
//! | the guest powers off                                   | shutdown    | guest power-off |
//! | QEMU gets SIGTERM, or its monitor's `quit`             | shutdown    | crashed         |
//! | `virsh destroy`                                        | destroyed   | destroyed       |
//! | `virsh managedsave`                                    | saved       | destroyed       |
//! | QEMU is killed                                         | crashed     | crashed         |
//! | a start fails, or the hook refuses it                  | failed      | unknown         |
//! | QEMU ends, however, while the daemon is away           | crashed     | crashed         |
//! | the daemon is restarted after a domain ended           | unknown     | unknown         |
//!
//! The first two differ only in the event that comes before: "finished after guest request", or "after host request".
//! What it says after a live migration out was not tried. While a hook runs the daemon answers no question on that
//! domain, nor one for the list of all.

mod activity;
mod books;
mod calls;
mod checkup;
mod command_lines;
mod daemon;
pub mod definition;
mod events;
mod holders;
pub mod hook;
mod image_lock;
mod inquiry;
mod keeper;
#[cfg(any(test, fuzzing))]
mod law;
mod left;
mod live;
mod look;
mod nvram;
mod platform;
mod processes;
mod raw;
mod reboot;
mod shared;
mod survey;
mod watch;

#[cfg(any(test, fuzzing))]
pub(crate) use law::law;
pub use platform::{LibvirtError, LibvirtPlatform, LibvirtSetup};

use crate::core::ids::HostId;
use std::sync::Arc;

/// By which name or address another host's daemon is reached.
pub type Names = Arc<dyn Fn(HostId) -> Option<String> + Send + Sync>;

//! The clients of an OpenStack cloud: keystone, which says who may ask, and Nova, which restarts the servers of its hosts.
//!
//! They carry out and report; they decide nothing. Each question has a deadline, for a keystone that stands still answers
//! nobody. What only reads, and what changes nothing when it is done twice, is asked again until its patience is at an end;
//! all else is sent once, and its [`Outcome`] may be unknown.
//!
//! Nova's word is no proof that a host is dead, and four of its ways have cost people servers:
//!
//! 1. **A second evacuation of one server is accepted, and ruins it**: it hangs in REBUILD with two migrations, until a
//!    person resets its state. So [`Nova::evacuate`] never repeats its request. Whoever got [`Outcome::Unknown`] reads
//!    [`Nova::migrations`] and [`Server::task_state`] before anything else.
//! 2. **The status of a server comes back before its host changes.** [`Server::has_come_back_from`] looks at all that counts:
//!    another host, no task, and the status.
//! 3. **Disabling a dead host that Nova does not yet take for dead blocks for a minute.** [`Nova::disable_dead`] needs the
//!    [`ForcedDown`] that [`Nova::force_down`] gives; [`Nova::disable_living`] is for hosts that live.
//! 4. **A host is not let up again while it has finished evacuations, until its nova-compute was restarted.** [`Nova::lift`]
//!    tells that apart as [`Lifted::RestartFirst`].

mod answers;
mod checkup;
mod clouds;
mod http;
mod keystone;
mod microversion;
mod nova;
mod pages;
mod session;
mod settings;
mod writes;

pub use answers::{
    Fault, Flavor, Hypervisor, HypervisorService, Migration, ServedAs, Server, Service, ServiceState, ServiceStatus,
};
pub use checkup::{CloudReport, Compute, Finding, Gravity, check};
pub use clouds::{Surroundings, cloud};
pub use http::CloudError;
pub use microversion::Microversion;
pub use nova::Nova;
pub use session::{Patience, Session, Who};
pub use settings::{ApplicationCredential, Cloud, Domain, Interface, Login, Named, SettingsError, Verify};
pub use writes::{ForcedDown, Lifted, Outcome, ResetTo};

//! What a VM is made of: libvirt's XML, read at the border into what Holdfast must know of it.
//!
//! - [`describe`] reads the XML into a [`Described`].
//! - [`obstacles`] says why a VM could not be started on another host, or not safely.
//! - [`needs`] says what a host must have for it, by names by which hosts tell what they have.
//! - [`way_to_agent`] says how one that runs is spoken to.
//! - [`immovable`] says why one that runs cannot be moved alive.
//! - [`shape`] is what of all this the cluster keeps.
//! - [`payload`] is the form in which a definition travels to the voters and to the next host.

mod agent;
mod described;
mod immovable;
mod needs;
mod obstacles;
pub mod payload;
mod shape;
#[cfg(test)]
mod tests;

pub use agent::{Way, way_to_agent};
pub use described::{Attachment, Cpu, DescribeError, Described, Disk, Source, Tpm, describe, uuid_of};
pub use immovable::{RULES_OF, Running, immovable};
pub use needs::needs;
pub(super) use needs::offers;
pub use obstacles::{Circumstances, Obstacle, ObstacleKind, obstacles};
pub use shape::{Datastore, shape};

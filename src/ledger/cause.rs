//! Why something was down, and of what kind its coming back was, as accounts name it.

use serde::{Deserialize, Serialize};

/// Why something was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Its host died, or stopped answering.
    HostFailure,
    /// Its host lived, and was cut off from the others.
    Isolation,
    /// Its storage failed, or gave it to another.
    Storage,
    /// The guest or its process crashed, or its start failed.
    GuestCrash,
    /// It ran, and did not answer.
    GuestHang,
    /// A person stopped it.
    Operator,
    /// Its host was shut down, switched off or drilled by a person.
    Maintenance,
    /// It was moved by a person.
    PlannedMove,
    /// The ledger does not say why.
    Unknown,
}

impl Cause {
    /// All of them, to count them by.
    pub const ALL: [Cause; 9] = [
        Cause::HostFailure,
        Cause::Isolation,
        Cause::Storage,
        Cause::GuestCrash,
        Cause::GuestHang,
        Cause::Operator,
        Cause::Maintenance,
        Cause::PlannedMove,
        Cause::Unknown,
    ];

    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Cause::HostFailure => "host-failure",
            Cause::Isolation => "isolation",
            Cause::Storage => "storage",
            Cause::GuestCrash => "guest-crash",
            Cause::GuestHang => "guest-hang",
            Cause::Operator => "operator",
            Cause::Maintenance => "maintenance",
            Cause::PlannedMove => "planned-move",
            Cause::Unknown => "unknown",
        }
    }
}

/// Whether somebody meant a VM to change its host, or had to bring it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It was moved, alive or with its host's shutdown, as planned.
    SwitchOver,
    /// It was down unplanned and was brought back.
    Failover,
}

/// A part of the way from the last sign of a VM to its being up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// From the last sign to the judgement.
    Detect,
    /// From there to the proof.
    Prove,
    /// From there to the placement.
    Queue,
    /// From there until its new host said that it runs.
    Start,
    /// From there until its guest answered, where that is what counts.
    Ready,
    /// All of them.
    Total,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Stage; 6] = [Stage::Detect, Stage::Prove, Stage::Queue, Stage::Start, Stage::Ready, Stage::Total];
}

/// Of what each row of a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grouping {
    /// Of a VM.
    #[default]
    Vm,
    /// Of a host.
    Host,
    /// Of all VMs with one guest operating system.
    GuestOs,
    /// Of all VMs with one tag.
    Tag,
    /// Of all VMs.
    Cluster,
}

//! The faults that a simulated world knows: one vocabulary for scenarios and for random worlds.

use crate::core::action::Request;
use crate::core::ids::{DatastoreId, FenceId, HostId, VmId};
use std::time::Duration;

/// Something that befalls the world at one moment. What lasts ends by itself after its duration, or by [`Fault::Heal`].
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The host loses power, and stays off.
    PowerOff(HostId),
    /// The host gets power, if it has none.
    PowerOn(HostId),
    /// The host loses power and gets it back after so long.
    PowerBlip(HostId, Duration),
    /// The host's kernel crashes and boots again.
    Reboot(HostId),
    /// A person shuts the host down in good order; its VMs are stopped, and it boots again after so long, if at all.
    Shutdown(HostId, Option<Duration>),
    /// All of the host stands still, its VMs too; a hardware watchdog counts on.
    Freeze(HostId, Duration),
    /// The host sleeps and resumes; a hardware watchdog counts on.
    Suspend(HostId, Duration),
    /// The agent's process dies, and is started again after so long.
    AgentCrash(HostId, Duration),
    /// The agent's process stands still; the VMs run on.
    AgentHang(HostId, Duration),
    /// The agent is upgraded: it asks for its guards to be disarmed, closes its watchdog, ends, and a new one starts: soon,
    /// or after so long.
    AgentUpgrade(HostId, Option<Duration>),
    /// The hypervisor's daemon answers nothing; what was asked waits inside.
    DaemonHang(HostId, Duration),
    /// The hypervisor's daemon is restarted; of the starts queued inside, each may have become a process already.
    DaemonRestart(HostId),
    /// The guest answers nothing for so long; its processors run on.
    GuestHush(VmId, Duration),
    /// The next starts of the VM fail.
    FailStarts(VmId, u32),
    /// Starts on the host take so long.
    SlowStarts(HostId, Duration, Duration),
    /// The next starts on the host are reported as timed out, and succeed later.
    TimedOutStarts(HostId, u32),
    /// The guest crashes.
    GuestCrash(VmId),
    /// The guest powers itself off: a person's will.
    GuestPoweroff(VmId),
    /// What one host sends to another is treated so (one direction).
    Link(HostId, HostId, LinkFault, Duration),
    /// All that the host sends and receives is lost, to fence devices too.
    Isolate(HostId, Duration),
    /// The network falls apart: these hosts hear each other only, as do the others.
    Partition(Vec<HostId>, Duration),
    /// A datastore misbehaves for one host, or for all.
    Datastore(Option<HostId>, DatastoreId, DatastoreFault, Duration),
    /// A host's record is overwritten with garbage.
    TearRecord(DatastoreId, HostId),
    /// The mail to a host is overwritten with garbage in one column.
    TearMail(DatastoreId, HostId),
    /// The host's next record write on the datastore stalls, and lands after so long.
    StallWrite(HostId, DatastoreId, Duration),
    /// The datastore's records and mail go back to what they were so long ago.
    RollBack(DatastoreId, Duration),
    /// The host's voter disk is full: writes fail.
    VoterDiskFull(HostId, Duration),
    /// The host's voter disk answers this slowly.
    VoterDiskSlow(HostId, Duration, Duration),
    /// The agent's process dies, its voter's store is replaced by a backup taken so long ago, and it starts again.
    RestoreBackup(HostId, Duration),
    /// A fence device misbehaves.
    Fence(FenceId, FenceFault, Duration),
    /// Two fence devices control each other's machine.
    SwapFences(FenceId, FenceId, Duration),
    /// A second machine with the host's UUID boots, and runs for so long.
    Twin(HostId, Duration),
    /// An operator asks the cluster.
    Request(Request),
    /// An operator who has seen that the host is off confirms that it is dead.
    ConfirmDead(HostId),
    /// An operator who has seen that voters' hosts are off, and keeps them off until everything is mended, gives those
    /// voters up for good and recovers the cluster from what is left.
    Recover,
    /// An operator starts the VM on the host with the hypervisor's own tools.
    HypervisorStart(VmId, HostId),
    /// An operator stops the VM where it runs with the hypervisor's own tools.
    HypervisorStop(VmId),
    /// An operator moves the VM alive, from where it runs, with the hypervisor's own tools.
    HypervisorMove(VmId, HostId),
    /// The same, and the source never hears that it is over: its process stays, and stands still.
    MoveInDoubt(VmId, HostId),
    /// An operator edits what the VM is, where it runs or else where it is defined, with the hypervisor's own tools.
    Edit(VmId),
    /// Every fault ends; every host that should be on gets power; twins go.
    Heal,
}

/// How a link misbehaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LinkFault {
    /// Nothing arrives.
    Cut,
    /// This share is lost, in percent.
    Loss(u32),
    /// Everything takes up to so much longer, so that packets overtake each other.
    Delay(Duration),
    /// This share arrives twice, in percent, the second time later.
    Duplicate(u32),
    /// Packets sent so long ago arrive again, from an earlier boot maybe.
    Replay(Duration),
}

/// How a datastore misbehaves for a host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DatastoreFault {
    /// Nothing answers; processes that do I/O there can not be killed.
    Hang,
    /// Every operation fails.
    Error,
    /// Every operation takes so long.
    Slow(Duration),
}

/// How a fence device misbehaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FenceFault {
    /// Every operation takes so long.
    Slow(Duration),
    /// It takes an order to switch off at once, and carries it out so much later.
    Late(Duration),
    /// Nobody reaches it.
    Unreachable,
    /// It refuses the credentials.
    WrongPassword,
    /// It says that it did what it did not. Outside the guarantee: what follows is counted apart.
    Lies,
}

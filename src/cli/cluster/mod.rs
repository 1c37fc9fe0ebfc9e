//! What operators ask of a cluster. All of it goes through the operators' interface: nothing here knows more than
//! a program of somebody else could.

mod access;
mod account;
mod arm;
mod cloud;
mod events;
mod fence;
mod flags;
mod host;
mod live;
mod local;
mod metrics;
mod moment;
mod month;
mod names;
mod notify;
mod period;
mod policy;
mod power;
mod protect;
mod render;
mod report;
mod session;
mod show;
mod status;
mod top;
mod vm;

pub use flags::Flags;
pub use names::{add_datastore, datastores, register};
pub use session::{Ended, Session, ended};

use super::Exit;
use super::output::Output;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Shows the cluster at a glance
    #[command(after_help = status::STATUS_HELP)]
    Status(status::StatusArgs),
    /// Shows the living cluster: hosts, VMs, load, recoveries under way
    #[command(after_help = top::HELP)]
    Top(top::TopArgs),
    /// Shows the hosts, and does what people do with them
    Host(host::HostArgs),
    /// Shows the VMs, protects them, starts, stops and moves them
    Vm(vm::VmArgs),
    /// Shows what happened, and what happens
    #[command(after_help = events::HELP)]
    Events(events::EventsArgs),
    /// Reports how VMs and hosts fared
    Report(report::ReportArgs),
    /// Says what would become of the VMs if hosts died now; changes nothing
    #[command(after_help = status::PLAN_HELP)]
    Plan(status::PlanArgs),
    /// Lets the cluster act on what it decides
    #[command(after_help = arm::ARM_HELP)]
    Arm(arm::ArmArgs),
    /// Lets the cluster observe and act on nothing
    #[command(after_help = arm::DISARM_HELP)]
    Disarm(arm::DisarmArgs),
    /// Says which guards there really are, and which failures are survived with nobody at hand
    #[command(after_help = status::DOCTOR_HELP)]
    Doctor(status::DoctorArgs),
    /// Has a host without VMs powered off and on, to see that its fence devices work
    Drill(host::DrillArgs),
    /// Goes on without voters that are dead for good, where a majority is lost
    #[command(after_help = arm::RECOVER_HELP)]
    Recover(arm::RecoverArgs),
    /// Shows and changes the rules of the cluster
    Policy(policy::PolicyArgs),
    /// Shows what one host tells Prometheus, or what there is to be told
    #[command(after_help = metrics::HELP)]
    Metrics(metrics::MetricsArgs),
    /// Lets new hosts join
    Token(access::TokenArgs),
    /// Says who may use this interface
    Access(access::AccessArgs),
    /// Looks after the devices that switch hosts off
    Fence(fence::FenceArgs),
    /// Looks after the channels by which people are told of what happens
    Notify(notify::NotifyArgs),
    /// Looks at an OpenStack cloud, and at what is missing for recoveries on it
    Cloud(cloud::CloudArgs),
    /// Looks after the networks of guests
    Network(names::NetworkArgs),
    /// Says how much of their time VMs with a tag are to be up
    Target(account::TargetArgs),
    /// Backs up and restores the state of this host
    Backup(local::BackupArgs),
    /// Prints what a shell needs to complete these commands
    Completions(local::CompletionsArgs),
    /// Prints the description of the operators' interface, for programs
    #[command(after_help = local::OPENAPI_HELP)]
    Openapi,
}

/// Does what is asked for.
pub fn cluster(command: &ClusterCommand, output: &mut Output) -> anyhow::Result<Exit> {
    use ClusterCommand::*;
    let asked = |flags| Session::begin(flags);
    match command {
        Status(args) => status::status(&mut asked(&args.flags)?, output),
        Top(args) => top::top(args, output),
        Host(args) => host::host(args, &mut asked(&args.flags)?, output),
        Vm(args) => vm::vm(args, &mut asked(&args.flags)?, output),
        Events(args) => events::events(args, &mut asked(&args.flags)?, output),
        Report(args) => report::report(args, output),
        Plan(args) => status::plan(args, &mut asked(&args.flags)?, output),
        Arm(args) => arm::arm(&mut asked(&args.flags)?, output),
        Disarm(args) => arm::disarm(args, &mut asked(&args.flags)?, output),
        Doctor(args) => status::doctor(&mut asked(&args.flags)?, output),
        Drill(args) => host::drill(&args.host.name, &mut asked(&args.flags)?, output),
        Recover(args) => arm::recover(args, &mut asked(&args.flags)?, output),
        Policy(args) => policy::policy(args, &mut asked(&args.flags)?, output),
        Metrics(args) => metrics::metrics(args, output),
        Token(args) => access::token(args, &mut asked(&args.flags)?, output),
        Access(args) => access::access(args, &mut asked(&args.flags)?, output),
        Fence(args) => fence::fence(args, &mut asked(&args.flags)?, output),
        Notify(args) => notify::notify(args, &mut asked(&args.flags)?, output),
        Cloud(args) => cloud::clouds(args, output),
        Network(args) => names::network(args, &mut asked(&args.flags)?, output),
        Target(args) => account::target(args, &mut asked(&args.flags)?, output),
        Backup(args) => local::backup(args, output),
        Completions(args) => local::completions(args, output),
        Openapi => local::openapi(output),
    }
}

//! `holdfast libvirt-hook`: what libvirt runs before each process of QEMU. Nobody calls it by hand.

use super::Exit;
use super::output::remark;
use crate::libvirt::hook::{HookCall, RUN, STATE, Verdict, judge};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct LibvirtHookArgs {
    /// Where the agent's socket is
    #[arg(long, value_name = "FOLDER", default_value = RUN)]
    run: PathBuf,
    /// Where the agent keeps what must outlast it
    #[arg(long, value_name = "FOLDER", default_value = STATE)]
    state: PathBuf,
    /// What the domain is called
    name: String,
    /// What is about to happen
    operation: String,
    /// Which part of it
    step: String,
    /// What libvirt says besides
    #[arg(allow_hyphen_values = true)]
    extra: Vec<String>,
}

/// Lets libvirt go on, or not.
pub fn hook(args: &LibvirtHookArgs) -> Exit {
    let call = HookCall {
        name: args.name.clone(),
        operation: args.operation.clone(),
        step: args.step.clone(),
        run: args.run.clone(),
        state: args.state.clone(),
    };
    match judge(&call, std::io::stdin().lock()) {
        Verdict::Pass => Exit::Good,
        Verdict::Refuse(reason) => {
            remark(&reason);
            // Libvirt takes any other code but zero for a refusal.
            Exit::Violation
        }
    }
}

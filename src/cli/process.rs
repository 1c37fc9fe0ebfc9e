//! `holdfast process-vm`, `process-disk`: a VM of the embedded hypervisor, and its disk. Nobody calls the first by hand.

use super::Exit;
use super::output::complain;
use crate::process::disk;
use crate::process::vm::{self, VmSetup};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ProcessVmArgs {
    /// The VM's definition
    #[arg(long, value_name = "FILE")]
    definition: PathBuf,
    /// The VM's life file, which must be the standard input, too
    #[arg(long, value_name = "FILE")]
    life: PathBuf,
    /// What the host is called
    #[arg(long, value_name = "NAME")]
    host: String,
}

#[derive(Debug, Args)]
pub struct ProcessDiskArgs {
    /// The new file
    path: PathBuf,
}

/// Makes an empty disk. What is there already is left as it is.
pub fn process_disk(args: &ProcessDiskArgs) -> anyhow::Result<Exit> {
    disk::create(&args.path)?;
    Ok(Exit::Good)
}

/// Is the VM until it ends.
pub fn process_vm(args: &ProcessVmArgs) -> Exit {
    let setup = VmSetup { definition: args.definition.clone(), life: args.life.clone(), host: args.host.clone() };
    match vm::run(&setup) {
        Ok(()) => Exit::Good,
        Err(error) => {
            complain(&error.to_string());
            Exit::VmEnded(error.code())
        }
    }
}

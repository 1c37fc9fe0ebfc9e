//! The command `holdfast`.

use clap::Parser;
use holdfast::cli::{Cli, dispatch};
use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(dispatch(&Cli::parse()).code())
}

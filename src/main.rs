//! The command `holdfast`.

use holdfast::cli::{dispatch, parse};
use std::process::ExitCode;

fn main() -> ExitCode {
    let (cli, complaints) = parse();
    ExitCode::from(dispatch(&cli, complaints).code())
}

//! What is done on this machine alone: backups, completions; and the description of the interface.

use super::flags::Flags;
use super::session::{Session, ended};
use super::show::json;
use crate::cli::output::Output;
use crate::cli::{Cli, Exit};
use crate::config::{Config, DEFAULT_PATH};
use crate::store::backup::{self, Header, Replace};
use clap::{Args, CommandFactory, Subcommand, ValueEnum};
use clap_complete::{Shell, generate};
use serde_json::Value;
use std::path::PathBuf;

const BACKUP_HELP: &str = "\
A backup holds what the agent of this host must not forget, and, where a voter lives, the cluster's state with all its
secrets: keep it as you keep keys. The voter in it never votes again; the others are asked for all that is newer.

Examples:
  holdfast backup create /var/backups/holdfast-host-1
  holdfast backup restore /var/backups/holdfast-host-1 --force";

const COMPLETIONS_HELP: &str = "\
Examples:
  holdfast completions bash > /usr/share/bash-completion/completions/holdfast
  holdfast completions zsh > /usr/share/zsh/site-functions/_holdfast
  holdfast completions fish > /usr/share/fish/vendor_completions.d/holdfast.fish";

pub const OPENAPI_HELP: &str = "\
Examples:
  holdfast openapi > holdfast.json
  holdfast openapi --server 10.0.0.1:7780 --identity ~/holdfast";

#[derive(Debug, Args)]
#[command(after_help = BACKUP_HELP)]
pub struct BackupArgs {
    #[command(subcommand)]
    verb: BackupVerb,
    /// The configuration of this host
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum BackupVerb {
    /// Writes a backup of this host's state to a new file; the agent may be running
    #[command(after_help = BACKUP_HELP)]
    Create {
        /// The new file
        file: PathBuf,
    },
    /// Brings back a backup of this host; the agent must not be running
    #[command(after_help = BACKUP_HELP)]
    Restore {
        /// The backup
        file: PathBuf,
        /// Moves the state aside that is there
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    shell: ShellArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ShellArg {
    /// For bash
    Bash,
    /// For zsh
    Zsh,
    /// For fish
    Fish,
}

#[derive(Debug, Args)]
pub struct OpenapiArgs {
    #[command(flatten)]
    pub flags: Flags,
}

/// Backs up and restores the state of this host.
pub fn backup(args: &BackupArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let config = Config::load(&args.config)?;
    let failed = |error: crate::store::StoreError| ended(Exit::Failed, error.to_string());
    match &args.verb {
        BackupVerb::Create { file } => {
            let header = backup::create(&config.state, file).map_err(failed)?;
            output.line(&format!("{} is a backup {}", file.display(), about(&header)))?;
        }
        BackupVerb::Restore { file, force } => {
            let replace = if *force { Replace::MoveAside } else { Replace::Never };
            let restored = backup::restore(file, &config.state, replace).map_err(failed)?;
            output.line(&format!("{} has the backup {}", config.state.display(), about(&restored.header)))?;
            if let Some(aside) = restored.moved_aside {
                output.line(&format!("what was there is in {} now", aside.display()))?;
            }
            output.line("next: start `holdfast agent` here")?;
        }
    }
    Ok(Exit::Good)
}

fn about(header: &Header) -> String {
    let host = header.host.as_deref().unwrap_or("a host without a name");
    let cluster = header.cluster.as_ref().map(|name| format!(" in cluster \"{name}\"")).unwrap_or_default();
    format!("of {host}{cluster}, made at {}", super::moment::moment(header.at_milliseconds))
}

/// Prints what a shell needs to complete the commands.
pub fn completions(args: &CompletionsArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let shell = match args.shell {
        ShellArg::Bash => Shell::Bash,
        ShellArg::Zsh => Shell::Zsh,
        ShellArg::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "holdfast", &mut script);
    output.line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Good)
}

/// Prints the description of the operators' interface.
pub fn openapi(session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let document: Value = session.look("/openapi.json")?;
    json(&document, output)?;
    Ok(Exit::Good)
}

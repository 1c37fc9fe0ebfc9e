//! What is done on this machine alone: backups, completions; and the description of the interface.

use super::session::ended;
use super::show::json;
use crate::api::description;
use crate::cli::output::Output;
use crate::cli::{Cli, Exit};
use crate::config::{Config, DEFAULT_PATH};
use crate::store::backup::{self, Header, Replace, Whose};
use clap::{Args, CommandFactory, Subcommand, ValueEnum};
use clap_complete::{Shell, generate};
use std::path::PathBuf;

const BACKUP_HELP: &str = "\
A backup is one file with all that makes this host itself: what its agent must not forget, its keys, and, where a voter
lives, the cluster's state with all its secrets. Keep it as you keep keys. With the configuration it brings the host back
on an empty disk. The voter in it never votes again; the others are asked for all that is newer.

Examples:
  holdfast backup create /var/backups/holdfast-host-1
  holdfast backup restore /var/backups/holdfast-host-1 --force";

const COMPLETIONS_HELP: &str = "\
Examples:
  holdfast completions bash > /usr/share/bash-completion/completions/holdfast
  holdfast completions zsh > /usr/share/zsh/site-functions/_holdfast
  holdfast completions fish > /usr/share/fish/vendor_completions.d/holdfast.fish
  holdfast completions elvish > ~/.config/elvish/lib/holdfast.elv";

pub const OPENAPI_HELP: &str = "\
Examples:
  holdfast openapi > holdfast.json

It is that of this program; a host of the cluster gives its own to whoever asks: https://ADDRESS:PORT/openapi.json";

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
        /// Takes the backup although its host has another name than this one
        #[arg(long)]
        of_another_host: bool,
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
    /// For elvish
    Elvish,
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
        BackupVerb::Restore { file, force, of_another_host } => {
            let replace = if *force { Replace::MoveAside } else { Replace::Never };
            let whose = if *of_another_host { Whose::Anybodys } else { Whose::Of(&config.name) };
            let restored = backup::restore(file, &config.state, replace, whose).map_err(failed)?;
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
        ShellArg::Elvish => Shell::Elvish,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "holdfast", &mut script);
    output.line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Good)
}

/// Prints the description of the operators' interface.
pub fn openapi(output: &mut Output) -> anyhow::Result<Exit> {
    json(&description(), output)?;
    Ok(Exit::Good)
}

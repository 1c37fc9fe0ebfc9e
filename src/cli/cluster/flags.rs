//! What every command that asks a cluster can be told: where it is, who asks, how to answer.

use crate::client::{Client, ClientError, Credentials};
use crate::config::{Config, DEFAULT_PATH};
use crate::member::Places;
use crate::trust::{Identity, load_certificate};
use crate::words::parse_duration;
use anyhow::Context;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SERVER: &str = "HOLDFAST_SERVER";
const SOCKET: &str = "HOLDFAST_SOCKET";
/// Under this name an operator's key and certificate lie in their folder.
pub(super) const PERSON: &str = "operator";
/// No token comes near to this length.
const TOKEN_LIMIT: usize = 4_096;

/// Where the cluster is, who asks, and how it is answered.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command that asks a cluster")]
pub struct Flags {
    /// Asks this host of the cluster over the network; any of them will do
    #[arg(long, global = true, env = SERVER, value_name = "ADDRESS:PORT")]
    server: Option<String>,
    /// The folder of an operator's key and certificate, as `holdfast init` and `holdfast access grant` write it
    #[arg(long, global = true, env = "HOLDFAST_IDENTITY", value_name = "FOLDER")]
    identity: Option<PathBuf>,
    /// The file with an operator's token, instead of a certificate; needs --ca
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "identity", requires = "ca")]
    token_file: Option<PathBuf>,
    /// The certificate of the cluster's authority: `ca.pem`
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Asks the agent on this machine through its socket; root only
    #[arg(long, global = true, env = SOCKET, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The configuration of this host, which says where its agent's socket is
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// In which form the answer is printed
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub output: Form,
    /// Does dangerous things without asking back
    #[arg(long, global = true)]
    pub yes: bool,
    /// Why it is done; stands in the ledger
    #[arg(long, global = true, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Says what would be asked of the cluster, and changes nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Does not wait for the result, only for the cluster's word that it will see to it
    #[arg(long, global = true)]
    pub no_wait: bool,
    /// For how long it is waited, and tried again while there is no master
    #[arg(long, global = true, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// In which form something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people
    Table,
    /// For programs: all of it
    Json,
    /// For spreadsheets: the columns of the table
    Csv,
    /// For tickets and wikis; reports only
    Markdown,
    /// One file to be read, printed and kept; reports only
    Html,
}

impl Flags {
    /// The way to the cluster.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        // What stands on the command line counts for more than what stands in the environment.
        let told = |variable, value: &std::ffi::OsStr| std::env::var_os(variable).is_none_or(|there| there != value);
        let server = self.server.as_deref();
        let socket = self.socket.as_deref();
        let server_told = server.is_some_and(|server| told(SERVER, server.as_ref()));
        let socket_told = socket.is_some_and(|socket| told(SOCKET, socket.as_ref()));
        let config_told = self.config != Path::new(DEFAULT_PATH);
        match (server, socket) {
            (Some(server), _) if server_told => self.remote(server),
            (_, Some(socket)) if socket_told => Ok(Client::local(socket)?),
            _ if config_told => Ok(Client::local(&self.socket_by_configuration()?)?),
            (Some(server), _) => self.remote(server),
            (None, Some(socket)) => Ok(Client::local(socket)?),
            (None, None) => Ok(Client::local(&self.socket_by_configuration()?)?),
        }
    }

    /// The configuration of this host.
    pub(super) fn configuration(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.config)?)
    }

    /// The certificate of the cluster's authority, in DER: what is named for it, or that of this host.
    pub(super) fn authority(&self) -> anyhow::Result<Vec<u8>> {
        let path = match (&self.ca, &self.identity) {
            (Some(ca), _) => ca.clone(),
            (None, Some(folder)) => folder.join("ca.pem"),
            (None, None) => {
                let here = self.configuration().map(|config| Places::of(&config.state).trust().join("ca.pem"));
                here.context("it is not said which authority is meant: name its ca.pem with --ca")?
            }
        };
        Ok(load_certificate(&path)?)
    }

    fn remote(&self, server: &str) -> anyhow::Result<Client> {
        if let Some(file) = &self.token_file {
            let ca =
                self.ca.as_ref().context("a token is told only to the right cluster: name its ca.pem with --ca")?;
            return Ok(Client::remote(server, &load_certificate(ca)?, Credentials::Token(token(file)?))?);
        }
        let folder = self.identity.as_ref().context(
            "nobody may ask without saying who he is: name the folder of your key and certificate with --identity, or \
             a file with a token with --token-file and --ca",
        )?;
        let identity = Identity::load(folder, PERSON).map_err(ClientError::from)?;
        let authority = match &self.ca {
            Some(ca) => load_certificate(ca)?,
            None => identity.authority().to_vec(),
        };
        Ok(Client::remote(server, &authority, Credentials::Certificate(Box::new(identity)))?)
    }

    fn socket_by_configuration(&self) -> anyhow::Result<PathBuf> {
        if !self.config.exists() && self.config == Path::new(DEFAULT_PATH) {
            anyhow::bail!(
                "it is not said which cluster is meant: this machine has no {DEFAULT_PATH}\n  hint: name one of its \
                 hosts with --server ADDRESS:PORT and --identity FOLDER, or an agent's socket with --socket"
            );
        }
        Ok(Places::of(&self.configuration()?.state).socket())
    }
}

fn token(file: &Path) -> anyhow::Result<String> {
    let token = secret_line(file)?;
    let is_token = |letter: char| letter.is_ascii_graphic();
    anyhow::ensure!(token.len() <= TOKEN_LIMIT && token.chars().all(is_token), "{} holds no token", file.display());
    Ok(token)
}

/// The one line of a file with a secret, without its line break. The file is refused if others can read it.
pub(super) fn secret_line(file: &Path) -> anyhow::Result<String> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mode = metadata.permissions().mode() & 0o777;
    anyhow::ensure!(
        !metadata.is_file() || mode & 0o077 == 0,
        "{} can be read by others (mode {mode:o}): chmod 600 it, and think of its secret as known",
        file.display()
    );
    let text = crate::files::read_text(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    anyhow::ensure!(!line.is_empty() && !line.contains('\n'), "{} must hold one line", file.display());
    Ok(line.to_owned())
}

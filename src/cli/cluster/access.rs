//! `holdfast token`, `holdfast access`: who may join, and who may ask.

use super::flags::{Flags, Form, PERSON};
use super::host::say;
use super::moment::{moment, parse_span};
use super::session::{Answer, Session, Twice, Verb, ended, segment};
use super::show::{Sheet, json, tame};
use crate::api::{GivenAccess, Invited, Token};
use crate::cli::Exit;
use crate::cli::named;
use crate::cli::output::Output;
use crate::trust::{Identity, PrivateKey, store_certificate};
use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json as value};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const TOKEN_HELP: &str = "\
One token lets one host join. It is shown once.

Examples:
  holdfast token create
  holdfast token create --for 10m -o json
  holdfast token list
  holdfast token revoke 3f9a12c400d1e577";

const ACCESS_HELP: &str = "\
Examples:
  holdfast access list
  holdfast access grant ada --right operator --out ~/ada
  holdfast access grant monitor --right viewer --token
  holdfast access revoke 3f9a12";

const GRANT_HELP: &str = "\
A certificate is the better way: its key is made here and travels nowhere. A token is shown once, or written into the
folder beside the ca.pem that goes with it.

Examples:
  holdfast access grant ada --right operator --out ~/ada
  holdfast status --server 10.0.0.1:7780 --identity ~/ada
  holdfast access grant monitor --right viewer --token --out /etc/monitor/holdfast
  holdfast status --server 10.0.0.1:7780 --token-file /etc/monitor/holdfast/token --ca /etc/monitor/holdfast/ca.pem";

#[derive(Debug, Args)]
#[command(after_help = TOKEN_HELP)]
pub struct TokenArgs {
    #[command(subcommand)]
    verb: TokenVerb,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Subcommand)]
enum TokenVerb {
    /// Makes a token with which one new host may join
    #[command(after_help = TOKEN_HELP)]
    Create {
        /// For how long it is good, a week at most
        #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = parse_span)]
        length: Duration,
    },
    /// Shows the invitations that are good still
    #[command(after_help = TOKEN_HELP)]
    List,
    /// Takes an invitation back
    #[command(after_help = TOKEN_HELP)]
    Revoke {
        /// As `holdfast token list` shows it
        #[arg(value_name = "ID", value_parser = named)]
        id: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = ACCESS_HELP)]
pub struct AccessArgs {
    #[command(subcommand)]
    verb: AccessVerb,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Subcommand)]
enum AccessVerb {
    /// Shows who may ask this cluster, and what they may do
    #[command(after_help = "Examples:\n  holdfast access list")]
    List,
    /// Lets somebody look, or look and act
    #[command(after_help = GRANT_HELP)]
    Grant(GrantArgs),
    /// Takes a right back at once
    #[command(after_help = "Examples:\n  holdfast access list\n  holdfast access revoke 3f9a12 --yes")]
    Revoke {
        /// The print of the certificate or token, or as much of its beginning as is unmistakable
        #[arg(value_name = "PRINT", value_parser = named)]
        print: String,
    },
}

#[derive(Debug, Args)]
struct GrantArgs {
    /// What that person or program is called; stands in the ledger with what it does
    #[arg(value_name = "NAME", value_parser = named)]
    name: String,
    /// What it may do
    #[arg(long, value_enum)]
    right: RightArg,
    /// Gives a token instead of a certificate
    #[arg(long)]
    token: bool,
    /// The folder into which key and certificate are written, or the token
    #[arg(long, value_name = "FOLDER", required_unless_present = "token")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RightArg {
    /// Look
    Viewer,
    /// Look and act
    Operator,
}

/// Makes a token for a new host.
pub fn token(args: &TokenArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    match &args.verb {
        TokenVerb::Create { length } => invite(*length, session, output),
        TokenVerb::List => {
            let all: Vec<Token> = session.look("/v1/tokens")?;
            let mut sheet = Sheet::new(&["id", "good until"]);
            for token in &all {
                sheet.row([token.id.clone(), moment(token.expires_milliseconds)]);
            }
            sheet.show(session.flags.output, &all, output)?;
            Ok(Exit::Good)
        }
        TokenVerb::Revoke { id } => {
            let path = format!("/v1/tokens/{}", segment(id));
            if session.change(Verb::Delete, &path, &Value::Null, output)? != Answer::Dry {
                say(&format!("nobody joins with the token {id} any more"), session, output)?;
            }
            Ok(Exit::Good)
        }
    }
}

fn invite(length: Duration, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let body = value!({ "for_seconds": length.as_secs() });
    if session.flags.dry_run {
        session.say_dry(Verb::Post, "/v1/tokens", &body, output)?;
        return Ok(Exit::Good);
    }
    let invited: Invited = session.ask(Verb::Post, "/v1/tokens", &body, Twice::MakesTwo)?;
    if session.flags.output == Form::Json {
        json(&invited, output)?;
        return Ok(Exit::Good);
    }
    // The token alone on standard output, so that a script can take it.
    output.line(&invited.token)?;
    session.remark(&format!(
        "good for one host until {}: on it, `holdfast join ADDRESS:PORT --token ...`",
        moment(invited.expires_milliseconds)
    ));
    Ok(Exit::Good)
}

/// Who may ask.
pub fn access(args: &AccessArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    match &args.verb {
        AccessVerb::List => {
            let mut all: Vec<Value> = session.look("/v1/access")?;
            all.sort_by_key(|entry| text(entry, "name").to_owned());
            let mut sheet = Sheet::new(&["name", "right", "print"]);
            for entry in &all {
                sheet.row(["name", "right", "print"].map(|key| text(entry, key).to_owned()));
            }
            sheet.show(session.flags.output, &all, output)?;
            Ok(Exit::Good)
        }
        AccessVerb::Grant(grant) => give(grant, session, output),
        AccessVerb::Revoke { print } => revoke(print, session, output),
    }
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap_or_default()
}

fn give(args: &GrantArgs, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let right = match args.right {
        RightArg::Viewer => "viewer",
        RightArg::Operator => "operator",
    };
    let files = match args.token {
        true => ["token".to_owned(), "ca.pem".to_owned()],
        false => [format!("{PERSON}.key"), format!("{PERSON}.pem")],
    };
    if let Some(folder) = &args.out {
        if let Some(there) = files.iter().map(|file| folder.join(file)).find(|file| file.exists()) {
            let text = format!("{} is there already, and would be lost\n  hint: name another folder", there.display());
            return Err(ended(Exit::BadUsage, text));
        }
        if !session.flags.dry_run {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        }
    }
    let key = PrivateKey::generate()?;
    let request = (!args.token).then(|| key.request()).transpose()?.map(|request| BASE64.encode(request));
    let body = value!({ "name": args.name, "right": right, "request": request });
    if session.flags.dry_run {
        session.say_dry(Verb::Post, "/v1/access", &body, output)?;
        return Ok(Exit::Good);
    }
    let given: GivenAccess = session.ask(Verb::Post, "/v1/access", &body, Twice::MakesTwo)?;
    let kept = keep(&given, key, args.out.as_deref());
    kept.with_context(|| format!("the right was given, and could not be kept: revoke {}", given.print))?;
    shown(args, &given, session, output)?;
    Ok(Exit::Good)
}

fn keep(given: &GivenAccess, key: PrivateKey, folder: Option<&Path>) -> anyhow::Result<()> {
    let Some(folder) = folder else { return Ok(()) };
    let authority = BASE64.decode(&given.authority).context("the authority's certificate")?;
    match (&given.certificate, &given.token) {
        (Some(certificate), _) => {
            let certificate = BASE64.decode(certificate).context("the certificate")?;
            Identity::new(key, &certificate, &authority)?.store(folder, PERSON)?;
        }
        (None, Some(token)) => {
            store_certificate(&folder.join("ca.pem"), &authority)?;
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(folder.join("token"))?;
            writeln!(file, "{token}").and_then(|()| file.sync_all())?;
            fs::File::open(folder).and_then(|folder| folder.sync_all())?;
        }
        (None, None) => anyhow::bail!("the cluster has answered with neither certificate nor token"),
    }
    Ok(())
}

fn shown(args: &GrantArgs, given: &GivenAccess, session: &Session<'_>, output: &mut Output) -> anyhow::Result<()> {
    let folder = args.out.as_ref().map(|folder| folder.display().to_string());
    if session.flags.output == Form::Json {
        // A token that lies in a file is not shown beside it.
        let token = given.token.as_ref().filter(|_| folder.is_none());
        return json(&value!({ "name": args.name, "print": given.print, "token": token, "folder": folder }), output);
    }
    match (&given.token, &folder) {
        (Some(token), None) => {
            output.line(token)?;
            session.remark("it is not shown again; whoever uses it needs the cluster's ca.pem, too");
        }
        (Some(_), Some(folder)) => {
            output.line(&format!("{}: --token-file {folder}/token --ca {folder}/ca.pem", tame(&args.name)))?
        }
        (None, folder) => {
            let folder = folder.as_deref().unwrap_or("-");
            output.line(&format!("{}: --identity {folder}", tame(&args.name)))?;
        }
    }
    session.remark(&format!("to take it back: holdfast access revoke {}", given.print));
    Ok(())
}

fn revoke(print: &str, session: &mut Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    let all: Vec<Value> = session.find("/v1/access")?;
    let found: Vec<&Value> = all.iter().filter(|entry| text(entry, "print").starts_with(print)).collect();
    let entry = match found.as_slice() {
        [only] => *only,
        [] => return Err(ended(Exit::Failed, format!("nobody has a right whose print begins with {print}"))),
        several => {
            let text = format!("{} prints begin with {print}\n  hint: name more of it", several.len());
            return Err(ended(Exit::Failed, text));
        }
    };
    let (name, print) = (tame(text(entry, "name")), text(entry, "print"));
    session.confirm(&format!("Take the right to {} from {name}?", may(text(entry, "right"))))?;
    if session.change(Verb::Delete, &format!("/v1/access/{}", segment(print)), &Value::Null, output)? != Answer::Dry {
        say(&format!("{name} may not ask any more"), session, output)?;
    }
    Ok(Exit::Good)
}

fn may(right: &str) -> &'static str {
    if right == "viewer" { "look" } else { "look and act" }
}

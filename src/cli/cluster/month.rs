//! `holdfast report month` and `verify`: the signed report of a month, and whether one is still what was signed.

use super::flags::{Flags, Form};
use super::session::{Session, ended, segment};
use super::show::{json, tame};
use crate::api::MonthPart;
use crate::cli::Exit;
use crate::cli::output::Output;
use crate::files;
use crate::ledger::Zone;
use crate::report::{SealError, Statement, open};
use crate::trust::fingerprint;
use anyhow::Context;
use clap::Args;
use serde_json::json as value;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

pub(super) const MONTH_HELP: &str = "\
One HTML file, to be read, printed and kept, with all of its figures as JSON at its end, and under it the signature of the
cluster's authority over every byte before. A month that is not over yet is refused, unless a provisional report will do;
that says so on its face.

Examples:
  holdfast report month 2026-10
  holdfast report month 2026-10 --zone Europe/Berlin --file october.html
  holdfast report month 2026-11 --provisional";

pub(super) const VERIFY_HELP: &str = "\
Needs no cluster, only the certificate of its authority: --ca, or the ca.pem in the folder of --identity, or that of this
host. Code 0: not a byte was changed since the cluster signed it. Code 4: it was changed, or another signed it. Code 2: the
file or the certificate cannot be read.

Examples:
  holdfast report verify october.html --ca ca.pem
  holdfast report verify october.html --identity ~/holdfast -o json";

/// No report is longer.
const REPORT_LIMIT: u64 = 256 << 20;
/// So often a report is asked for anew whose parts were lost with a master.
const TRIES: usize = 3;

#[derive(Debug, Args)]
pub(super) struct MonthArgs {
    /// Which month, such as 2026-10
    #[arg(value_name = "YEAR-MONTH")]
    month: String,
    /// In which time zone it begins and ends, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = Zone::named)]
    zone: Zone,
    /// Where it is written; a new file, or - for the standard output
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Though the month is not over yet
    #[arg(long)]
    provisional: bool,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The report
    file: PathBuf,
}

/// Has the report of a month made and signed, and writes it.
pub(super) fn month(args: &MonthArgs, session: &Session<'_>, output: &mut Output) -> anyhow::Result<Exit> {
    if !matches!(session.flags.output, Form::Table | Form::Html) {
        let text = "the report of a month is one HTML file, with its figures as JSON in it\n  hint: leave -o away";
        return Err(ended(Exit::BadUsage, text));
    }
    let name = format!("holdfast-{}.html", args.month);
    let path = args.file.clone().unwrap_or_else(|| PathBuf::from(name));
    let to_output = path == Path::new("-");
    // Before the cluster has worked for nothing.
    anyhow::ensure!(to_output || !path.exists(), "{} is there already: name another with --file", path.display());
    let zone = args.zone.name();
    let asked = format!("month={}&zone={}&provisional={}", segment(&args.month), segment(zone), args.provisional);
    let text = fetch(session, &asked)?;
    if to_output {
        return output.line(text.trim_end_matches('\n')).map(|()| Exit::Good);
    }
    let written = OpenOptions::new().write(true).create_new(true).open(&path);
    let written = written.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.with_context(|| format!("{} cannot be written", path.display()))?;
    output.line(&format!(
        "{}: {} bytes, signed; check it with `holdfast report verify`",
        path.display(),
        text.len()
    ))?;
    Ok(Exit::Good)
}

/// All of its parts. If the master dies meanwhile, the next one makes another one.
fn fetch(session: &Session<'_>, asked: &str) -> anyhow::Result<String> {
    let mut tries = 0;
    loop {
        tries += 1;
        match fetch_once(session, asked) {
            Err(error) if super::session::is(&error, "not-found") && tries < TRIES => {}
            done => return done,
        }
    }
}

fn fetch_once(session: &Session<'_>, asked: &str) -> anyhow::Result<String> {
    let first: MonthPart = session.look(&format!("/v1/report/month?{asked}"))?;
    let mut text = first.text;
    while text.len() < first.length {
        let path = format!("/v1/report/month/part?print={}&offset={}", segment(&first.print), text.len());
        let part: MonthPart = session.look(&path)?;
        anyhow::ensure!(!part.text.is_empty(), "the report ends before its end: ask for it again");
        text.push_str(&part.text);
    }
    let print = fingerprint(text.as_bytes()).to_string();
    anyhow::ensure!(print == first.print, "the report has come damaged: ask for it again");
    Ok(text)
}

/// Checks a signed report.
pub(super) fn verify(args: &VerifyArgs, flags: &Flags, output: &mut Output) -> anyhow::Result<Exit> {
    let authority = flags.authority()?;
    let file = files::read(&args.file, REPORT_LIMIT);
    let file = file.with_context(|| format!("{} cannot be read", args.file.display()))?;
    match open(&file, &authority) {
        Ok(statement) => told(&statement, flags, output).map(|()| Exit::Good),
        Err(error @ SealError::NoAuthority) => Err(error.into()),
        Err(error) => Err(ended(Exit::Failed, format!("{}: {error}", args.file.display()))),
    }
}

fn told(statement: &Statement, flags: &Flags, output: &mut Output) -> anyhow::Result<()> {
    if flags.output == Form::Json {
        return json(&value!({ "good": true, "statement": statement }), output);
    }
    let zone = Zone::named(&statement.zone).unwrap_or(Zone::utc());
    let time = |at| zone.shown(at);
    let over = if statement.provisional { ", provisional: the month was not over" } else { "" };
    let lines = [
        "good: not a byte was changed since it was signed".to_owned(),
        format!("  cluster   {} ({})", statement.cluster, statement.uuid),
        format!("  month     {} ({}){over}", statement.month, statement.zone),
        format!("  from      {}", time(statement.from)),
        format!("  to        {}", time(statement.to)),
        format!(
            "  signed    {} on {}, by the authority {}",
            time(statement.signed_at_milliseconds),
            statement.signed_on,
            statement.authority
        ),
    ];
    lines.iter().try_for_each(|line| output.line(&tame(line)))
}

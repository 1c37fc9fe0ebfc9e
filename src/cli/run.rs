//! `holdfast simulate run`.

use super::output::{Output, complain};
use super::{Exit, Format, Sabotage};
use crate::files::read_text;
use crate::sim::explain;
use crate::sim::run::{self, Outcome};
use crate::sim::scenario::Scenario;
use anyhow::{Context, bail};
use clap::Args;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Shown below the options.
pub const HELP: &str = "\
A scenario is a folder with scenario.toml, and expected: the record of all decisions. Without a path to one scenario,
all scenarios in the folder are run. The format is described in tests/scenarios/README.md.

Examples:
  holdfast simulate run tests/scenarios/power-failure-with-fence    one scenario, with all that happens
  holdfast simulate run tests/scenarios                             all of them, a line each
  holdfast simulate run tests/scenarios -o json                     one JSON object for each
  holdfast simulate run tests/scenarios/isolated-host --bless       keeps what is decided now as what is expected

Exit codes: 0 all as expected, 1 a violation, an unmet demand or another decision, 2 a bad file or command.";

/// The file in a scenario's folder that describes it.
const INPUT: &str = "scenario.toml";
/// The file that holds the decisions.
const EXPECTED: &str = "expected";

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Folders of scenarios, or folders that hold such folders
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// In which form the outcome is printed
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,
    /// Prints all that happened, for more than one scenario too
    #[arg(long)]
    timeline: bool,
    /// Keeps what is decided as what is expected from now on, if all demands are met
    #[arg(long)]
    bless: bool,
    #[command(flatten)]
    pub sabotage: Sabotage,
}

/// A scenario and its folder.
struct Entry {
    folder: PathBuf,
    scenario: Scenario,
}

/// Runs the scenarios.
pub fn run(args: &RunArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let Some(entries) = load(&args.paths)? else {
        return Ok(Exit::BadUsage);
    };
    let with_timeline = args.timeline || entries.len() == 1;
    let mut bad = 0;
    for entry in &entries {
        let mut outcome = run::run(&entry.scenario);
        let expected = expected(&entry.folder)?;
        let mut blessed = false;
        if args.bless && outcome.failures.is_empty() {
            blessed = bless(&entry.folder, &outcome, expected.as_deref())?;
        } else if let Some(expected) = &expected {
            outcome.compare(expected);
        }
        bad += usize::from(!outcome.is_good());
        match args.output {
            Format::Json => output.line(&run::output::json(&outcome).to_string())?,
            Format::Text => {
                if with_timeline {
                    timeline(&outcome, output)?;
                }
                verdict(entry, &outcome, expected.is_some() || blessed, output)?;
                if blessed {
                    output.line(&format!("  blessed: {}", entry.folder.join(EXPECTED).display()))?;
                }
            }
        }
        output.flush()?;
    }
    if args.output == Format::Text && entries.len() > 1 {
        output.line(&format!("{} of {} scenarios as they should be", entries.len() - bad, entries.len()))?;
    }
    Ok(if bad == 0 { Exit::Good } else { Exit::Violation })
}

/// Reads all scenarios before any is run; `None` if one of them is wrong, which was said.
fn load(paths: &[PathBuf]) -> anyhow::Result<Option<Vec<Entry>>> {
    let mut entries = Vec::new();
    let mut good = true;
    for folder in folders(paths)? {
        let file = folder.join(INPUT);
        let text = read_text(&file).with_context(|| format!("{} cannot be read", file.display()))?;
        let canonical = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let name = canonical.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        match Scenario::parse(&name, &file, &text) {
            Ok(scenario) => entries.push(Entry { folder, scenario }),
            Err(problem) => {
                complain(&problem.to_string());
                good = false;
            }
        }
    }
    Ok(good.then_some(entries))
}

/// The scenarios' folders, in the order of the arguments and then of their names.
fn folders(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let name = path.file_name().unwrap_or_default();
        if metadata.is_file() && name == INPUT {
            folders.push(path.parent().unwrap_or(Path::new(".")).to_owned());
        } else if metadata.is_file() && name == "README.md" {
            // `tests/scenarios/*` names the format's description among the scenarios.
        } else if metadata.is_file() {
            bail!("{} is no scenario; name a folder that holds a {INPUT}", path.display());
        } else if path.join(INPUT).is_file() {
            folders.push(path.clone());
        } else {
            let inside = inside(path)?;
            if inside.is_empty() {
                bail!("{} holds no scenario: neither it nor a folder in it has a {INPUT}", path.display());
            }
            folders.extend(inside);
        }
    }
    if folders.is_empty() {
        bail!("no path names a scenario");
    }
    Ok(folders)
}

fn inside(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let reading = || format!("{} cannot be read", path.display());
    let mut inside = Vec::new();
    for entry in fs::read_dir(path).with_context(reading)? {
        let folder = entry.with_context(reading)?.path();
        if folder.join(INPUT).is_file() {
            inside.push(folder);
        }
    }
    inside.sort();
    Ok(inside)
}

fn expected(folder: &Path) -> anyhow::Result<Option<String>> {
    let file = folder.join(EXPECTED);
    match read_text(&file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
    }
}

/// Writes the record, if it changed; whether it did.
fn bless(folder: &Path, outcome: &Outcome, before: Option<&str>) -> anyhow::Result<bool> {
    let text = outcome.record.iter().map(|line| format!("{line}\n")).collect::<String>();
    if before == Some(text.as_str()) {
        return Ok(false);
    }
    let file = folder.join(EXPECTED);
    fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(true)
}

fn timeline(outcome: &Outcome, output: &mut Output) -> anyhow::Result<()> {
    output.line(&format!("{}, seed {}", outcome.name, outcome.seed))?;
    for moment in &outcome.events {
        output.line(&explain::line(moment, &outcome.names))?;
    }
    Ok(())
}

fn verdict(entry: &Entry, outcome: &Outcome, has_record: bool, output: &mut Output) -> anyhow::Result<()> {
    let word = if outcome.is_good() { "ok    " } else { "FAILED" };
    let note = if has_record { "" } else { "  (no expected record; --bless keeps one)" };
    output.line(&format!("{word}  {}, seed {}{note}", outcome.name, outcome.seed))?;
    for failure in &outcome.failures {
        let file = entry.folder.join(INPUT);
        let place = failure.line.map(|line| format!("{}:{line}: ", file.display())).unwrap_or_default();
        output.line(&format!("  {place}{}", failure.what))?;
    }
    if !outcome.differences.is_empty() {
        output.line("  the decisions are not those that are expected (- expected, + came):")?;
        for line in &outcome.differences {
            output.line(&format!("  {line}"))?;
        }
    }
    Ok(())
}

//! The report of a month: how available all was, why not, and how VMs were brought back, in one document.

use super::availability::{causes, facts, figures, sections, worse};
use super::document::{Document, Section};
use super::failovers;
use super::frame::{Frame, Order};
use super::load;
use super::seal::Statement;
use crate::api::{FailoversView, FigureRow, FiguresView, LoadView};
use serde::Serialize;

/// What the report of a month is made of, and what programs find in it.
#[derive(Debug, Clone, Serialize)]
pub struct Month {
    /// Of whom, of which time, and by whom.
    pub statement: Statement,
    /// How available VMs were.
    pub vms: FiguresView,
    /// How available those with the same tag were.
    pub tags: FiguresView,
    /// How available hosts were.
    pub hosts: FiguresView,
    /// How VMs were brought back and moved.
    pub failovers: FailoversView,
    /// How busy the processors of hosts were.
    pub cpu: LoadView,
    /// How much of their memory was in use.
    pub memory: LoadView,
}

/// What the report of a month looks like.
pub fn month(month: &Month, frame: &Frame) -> Document {
    let statement = &month.statement;
    let title = format!("Availability in {}", statement.month);
    let mut document = frame.document(&title, statement.from, statement.to, month);
    if statement.provisional {
        document
            .warnings
            .push("This month was not over yet when this was signed: the figures are provisional.".to_owned());
    }
    let vms = frame.ordered(&month.vms.rows, worse);
    if vms.len() < month.vms.count {
        document.warnings.push(frame.left_out(vms.len(), month.vms.count));
    }
    document.facts = facts(&month.vms.total, month.vms.by, frame);
    document.sections = sections(&month.vms, &vms, frame);
    document.sections.extend(others(month, frame));
    let zone = frame.zone.iana_name().unwrap_or("UTC");
    document.colophon = format!(
        "Made by Holdfast {} on {}, which was master of {} ({}) then, and signed by the authority of that cluster, whose \
         certificate has the SHA-256 {}. Moments are in {zone}. holdfast report verify FILE --ca ca.pem tells whether a \
         byte of this file was changed.",
        env!("CARGO_PKG_VERSION"),
        statement.signed_on,
        statement.cluster,
        statement.uuid,
        statement.authority
    );
    document
}

fn others(month: &Month, frame: &Frame) -> Vec<Section> {
    let few = Frame { order: Order::Worst, ..frame.clone() };
    let listed = |name: &'static str, view: &FiguresView| {
        let rows: Vec<&FigureRow> = few.ordered(&view.rows, worse);
        Section { name, ..figures(view.by, &rows) }
    };
    let mut sections = vec![listed("hosts", &month.hosts)];
    // Where no VM has a tag, there is nothing to be said of tags.
    if month.tags.rows.len() > 1 {
        sections.insert(0, listed("tags", &month.tags));
    }
    let mut why_hosts = causes(&month.hosts.total);
    why_hosts.name = "host-causes";
    why_hosts.title = "Why hosts were down".to_owned();
    sections.push(why_hosts);
    sections.extend(failovers::parts(&month.failovers, &few));
    sections.push(load::part(&month.cpu, &few, ("cpu", "CPU load of hosts")));
    sections.push(load::part(&month.memory, &few, ("memory", "Memory in use on hosts")));
    sections
}

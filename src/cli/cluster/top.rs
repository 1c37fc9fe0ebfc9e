//! `holdfast top`: keys, network and clock for the living view of a cluster.

use super::flags::Flags;
use crate::api::{EventView, HostNow, HostView, NowView, VmView};
use crate::cli::Exit;
use crate::cli::output::Output;
use crate::client::{Client, ClientError, segment};
use crate::clock::boottime;
use crate::top::{Key, Paint, Picture, Tab, Top, What, draw, text};
use anyhow::Context;
use clap::{Args, ValueEnum};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::{DefaultTerminal, restore, try_init};
use serde::de::DeserializeOwned;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use uuid::Uuid;

pub const HELP: &str = "\
Hosts, VMs, what is on its way back and what happened, as it goes on. Keys: 1 to 4 or Tab for the tabs, arrows and pages,
s sorts, r reverses, / filters, p pauses, ? helps, q quits. Where there is no terminal, or with --once, one screen is
printed as text. NO_COLOR is obeyed.

Examples:
  holdfast top
  holdfast top --tab vms
  holdfast top --server 10.0.0.1:7771 --identity ~/holdfast
  holdfast top --once";

/// From one picture to the next.
const EVERY: Duration = Duration::from_secs(1);
/// How old the picture is, is drawn anew so often.
const TICK: Duration = Duration::from_millis(250);
/// Whoever reads keys looks so often whether it is still wanted.
const KEY: Duration = Duration::from_millis(100);
/// So many things are asked for at once: what a host passes on for the master must not be too long.
const PART: usize = 200;
/// So many events are kept in view.
const EVENTS: usize = 200;
/// The size of a screen that is no terminal.
const PRINTED: (u16, u16) = (100, 40);

#[derive(Debug, Args)]
pub struct TopArgs {
    /// What is shown first
    #[arg(long, value_enum, default_value = "hosts")]
    tab: TabArg,
    /// Prints one screen as text and ends
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TabArg {
    /// The hosts
    Hosts,
    /// The VMs
    Vms,
    /// The VMs on their way back
    Recoveries,
    /// What happened
    Events,
}

impl From<TabArg> for Tab {
    fn from(tab: TabArg) -> Tab {
        match tab {
            TabArg::Hosts => Tab::Hosts,
            TabArg::Vms => Tab::Vms,
            TabArg::Recoveries => Tab::Recoveries,
            TabArg::Events => Tab::Events,
        }
    }
}

/// Shows the living cluster.
pub fn top(args: &TopArgs, output: &mut Output) -> anyhow::Result<Exit> {
    let client = args.flags.client()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("no runtime can be made")?;
    let colourless = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let paint = if colourless { Paint::Plain } else { Paint::Colours };
    let mut top = Top::new(args.tab.into(), paint);
    if args.once || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let picture = runtime.block_on(fetch(&client))?;
        top.take(picture, boottime());
        output.line(text(&top, boottime(), PRINTED.0, PRINTED.1).trim_end())?;
        return Ok(Exit::Good);
    }
    // From here on the terminal is given back whatever happens: `try_init` sees to it after a panic.
    let mut terminal = try_init().context("the terminal cannot be taken over")?;
    let shown = runtime.block_on(show(&mut top, client, &mut terminal));
    restore();
    shown.map(|()| Exit::Good)
}

async fn show(top: &mut Top, client: Client, terminal: &mut DefaultTerminal) -> anyhow::Result<()> {
    let mut ends = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let [Ok(terminated), Ok(interrupted), Ok(hung_up)] = &mut ends else {
        anyhow::bail!("signals cannot be waited for");
    };
    let mut keys = keys();
    let (wants, wanted) = mpsc::channel(1);
    let mut pictures = pictures(client, wanted);
    let mut tick = tokio::time::interval(TICK);
    loop {
        terminal
            .draw(|frame| draw(top, boottime(), frame.area(), frame.buffer_mut()))
            .context("nothing can be drawn")?;
        if !top.is_paused() {
            // One wish is enough: whoever draws pictures may be busy with the one before.
            let _ = wants.try_send(());
        }
        tokio::select! {
            event = keys.recv() => {
                let height = terminal.size().map_or(24, |size| size.height);
                let what = match event {
                    None => What::Ends,
                    Some(event) => key(&event).map_or(What::Goes, |key| top.press(key, top.page(height))),
                };
                if what == What::Ends {
                    return Ok(());
                }
            }
            Some(picture) = pictures.recv() => match picture {
                Ok(picture) => top.take(picture, boottime()),
                Err(error) => top.fail(&error.to_string()),
            },
            _ = tick.tick() => {}
            _ = terminated.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
            _ = hung_up.recv() => return Ok(()),
        }
    }
}

/// What the person at the terminal does. Reading it blocks, so a thread of its own does, until nobody wants to know.
fn keys() -> mpsc::Receiver<Event> {
    let (tell, told) = mpsc::channel(16);
    std::thread::spawn(move || {
        while !tell.is_closed() {
            let event = match event::poll(KEY) {
                Ok(true) => event::read(),
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            // Without a terminal there is nobody left to look.
            let Ok(event) = event else { return };
            if tell.blocking_send(event).is_err() {
                return;
            }
        }
    });
    told
}

fn key(event: &Event) -> Option<Key> {
    let Event::Key(key) = event else { return None };
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let held = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c') if held => Key::Interrupt,
        KeyCode::Char(_) if held => return None,
        KeyCode::Char(letter) => Key::Letter(letter),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Tab | KeyCode::Right => Key::Next,
        KeyCode::BackTab | KeyCode::Left => Key::Previous,
        _ => return None,
    })
}

/// Pictures, one after the other, as long as they are wished for.
fn pictures(client: Client, mut wanted: mpsc::Receiver<()>) -> mpsc::Receiver<Result<Picture, ClientError>> {
    let (tell, told) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut pace = tokio::time::interval(EVERY);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while wanted.recv().await.is_some() {
            pace.tick().await;
            if tell.send(fetch(&client).await).await.is_err() {
                return;
            }
        }
    });
    told
}

async fn fetch(client: &Client) -> Result<Picture, ClientError> {
    let cluster = client.get("/v1/status").await?;
    let known_by = client.known_by();
    Ok(Picture {
        cluster,
        hosts: list(client, "/v1/hosts", |host: &HostView| host.uuid).await?,
        vms: list(client, "/v1/vms", |vm: &VmView| vm.uuid).await?,
        load: load(client).await?,
        events: client.get::<Vec<EventView>>(&format!("/v1/events?last={EVENTS}")).await?,
        known_by,
    })
}

/// A list that may be long, part by part; `name` says after which one the next part begins.
async fn list<T: DeserializeOwned>(client: &Client, path: &str, name: fn(&T) -> Uuid) -> Result<Vec<T>, ClientError> {
    let mut list: Vec<T> = Vec::new();
    loop {
        let after = list.last().map(|last| format!("&after={}", name(last))).unwrap_or_default();
        let part: Vec<T> = client.get(&format!("{path}?limit={PART}{after}")).await?;
        let is_last = part.len() < PART;
        list.extend(part);
        if is_last {
            return Ok(list);
        }
    }
}

/// What all hosts use. A cluster whose voters have no figures yet is shown without them.
async fn load(client: &Client) -> Result<Vec<HostNow>, ClientError> {
    let mut hosts = Vec::new();
    let mut after = String::new();
    loop {
        let part: NowView = client.get(&format!("/v1/load/now?limit=50{after}")).await?;
        hosts.extend(part.hosts);
        match part.next {
            Some(next) => after = format!("&after={}", segment(&next)),
            None => return Ok(hosts),
        }
    }
}

//! Screens as they were recorded, and what keys and pictures do to them.

use super::*;
use crate::api::{ClusterView, EventView, HostNow, HostView, Share, VmNow, VmView};
use crate::core::command::Want;
use crate::core::state::{Armed, Response};
use crate::core::timing::Profile;
use uuid::Uuid;

fn host(number: usize) -> HostView {
    HostView {
        name: format!("host-{number}"),
        uuid: Uuid::nil(),
        state: "alive".to_owned(),
        votes: number <= 3,
        is_master: number == 1,
        is_witness: false,
        quarantined: false,
        failure_domain: String::new(),
        endpoints: Vec::new(),
        memory_mib: 65_536,
        millicores: 16_000,
        vms: vec!["vm".to_owned(); number],
        fences: Vec::new(),
        watchdog: String::new(),
        records_on: Vec::new(),
        silent_milliseconds: Some(120 + number as u64),
        record_milliseconds: None,
        explanation: Vec::new(),
    }
}

fn vm(number: usize, hosts: usize) -> VmView {
    let view = serde_json::json!({
        "name": format!("vm-{number}"), "uuid": Uuid::nil(), "protected": true, "want": Want::Running,
        "state": "running", "host": format!("host-{}", number % hosts + 1), "epoch": "0.1", "response": Response::Restart,
        "priority": 0, "memory_mib": 1024, "millicores": 2000, "bonds": [], "holders": [], "waits": null,
        "waits_for": "nothing", "proofs": [], "tags": [], "up": "running", "target": null, "health": "unknown", "system": null,
    });
    serde_json::from_value(view).unwrap()
}

fn picture(hosts: usize, vms: usize) -> Picture {
    let load = |number: usize| HostNow {
        name: format!("host-{number}"),
        age_milliseconds: Some(1_000),
        millicores: 16_000,
        busy_millicores: Some(1_600 * number as u64),
        memory_mib: 65_536,
        used_mib: Some(8_192 * number as u64),
        vms: (0..vms)
            .filter(|vm| vm % hosts + 1 == number)
            .map(|vm| VmNow {
                name: format!("vm-{vm}"),
                millicores: 2_000,
                busy_millicores: Some((vm as u64 * 37) % 2_000),
                memory_mib: 1_024,
                used_mib: 700 + vm as u64,
            })
            .collect(),
    };
    Picture {
        cluster: ClusterView {
            name: "lab".to_owned(),
            uuid: Uuid::nil(),
            profile: Profile::Lan,
            armed: Armed::Armed,
            unaware: Vec::new(),
            rearms_in_seconds: None,
            master: Some("host-1".to_owned()),
            term: Some(3),
            generation: 0,
            index: 17,
            voters: vec!["host-1".to_owned(), "host-2".to_owned(), "host-3".to_owned()],
            hosts: Share { all: hosts, good: hosts },
            vms: Share { all: vms, good: vms },
        },
        hosts: (1..=hosts).map(host).collect(),
        vms: (0..vms).map(|number| vm(number, hosts)).collect(),
        load: (1..=hosts).map(load).collect(),
        events: vec![EventView {
            key: "0.1.0".to_owned(),
            at_milliseconds: 1_795_277_172_345,
            kind: "vm-up".to_owned(),
            vm: None,
            host: None,
            by: None,
            reason: None,
            text: "vm-1 runs on host-1\u{1b}[2J".to_owned(),
        }],
        known_by: None,
    }
}

/// Host 2 is silent; of its VMs one waits for a proof, one starts elsewhere.
fn trouble() -> Picture {
    let mut picture = picture(3, 6);
    picture.cluster.hosts.good = 2;
    picture.cluster.vms.good = 4;
    if let Some(host) = picture.hosts.get_mut(1) {
        host.state = "judged".to_owned();
        host.silent_milliseconds = Some(2_400);
    }
    for (number, state, waits_for, at) in [(1, "waiting", "proof", "host-2"), (4, "starting", "starting", "host-3")] {
        let vm = &mut picture.vms[number];
        vm.state = state.to_owned();
        vm.waits_for = waits_for.to_owned();
        vm.host = Some(at.to_owned());
        vm.waits =
            Some(if state == "waiting" { "a proof that host-2 is dead" } else { "its start on host-3" }.to_owned());
    }
    picture
}

fn press(top: &mut Top, keys: &[Key]) {
    keys.iter().for_each(|key| assert_eq!(top.press(*key, 10), What::Goes));
}

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn shown(picture: Picture) -> Top {
    let mut top = Top::new(Tab::Hosts, Paint::Plain);
    top.take(picture, at(100));
    top
}

#[test]
fn hosts_and_what_is_on_the_way_fit_on_a_small_terminal() {
    let mut top = shown(picture(3, 6));
    top.take(trouble(), at(101));
    let expected = "\
lab  armed  master host-1 (term 3)
2/3 hosts  4/6 VMs run  3 voters
[1 Hosts 3] 2 VMs 6  3 Recoveries 2  4 Events 1   by state
HOST          STATE      ROLE    HEARD   CPU              MEMORY           VMS
host-2        judged     voter   2.4s    ██░░░░░░░░  20%  ███░░░░░░░  25%  2
host-1        alive      master  121ms   █░░░░░░░░░  10%  █░░░░░░░░░  12%  1
host-3        alive      voter   123ms   ███░░░░░░░  30%  ████░░░░░░  37%  3


ON THE WAY       STAGE   SO FAR   WAITS FOR
vm-1             prove   3.4s     a proof that host-2 is dead
vm-4             start   3.4s     its start on host-3
q quit  Tab next  s sort  r reverse  / filter  p pause  ? help";
    assert_eq!(text(&top, at(102), 80, 13), expected);
}

#[test]
fn vms_are_sorted_filtered_and_turned() {
    let mut top = shown(trouble());
    let names = |top: &Top| top.vms().iter().map(|(vm, _)| vm.name.clone()).collect::<Vec<String>>().join(" ");
    top.press(Key::Letter('2'), 10);
    assert_eq!(names(&top), "vm-1 vm-4 vm-0 vm-2 vm-3 vm-5");
    top.press(Key::Letter('s'), 10);
    assert_eq!(names(&top), "vm-0 vm-1 vm-2 vm-3 vm-4 vm-5");
    top.press(Key::Letter('r'), 10);
    assert_eq!(names(&top), "vm-5 vm-4 vm-3 vm-2 vm-1 vm-0");
    press(&mut top, &[Key::Letter('/'), Key::Letter('H'), Key::Letter('x'), Key::Backspace]);
    press(&mut top, &['o', 's', 't', '-', '3'].map(Key::Letter));
    press(&mut top, &[Key::Enter]);
    assert_eq!(names(&top), "vm-5 vm-4 vm-2");
    assert!(text(&top, at(100), 80, 24).contains("only \"Host-3\""));
    top.press(Key::Escape, 10);
    press(&mut top, &[Key::Letter('s'), Key::Letter('s')]);
    top.press(Key::Letter('r'), 10);
    assert_eq!(names(&top), "vm-5 vm-4 vm-3 vm-2 vm-1 vm-0", "who uses most CPU");
    assert_eq!(top.press(Key::Letter('q'), 10), What::Ends);
}

#[test]
fn twenty_thousand_vms_are_paged_through() {
    let mut top = shown(picture(10, 20_000));
    top.press(Key::Letter('2'), 10);
    let page = top.page(24);
    top.press(Key::End, page);
    let screen = text(&top, at(100), 80, 24);
    assert!(screen.contains("vm-9999 ") && screen.lines().count() == 24, "{screen}");
    top.press(Key::PageUp, page);
    assert!(!text(&top, at(100), 80, 24).contains("vm-9999 "));
    // Fewer came than were shown: the last ones are shown, not nothing.
    top.press(Key::End, page);
    top.take(picture(10, 12), at(101));
    assert!(text(&top, at(101), 80, 24).contains("vm-11 "));
}

#[test]
fn a_cluster_that_falls_silent_is_shown_as_it_was_and_says_so() {
    let mut top = Top::new(Tab::Hosts, Paint::Plain);
    assert!(text(&top, at(99), 80, 24).starts_with("asking the cluster ..."));
    top.fail("127.0.0.1:1 does not answer: refused\n  hint: x");
    assert!(text(&top, at(99), 80, 24).starts_with("127.0.0.1:1 does not answer: refused"));
    top.take(picture(3, 6), at(100));
    top.fail("there is no master");
    let screen = text(&top, at(107), 80, 24);
    assert!(screen.contains("7.0s old: there is no master") && screen.contains("host-3"), "{screen}");
    let mut alone = picture(3, 6);
    (alone.cluster.master, alone.known_by) = (None, Some("host-2".to_owned()));
    top.take(alone, at(108));
    let screen = text(&top, at(108), 80, 24);
    assert!(screen.contains("NO MASTER") && screen.contains("no master: this is what host-2 knew"), "{screen}");
}

#[test]
fn who_pauses_sees_the_same_picture() {
    let mut top = shown(picture(3, 6));
    top.press(Key::Letter('p'), 10);
    top.take(trouble(), at(104));
    let screen = text(&top, at(105), 80, 24);
    assert!(screen.contains("PAUSED 5.0s ago") && screen.contains("3/3 hosts"), "{screen}");
    top.press(Key::Letter('p'), 10);
    top.take(trouble(), at(106));
    assert!(text(&top, at(106), 80, 24).contains("2/3 hosts"));
}

#[test]
fn how_long_is_known_only_from_a_silence_or_from_the_beginning() {
    let mut top = shown(trouble());
    top.press(Key::Letter('3'), 10);
    let screen = text(&top, at(103), 80, 24);
    assert!(screen.contains("vm-1             prove   5.4s"), "{screen}");
    assert!(screen.contains("vm-4             start   >3.0s"), "it may have been longer: {screen}");
    top.take(picture(3, 6), at(104));
    assert!(!text(&top, at(104), 80, 24).contains("vm-1 "));
}

#[test]
fn whatever_the_size_it_is_drawn() {
    let mut top = shown(trouble());
    top.press(Key::Letter('?'), 10);
    for (width, height) in [(1, 1), (3, 2), (10, 5), (40, 10), (80, 24), (300, 90)] {
        for tab in Tab::ALL {
            top.tab = tab;
            assert_eq!(text(&top, at(100), width, height).split('\n').count(), usize::from(height));
        }
    }
    assert!(text(&top, at(100), 80, 24).contains("pause: the picture stands still"));
    top.press(Key::Letter('?'), 10);
    top.press(Key::Previous, 10);
    assert_eq!(top.tab, Tab::Recoveries);
    top.press(Key::Next, 10);
    let screen = text(&top, at(100), 80, 24);
    assert!(screen.contains("16:06:12.345 vm-1 runs on host-1?[2J"), "{screen}");
}

#[test]
fn colours_are_used_only_where_they_are_wanted() {
    use ratatui::buffer::Buffer;
    use ratatui::layout::Rect;
    use ratatui::style::Color;
    let area = Rect::new(0, 0, 80, 24);
    let coloured = |paint| {
        let mut top = Top::new(Tab::Hosts, paint);
        top.take(trouble(), at(100));
        let mut buffer = Buffer::empty(area);
        draw(&top, at(100), area, &mut buffer);
        buffer.content().iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
    };
    assert_eq!(coloured(Paint::Plain), 0);
    assert!(coloured(Paint::Colours) > 10);
}

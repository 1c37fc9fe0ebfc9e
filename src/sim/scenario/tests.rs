use super::*;
use crate::core::ids::{DatastoreId, FenceId, HostId};
use crate::core::message::Watchdog;
use crate::core::reason::HostState;
use crate::core::state::{Isolation, Response};
use crate::core::timing::Profile;
use crate::sim::scenario::expect::{Demand, EndState};

fn parse(text: &str) -> Result<Scenario, Problem> {
    Scenario::parse("test", Path::new("story/scenario.toml"), text)
}

fn problem(text: &str) -> Problem {
    parse(text).expect_err("the scenario is wrong")
}

/// Asserts the line, a part of what is said, and a part of the hint.
fn assert_problem(text: &str, line: usize, what: &str, hint: &str) {
    let problem = problem(text);
    assert_eq!(problem.line, line, "{problem}");
    assert!(problem.what.contains(what), "{problem}");
    assert!(problem.hint.as_deref().unwrap_or_default().contains(hint), "{problem}");
    assert!(problem.to_string().starts_with(&format!("story/scenario.toml:{line}: ")), "{problem}");
}

#[test]
fn a_template_makes_a_whole_cluster() {
    let scenario = parse("[cluster]\nhosts = 3\nvms = 4\ndatastores = 2\nwitness = true").expect("valid");
    let world = &scenario.world;
    assert_eq!(world.hosts.len(), 4);
    let second = &world.hosts[&HostId(2)];
    assert_eq!(second.name, "host-2");
    assert!(matches!(second.watchdog, Watchdog::Hardware { timeout } if timeout == Duration::from_secs(4)));
    assert_eq!(second.fences, vec![vec![FenceId(2)]]);
    assert_eq!(world.fences[&FenceId(2)].controls, HostId(2));
    assert_eq!(second.datastores.len(), 2);
    let witness = &world.hosts[&HostId(4)];
    assert_eq!((witness.name.as_str(), witness.memory_mib, witness.fences.len()), ("witness", 0, 0));
    let votes: Vec<bool> = world.hosts.values().map(|host| host.votes).collect();
    assert_eq!(votes, [true, true, true, false]);
    let homes: Vec<u32> = world.vms.iter().filter_map(|vm| Some(vm.definition.home?.0)).collect();
    assert_eq!(homes, [1, 2, 3, 1]);
    assert!(world.armed && scenario.events.is_empty());
}

#[test]
fn entries_override_the_template_by_name() {
    let text = r#"
seed = 9
profile = "fast"
armed = false
policy = { brake_percent = 20, isolation = "release" }
[cluster]
hosts = 2
[nature]
start = ["1s", "2s"]
kill = "5ms"
[[datastore]]
name = "gold"
locks = true
[[network]]
name = "guests"
[[fence]]
name = "pdu"
controls = "host-1"
latency = "3s"
[[host]]
name = "host-1"
cpu = 2.5
memory = "8GiB"
watchdog = "none"
fences = [["fence-1", "pdu"], "fence-1"]
tags = ["old"]
failure_domain = "rack-a"
drift_ppm = -200
on = false
votes = false
[[host]]
name = "big"
[[vm]]
name = "web"
home = "big"
intent = "stopped"
response = "restart-without-lease"
priority = 200
datastores = "gold"
networks = ["guests"]
protected = false
"#;
    let world = parse(text).expect("valid").world;
    assert_eq!((world.seed, world.profile, world.armed), (9, Profile::Fast, false));
    assert_eq!((world.policy.brake_percent, world.policy.isolation), (20, Isolation::Release));
    assert_eq!(world.policy.parallel_starts, 8);
    assert_eq!(world.nature.start, (Duration::from_secs(1), Duration::from_secs(2)));
    let host = &world.hosts[&HostId(1)];
    assert_eq!((host.millicores, host.memory_mib, host.watchdog), (2_500, 8_192, Watchdog::None));
    let pdu = *world.fences.iter().find(|(_, fence)| fence.name == "pdu").expect("it is there").0;
    assert_eq!(host.fences, vec![vec![FenceId(1), pdu], vec![FenceId(1)]]);
    assert_eq!((host.drift_ppm, host.on, host.votes), (-200, false, false));
    let vm = &world.vms[0];
    assert_eq!((vm.definition.home, vm.wanted, vm.protected), (Some(HostId(3)), false, false));
    assert_eq!((vm.definition.response, vm.definition.priority), (Response::RestartWithoutLease, 200));
    assert_eq!(vm.definition.datastores, [DatastoreId(2)].into());
    assert!(vm.definition.locked, "its only datastore keeps locks");
}

#[test]
fn expectations_count_from_the_event_that_they_name() {
    let text = r#"
[cluster]
hosts = 3
vms = 1
[[event]]
at = "10s"
do = "power-off"
host = "host-1"
name = "dark"
[[expect]]
vm = "vm-1"
on = ["host-2", "host-3"]
proof = "fenced"
after = "dark"
not_before = "1s"
by = "6s"
[[expect]]
host = "host-1"
state = "dead"
by = "15s"
[[expect]]
vm = "all"
state = "running"
[[expect]]
alert = "brake"
never = true
[[expect]]
violations = "excused"
"#;
    let scenario = parse(text).expect("valid");
    let [runs, dead, ends, brake] = scenario.expectations.each.as_slice() else {
        panic!("{:?}", scenario.expectations);
    };
    assert!(matches!(&runs.what, Demand::Runs { proof: Some(proof), on, .. } if proof == "fenced" && on.len() == 2));
    assert_eq!(runs.line, 10);
    assert_eq!((runs.window.after.as_secs(), runs.window.not_before.as_secs()), (10, 11));
    assert_eq!(runs.window.by, Some(Duration::from_secs(16)));
    assert_eq!(dead.what, Demand::HostState { host: HostId(1), state: HostState::Dead });
    assert!(matches!(&ends.what, Demand::Ends { state: EndState::Running, vms } if vms.len() == 1));
    assert_eq!(brake.polarity, expect::Polarity::Never);
    assert!(scenario.expectations.excused);
    assert_eq!(scenario.duration, Duration::from_secs(70));
}

#[test]
fn what_is_wrong_is_found_in_its_line() {
    let world = "[cluster]\nhosts = 2\nvms = 1\n";
    let cases = [
        ("seed = = 3", 1, "no TOML", ""),
        ("[cluster]\nhosts = 3\nhsots = 4", 3, "[cluster] has no key `hsots`", "did you mean \"hosts\"?"),
        ("[cluster]\nhosts = \"3\"", 2, "`hosts` must be a whole number, not a text", ""),
        ("[cluster]\nhosts = -3", 2, "`hosts` cannot be -3", ""),
        ("seed = 3", 1, "there is no host", "[cluster]"),
        ("[policy]\nbrake_prcent = 3\n[cluster]\nhosts = 1", 2, "`brake_prcent`", "\"brake_percent\""),
        ("[policy]\nisolation = \"flee\"\n[cluster]\nhosts = 1", 2, "`isolation`", ""),
        ("profile = \"wan\"\n[cluster]\nhosts = 1", 1, "`profile` cannot be \"wan\"", "lan and fast"),
        ("evnet = 3\n[cluster]\nhosts = 1", 1, "a scenario has no key `evnet`", "did you mean \"event\"?"),
        ("[cluster]\nhosts = 1\n\n[[host]]\ncpu = 1", 4, "[[host]] needs `name`", ""),
        ("[cluster]\nhosts = 1\n[[fence]]\nname = \"pdu\"", 3, "fence \"pdu\" is new", "fence-1"),
    ];
    for (text, line, what, hint) in cases {
        assert_problem(text, line, what, hint);
    }
    let tails = [
        ("[[event]]\nat = \"1 parsec\"\ndo = \"heal\"", 5, "is no duration", ""),
        ("[[event]]\nat = 5\ndo = \"heal\"", 5, "`at` must be a duration such as \"12s\"", ""),
        ("[[event]]\nat = \"5s\"\ndo = \"pwoer-off\"", 6, "nothing is called \"pwoer-off\"", "\"power-off\""),
        ("[[event]]\nat = \"5s\"\ndo = \"power-off\"", 4, "the event \"power-off\" needs `host`", ""),
        (
            "[[event]]\nat = \"5s\"\ndo = \"power-off\"\nhost = \"host-9\"",
            7,
            "there is no host \"host-9\"",
            "there is host-1 and host-2",
        ),
        ("[[event]]\nat = \"5s\"\ndo = \"heal\"\nhots = \"host-1\"", 7, "the event \"heal\" has no key `hots`", ""),
        ("[[expect]]\nalert = \"brakes\"", 5, "`alert` cannot be \"brakes\"", "did you mean \"brake\"?"),
        ("[[expect]]\nrefusal = \"old-epok\"", 5, "\"old-epok\"", "did you mean \"old-epoch\"?"),
        ("[[expect]]\nvm = \"vm-1\"", 4, "must say what is expected", "never_on"),
        ("[[expect]]\nby = \"3s\"", 4, "is about one thing", "vm = "),
        ("[[expect]]\nvm = \"vm-1\"\non = \"host-1\"\nafter = \"dusk\"", 7, "neither a time nor an event's name", ""),
        ("[[expect]]\nvm = \"vm-1\"\nstate = \"running\"\nby = \"3s\"", 4, "at the end", ""),
        ("[[vm]]\nname = \"a\"\n[[vm]]\nname = \"a\"", 6, "has an entry already", ""),
    ];
    for (tail, line, what, hint) in tails {
        assert_problem(&format!("{world}{tail}"), line, what, hint);
    }
    assert_problem(
        &format!("duration = \"3s\"\n{world}[[event]]\nat = \"5s\"\ndo = \"heal\""),
        1,
        "beyond `duration`",
        "longer",
    );
}

//! The rules. Each takes text and returns what is wrong with it.

use crate::source::{Keep, functions, lines_naming, masked, with_full_paths, without_tests};

/// No Rust file has more lines.
const FILE_LINES: usize = 450;
/// No function outside a test module has more lines.
const FUNCTION_LINES: usize = 75;

/// What the top level holds, beside dotfiles. `hosts` is what a host gets, `openstack` what a cloud gets.
const TOP_LEVEL: [&str; 9] =
    ["Cargo.toml", "Cargo.lock", "README.md", "LICENSE", "src", "hosts", "openstack", "scripts", "tests"];

/// What reads or changes the world outside the process, or prints.
const WORLD: [&str; 14] = [
    "std::fs",
    "std::net",
    "std::process",
    "std::io",
    "std::env",
    "std::thread",
    "tokio",
    "reqwest",
    "rusqlite",
    "println!",
    "print!",
    "eprintln!",
    "eprint!",
    "unsafe",
];
/// What gives another answer at another time, or in another run.
const CHANCE: [&str; 7] =
    ["SystemTime", "std::time::Instant", "rand", "getrandom", "HashMap", "HashSet", "std::thread::sleep"];

/// A folder of `src`, what its files must not name, and which of our own modules they may.
struct Layer {
    folder: &'static str,
    forbidden: &'static [&'static [&'static str]],
    modules: Option<&'static [&'static str]>,
}

const LAYERS: [Layer; 7] = [
    Layer { folder: "src/core/", forbidden: &[&WORLD, &CHANCE, &["raft", "protobuf"]], modules: Some(&["core"]) },
    Layer { folder: "src/election/", forbidden: &[&WORLD, &CHANCE], modules: Some(&["core", "election"]) },
    Layer {
        folder: "src/node/",
        forbidden: &[&WORLD, &CHANCE],
        modules: Some(&["core", "election", "ledger", "node"]),
    },
    Layer { folder: "src/wire/", forbidden: &[&WORLD, &CHANCE], modules: Some(&["core", "election", "node", "wire"]) },
    Layer { folder: "src/ledger/", forbidden: &[&WORLD, &CHANCE], modules: Some(&["core", "ledger"]) },
    Layer {
        folder: "src/explain/",
        forbidden: &[&WORLD, &CHANCE],
        modules: Some(&["core", "explain", "ledger", "words"]),
    },
    Layer { folder: "src/sim/", forbidden: &[&CHANCE], modules: None },
];

/// Files that may name one forbidden thing: the path, the name, and why.
const EXCEPTIONS: [(&str, &str, &str); 0] = [];

/// The files that [`layer_findings`] treats specially.
pub fn excepted_files() -> impl Iterator<Item = &'static str> {
    EXCEPTIONS.iter().map(|(path, _, _)| *path)
}

/// A layer that names what it must not: `core`, `election` and `node` do no I/O, and nothing hangs on clock or chance.
pub fn layer_findings(path: &str, source: &str) -> Vec<String> {
    let Some(layer) = LAYERS.iter().find(|layer| path.starts_with(layer.folder)) else {
        return Vec::new();
    };
    let code = with_full_paths(&without_tests(&masked(source, Keep::CodeOnly)));
    let mut findings = Vec::new();
    for &wanted in layer.forbidden.iter().copied().flatten() {
        let excepted = EXCEPTIONS.iter().any(|&(file, name, _)| file == path && name == wanted);
        if !excepted && !lines_naming(&code, wanted).is_empty() {
            findings.push(format!("{path}: {} must not name {wanted}", layer.folder));
        }
    }
    let Some(modules) = layer.modules else {
        return findings;
    };
    for (at, _) in code.match_indices("crate::") {
        let rest = code[at + "crate::".len()..].trim_start();
        let module: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        // An empty name is the brace of a `use` tree, whose branches follow, spelt out.
        let finding = format!("{path}: {} must not depend on crate::{module}", layer.folder);
        if !module.is_empty() && !modules.contains(&module.as_str()) && !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    findings
}

/// A file or function that no longer fits into a head.
pub fn length_findings(path: &str, source: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = source.lines().count();
    if lines > FILE_LINES {
        findings.push(format!("{path}: {lines} lines, {FILE_LINES} is the limit: split it by what it does"));
    }
    let code = without_tests(&masked(source, Keep::CodeOnly));
    for (name, line, lines) in functions(&code) {
        if lines > FUNCTION_LINES {
            findings.push(format!("{path}:{line}: fn {name} has {lines} lines, {FUNCTION_LINES} is the limit"));
        }
    }
    findings
}

/// Files that may hold unsafe code: the path, and which calls it wraps.
const UNSAFE: [(&str, &str); 2] = [
    ("src/libvirt/raw.rs", "what the crate for libvirt lacks: events, reasons and jobs"),
    ("src/watchdog/raw.rs", "ioctl on a watchdog, and a descriptor from the service manager"),
];

/// Unsafe code where it has no business, or without a word on why it is sound.
pub fn unsafe_findings(path: &str, source: &str) -> Vec<String> {
    let code = masked(source, Keep::CodeOnly);
    if lines_naming(&code, "unsafe").is_empty() && lines_naming(&code, "unsafe_code").is_empty() {
        return Vec::new();
    }
    if !UNSAFE.iter().any(|(file, _)| *file == path) {
        return vec![format!("{path}: unsafe code belongs into the files that UNSAFE in tests/tidy/rules.rs names")];
    }
    let text: Vec<&str> = source.lines().collect();
    let argued =
        |line: &usize| (1..=3).any(|up| text.get(line.wrapping_sub(1 + up)).is_some_and(|t| t.contains("SAFETY:")));
    // Functions say under `# Safety` what they presume; here it is about those who call them.
    let uses = code.lines().enumerate().filter(|(_, line)| line.contains("unsafe {")).map(|(above, _)| above + 1);
    let bare = uses.filter(|line| !argued(line));
    bare.map(|line| format!("{path}:{line}: unsafe without a SAFETY comment right above")).collect()
}

/// Work that was put off, and tests that are switched off.
pub fn leftover_findings(path: &str, source: &str) -> Vec<String> {
    let code = masked(source, Keep::CodeOnly);
    let commented = masked(source, Keep::CodeAndComments);
    let in_code = ["todo!", "unimplemented!", "dbg!", "#[ignore"].map(|word| (word, &code));
    let anywhere = ["TODO", "FIXME", "XXX"].map(|word| (word, &commented));
    let mut findings = Vec::new();
    for (word, text) in in_code.into_iter().chain(anywhere) {
        for line in lines_naming(text, word) {
            findings.push(format!("{path}:{line}: {word} is left over: finish it"));
        }
    }
    findings
}

/// A script that cannot be run, or does not open with what it is for.
pub fn script_findings(path: &str, mode: u32, text: &str) -> Vec<String> {
    let mut lines = text.lines();
    let shebang = lines.next().is_some_and(|line| line.starts_with("#!/"));
    let comment = lines.next().is_some_and(|line| line.starts_with("# ") && line.len() > 10);
    let checks = [
        (mode & 0o111 == 0o111, "is not executable"),
        (shebang, "has no shebang"),
        (comment, "does not say in its second line, a comment, what it does"),
    ];
    checks.iter().filter(|(good, _)| !good).map(|(_, wrong)| format!("{path} {wrong}")).collect()
}

/// A scenario that lacks its story, its input or the record that is expected of it.
pub fn scenario_findings(folder: &str, names: &[String]) -> Vec<String> {
    let needed = ["README.md", "scenario.toml", "expected"];
    let missing = needed.iter().filter(|needed| !names.iter().any(|name| name == *needed));
    missing.map(|name| format!("{folder} has no {name}")).collect()
}

/// A manifest that dropped a lint, or ships what breaks the protocol on purpose.
pub fn manifest_findings(text: &str) -> Vec<String> {
    let manifest: toml::Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![format!("Cargo.toml does not parse: {error}")],
    };
    let lint = |tool: &str, name: &str| {
        let level = manifest.get("lints")?.get(tool)?.get(name)?;
        level.as_str().or_else(|| level.get("level")?.as_str())
    };
    let mut findings = Vec::new();
    if !matches!(lint("rust", "unsafe_code"), Some("deny" | "forbid")) {
        findings.push("Cargo.toml must deny unsafe_code".to_owned());
    }
    let on = ["unwrap_used", "expect_used", "panic", "too_many_lines", "disallowed_types", "disallowed_methods"];
    for name in on.into_iter().filter(|name| !matches!(lint("clippy", name), Some("warn" | "deny" | "forbid"))) {
        findings.push(format!("Cargo.toml must turn on the lint clippy::{name}"));
    }
    let features = manifest.get("features").and_then(toml::Value::as_table);
    for (name, parts) in features.into_iter().flatten() {
        let names_sabotage = parts.as_array().is_some_and(|parts| parts.iter().any(|p| p.as_str() == Some("sabotage")));
        if names_sabotage {
            findings.push(format!("Cargo.toml: the feature {name} must not bring in sabotage"));
        }
    }
    findings
}

/// Something at the top level that is no part of the house.
pub fn top_level_findings(files: &[String]) -> Vec<String> {
    let mut tops: Vec<&str> = files.iter().map(|path| path.split('/').next().unwrap_or(path)).collect();
    tops.dedup();
    let strange = tops.into_iter().filter(|top| !top.starts_with('.') && !TOP_LEVEL.contains(top));
    strange.map(|top| format!("{top} does not belong at the top level")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn core_may_not_reach_out() {
        let bad = [
            "use std::fs;",
            "use std::{collections::BTreeMap, net::UdpSocket};",
            "use std::time::{Duration, Instant};",
            "fn f() { let t = std::time::SystemTime::now(); }",
            "use std::collections::HashMap;",
            "fn f() { println!(\"x\"); }",
            "use raft::RawNode;",
            "fn f() -> u8 { rand::random() }",
            "use crate::sim::World;",
            "use crate::{core::ids::HostId, election::Node};",
            "fn f() { crate::runtime::go() }",
        ];
        for source in bad {
            assert_eq!(layer_findings("src/core/judge.rs", source).len(), 1, "{source}");
        }
    }

    #[test]
    fn core_may_think() {
        let good = "//! No std::fs here.\nuse crate::core::{ids::HostId, time::Instant};\nuse std::time::Duration;\n\
                    pub(crate) const NAME: &str = \"rand\"; fn operand(brand: u8) {}\n\
                    #[cfg(test)]\nmod tests { use std::fs; }";
        assert_eq!(layer_findings("src/core/judge.rs", good), Vec::<String>::new());
        assert_eq!(layer_findings("src/main.rs", "use std::fs;"), Vec::<String>::new());
    }

    #[test]
    fn other_layers_have_their_own_limits() {
        assert!(layer_findings("src/election/node.rs", "use raft::RawNode;").is_empty());
        assert_eq!(layer_findings("src/election/node.rs", "use std::io::Read;").len(), 1);
        assert_eq!(layer_findings("src/election/node.rs", "use crate::sim::Seed;").len(), 1);
        assert_eq!(layer_findings("src/node/mod.rs", "use crate::sim::Seed; use crate::election::Node;").len(), 1);
        assert!(layer_findings("src/sim/world.rs", "use std::fs; use crate::core::Core;").is_empty());
        assert_eq!(layer_findings("src/sim/world.rs", "use std::collections::{BTreeMap, HashSet};").len(), 1);
        assert_eq!(layer_findings("src/sim/world.rs", "fn f() { std::time::Instant::now(); }").len(), 1);
    }

    #[test]
    fn length_is_limited() {
        let long_file = "\n".repeat(FILE_LINES + 1);
        assert_eq!(length_findings("a.rs", &long_file).len(), 1);
        let long_function = format!("fn f() {{{}}}", "\n".repeat(FUNCTION_LINES));
        assert_eq!(length_findings("a.rs", &long_function).len(), 1);
        let in_tests = format!("#[cfg(test)]\nmod tests {{ {long_function} }}");
        assert!(length_findings("a.rs", &in_tests).is_empty());
        assert!(length_findings("a.rs", &format!("fn f() {{{}}}", "\n".repeat(FUNCTION_LINES - 1))).is_empty());
    }

    #[test]
    fn leftovers_are_found_in_code_and_comments() {
        let bad = ["fn f() { todo!() }", "dbg!(x);", "#[ignore = \"slow\"]\n#[test]", "// TODO: x", "/* FIXME */"];
        for source in bad {
            assert_eq!(leftover_findings("a.rs", source).len(), 1, "{source}");
        }
        assert!(leftover_findings("a.rs", "let word = \"TODO\"; // todo! is a macro").is_empty());
    }

    #[test]
    fn unsafe_code_is_found() {
        let argued = "// SAFETY: it is one int.\nlet x = unsafe { f() };";
        assert_eq!(unsafe_findings("src/a.rs", argued).len(), 1);
        assert!(unsafe_findings("src/a.rs", "// unsafe\nlet x = \"unsafe\";").is_empty());
        assert!(unsafe_findings("src/watchdog/raw.rs", argued).is_empty());
        assert_eq!(unsafe_findings("src/watchdog/raw.rs", "let x = unsafe { f() };").len(), 1);
    }

    #[test]
    fn scripts_are_checked() {
        assert!(script_findings("s", 0o755, "#!/bin/bash\n# Runs every test.\n").is_empty());
        assert_eq!(script_findings("s", 0o644, "#!/bin/bash\n# Runs every test.\n").len(), 1);
        assert_eq!(script_findings("s", 0o755, "echo\n").len(), 2);
    }

    #[test]
    fn scenarios_are_checked() {
        assert!(scenario_findings("s", &text(&["README.md", "scenario.toml", "expected"])).is_empty());
        assert_eq!(scenario_findings("s", &text(&["README.md", "expected"])), ["s has no scenario.toml"]);
    }

    #[test]
    fn the_manifest_is_checked() {
        assert_eq!(manifest_findings("[features]\nsabotage = []\ndefault = [\"sabotage\"]").len(), 8);
        assert_eq!(manifest_findings("[").len(), 1);
    }

    #[test]
    fn the_top_level_is_checked() {
        assert!(top_level_findings(&text(&[".ci/run", "src/lib.rs", "README.md"])).is_empty());
        let found = top_level_findings(&text(&["notes.md", "src/lib.rs"]));
        assert_eq!(found, ["notes.md does not belong at the top level"]);
    }
}

//! What monitoring relies on: the members of the JSON objects that the manual describes.

use crate::common::*;
use crate::*;
use nix::unistd::geteuid;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

const FILE_SYSTEM: &[&str] = &[
    "size",
    "used",
    "free",
    "inodes",
    "inodes_used",
    "inodes_free",
];
const PLACE: &[&str] = &[
    "place",
    "pid",
    "container",
    "cgroup",
    "device",
    "filesystem",
];
const SUMMARY: &[&str] = &[
    "shmem",
    "difference",
    "kinds",
    "uninspected_processes",
    "uncounted_ipc_namespaces",
    "container",
];
const KINDS: &[&str] = &[
    "named",
    "semaphores",
    "directories",
    "unlinked",
    "memfds",
    "anonymous",
    "driver_buffers",
    "system_v",
    "other_containers",
    "other_tmpfs",
    "devtmpfs",
];

fn json(args: &[&str]) -> Value {
    let ended = run(shmtool(["ls", "-J"]).args(args));
    assert!(ended.status.success(), "{ended:?}");
    serde_json::from_slice(&ended.stdout).unwrap()
}

#[track_caller]
fn assert_keys(object: &Value, expected: &[&str]) {
    let keys: BTreeSet<_> = object.as_object().unwrap().keys().collect();
    let expected: BTreeSet<_> = expected.iter().map(|key| key.to_string()).collect();
    assert_eq!(keys, expected.iter().collect(), "{object:#}");
}

#[test]
fn the_members_are_those_of_the_manual() {
    in_private_system(SHM, || {
        fs::write("/dev/shm/x", "text").unwrap();
        let container = geteuid()
            .is_root()
            .then(|| Container::start("echo >/dev/shm/y\n"));
        let listed = json(&["--everywhere", "-o", "name"]);
        assert_keys(&listed, &["objects", "filesystem", "places"]);
        let places = listed["places"].as_array().unwrap();
        assert_eq!(places.len(), 1 + usize::from(container.is_some()));
        for place in places {
            assert_keys(place, PLACE);
            let space = &place["filesystem"];
            assert_keys(space, FILE_SYSTEM);
            let number = |key: &str| space[key].as_u64().unwrap();
            assert_eq!((number("size"), number("used")), (4 << 20, 4096), "{space}");
            assert_eq!(number("free"), number("size") - number("used"));
            assert_eq!(
                number("inodes_free"),
                number("inodes") - number("inodes_used")
            );
        }
        assert_eq!(listed["filesystem"], places[0]["filesystem"]);
        assert_keys(&json(&[]), &["objects", "filesystem"]);

        let summary = json(&["--summary"]);
        assert_keys(&summary, SUMMARY);
        assert_keys(&summary["kinds"], KINDS);
        for (kind, row) in summary["kinds"].as_object().unwrap() {
            let mut keys = vec!["count", "bytes", "partial"];
            if ["other_containers", "other_tmpfs", "devtmpfs"].contains(&kind.as_str()) {
                keys.push("file_systems");
            }
            assert_keys(row, &keys);
        }
        let manual = fs::read_to_string(project_file("src/cli/notes/ls.txt")).unwrap();
        let schema = manual.split("EXIT STATUS").next().unwrap();
        let words: BTreeSet<_> = schema
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .collect();
        for key in [FILE_SYSTEM, PLACE, SUMMARY, KINDS].concat() {
            assert!(words.contains(key), "{key}");
        }
    });
}

/// The example in the manual that writes metrics.
fn metrics_example() -> String {
    let examples = fs::read_to_string(project_file("src/cli/examples/ls.txt")).unwrap();
    let lines = examples.lines().map(str::trim_start);
    let lines = lines.skip_while(|line| !line.contains("> places.json"));
    let mut script = String::new();
    for line in lines.take_while(|line| !line.starts_with("$ grep")) {
        script += &line[2..];
        script.push('\n');
    }
    assert!(script.ends_with("mv shm.prom.new shm.prom\n"), "{script}");
    script
}

#[test]
fn the_example_writes_metrics_that_prometheus_can_read() {
    in_private_system(SHM, || {
        if Command::new("jq").arg("--version").output().is_err() {
            return skipped("no jq");
        }
        let containers: Vec<_> = (0..2)
            .filter(|_| geteuid().is_root())
            .map(|_| Container::start("echo >/dev/shm/y\n"))
            .collect();
        let directory = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-ec", &metrics_example()]);
        shell.current_dir(directory.path());
        let ended = run(shell.env("PATH", search_path(directory.path())));
        assert!(ended.status.success(), "{ended:?}");
        let text = fs::read_to_string(directory.path().join("shm.prom")).unwrap();
        let mut series = BTreeSet::new();
        for line in text.lines() {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<u64>().is_ok(), "{line}");
            let (metric, labels) = name.split_once('{').unwrap_or((name, "}"));
            assert!(
                metric.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
                "{line}"
            );
            for label in labels.strip_suffix('}').unwrap().split(',') {
                let quotes = label.matches('"').count();
                assert!(
                    label.is_empty() || (quotes == 2 && label.ends_with('"')),
                    "{line}"
                );
            }
            // The same labels twice would make the collector reject the whole file.
            assert!(series.insert(name.to_owned()), "{line}");
        }
        // Lines of one metric follow each other.
        let mut metrics: Vec<_> = text
            .lines()
            .map(|line| line.split(['{', ' ']).next())
            .collect();
        metrics.dedup();
        let distinct: BTreeSet<_> = metrics.iter().collect();
        assert_eq!(metrics.len(), distinct.len(), "{text}");
        for container in &containers {
            let labels = format!(
                "place=\"{}\",pid=\"{}\"",
                container.place(),
                container.pid()
            );
            for key in FILE_SYSTEM {
                assert!(series.contains(&format!("shm_{key}{{{labels}}}")), "{text}");
            }
        }
        assert!(
            series.contains("shmem_bytes") && series.contains("shm_kind_bytes{kind=\"named\"}")
        );
    });
}

//! The rules for imports in `src/`: they point down, and there are no cycles.
//!
//! From top to bottom: `main`, `commands`, `exit` and `cli`, `objects`, `notation`, `sys`. This reads the `use` lines,
//! and follows each to the file that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the crate, each as its path (`sys::shm::name`), with the modules that it imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// The layers from bottom to top. A module may import from its own layer and from lower ones.
const LAYERS: [&[&str]; 6] = [
    &["sys"],
    &["notation"],
    &["objects"],
    &["exit", "cli"],
    &["commands"],
    &["main"],
];

fn source_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => source_files(&path, files),
            false => files.extend((path.extension().unwrap_or_default() == "rs").then_some(path)),
        }
    }
}

/// `sys::shm::name` for `src/sys/shm/name.rs`, and `sys::shm` for `src/sys/shm/mod.rs`.
fn module_of(file: &Path, source: &Path) -> String {
    let path = file.strip_prefix(source).unwrap().with_extension("");
    let mut parts: Vec<_> = path
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts.join("::")
}

/// The paths that `use` lines name, each in full: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn used_paths(source: &str) -> Vec<String> {
    let mut paths = Vec::new();
    // Tests may import what they like.
    let source = source.split("#[cfg(test)]").next().unwrap();
    for item in source.split("\nuse ").skip(1) {
        let item: String = item.split(';').next().unwrap().split_whitespace().collect();
        expand("", &item, &mut paths);
    }
    paths
}

fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((path, group)) = tree.split_once('{') else {
        let name = tree.split("as_").next().unwrap();
        paths.push(
            format!("{prefix}{name}")
                .trim_end_matches("::self")
                .to_owned(),
        );
        return;
    };
    let group = group.strip_suffix('}').unwrap_or(group);
    let (mut depth, mut start) = (0, 0);
    for (index, character) in group.char_indices().chain([(group.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if start < index {
                    expand(&format!("{prefix}{path}"), &group[start..index], paths);
                }
                start = index + 1;
            }
            _ => {}
        }
    }
}

fn imports() -> Imports {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&source, &mut files);
    let texts: BTreeMap<String, String> = files
        .iter()
        .map(|file| (module_of(file, &source), fs::read_to_string(file).unwrap()))
        .collect();
    let mut imports = Imports::new();
    for (module, text) in &texts {
        let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
        let imported = used_paths(text).into_iter().filter_map(|path| {
            let path = match path.split_once("::")? {
                ("crate" | "shmtool", rest) => rest.to_owned(),
                ("super", rest) if parent.is_empty() => rest.to_owned(),
                ("super", rest) => match rest.strip_prefix("super::") {
                    Some(rest) => {
                        let grandparent = parent.rsplit_once("::").map_or("", |(parent, _)| parent);
                        format!("{grandparent}::{rest}")
                    }
                    None => format!("{parent}::{rest}"),
                },
                // A child of the module itself, or another crate.
                (first, _) => {
                    let child = format!("{module}::{first}");
                    texts.contains_key(&child).then_some(child)?
                }
            };
            // The longest part of the path that is a module; the rest is something in it.
            let mut target = path.as_str();
            while !texts.contains_key(target) {
                target = target.rsplit_once("::")?.0;
            }
            (target != module).then(|| target.to_owned())
        });
        imports.insert(module.clone(), imported.collect());
    }
    imports
}

fn layer(module: &str) -> Option<usize> {
    let top = module.split("::").next().unwrap();
    LAYERS.iter().position(|layer| layer.contains(&top))
}

/// A cycle that goes through this module, if there is one.
fn cycle<'a>(imports: &'a Imports, path: &mut Vec<&'a str>, done: &mut BTreeSet<&'a str>) -> bool {
    let module = *path.last().unwrap();
    for next in &imports[module] {
        if let Some(start) = path.iter().position(|earlier| earlier == next) {
            path.drain(..start);
            return true;
        }
        if !done.contains(next.as_str()) {
            path.push(next);
            if cycle(imports, path, done) {
                return true;
            }
            path.pop();
        }
    }
    done.insert(module);
    false
}

#[test]
fn imports_point_down() {
    let imports = imports();
    // If nothing was found, nothing was checked.
    assert!(
        imports["commands::create::creation"].contains("sys::shm::draft"),
        "{imports:?}"
    );
    assert!(imports["cli::parse"].contains("cli"), "{imports:?}");
    for (module, imported) in &imports {
        // The front page of the library only lists the modules.
        if module == "lib" {
            continue;
        }
        let own = layer(module).unwrap_or_else(|| panic!("{module} is in no layer"));
        for target in imported {
            assert!(
                layer(target).unwrap() <= own,
                "{module} imports {target}, which is above it"
            );
        }
    }
}

#[test]
fn a_verb_imports_no_other_verb() {
    let verbs = ["cat", "create", "write_int", "read_int", "ls", "unlink"];
    let verb = |module: &str| {
        let name = module.strip_prefix("commands::")?.split("::").next()?;
        verbs.into_iter().find(|verb| *verb == name)
    };
    for (module, imported) in &imports() {
        for target in imported {
            if let (Some(own), Some(other)) = (verb(module), verb(target)) {
                assert_eq!(own, other, "{module} imports {target}");
            }
        }
    }
}

#[test]
fn there_are_no_cycles() {
    let imports = imports();
    let mut done = BTreeSet::new();
    for module in imports.keys() {
        let mut path = vec![module.as_str()];
        if !done.contains(module.as_str()) && cycle(&imports, &mut path, &mut done) {
            panic!("a cycle: {}", path.join(" → "));
        }
    }
}

#[test]
fn a_use_line_is_expanded() {
    let source = "\nuse a::{self, b,\n    c::{d, e as f}};\nuse super::g;\n#[cfg(test)]\nmod tests {\nuse x::y;}";
    let mut paths = used_paths(source);
    paths.sort();
    assert_eq!(paths[..3], ["a", "a::b", "a::c::d"]);
    assert!(paths.contains(&"super::g".to_owned()) && !paths.contains(&"x::y".to_owned()));
}

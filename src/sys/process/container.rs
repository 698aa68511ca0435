//! The container of a process, by its cgroup: `cgroups(7)`. This is a name for people, which the container can fake in
//! part. Nothing relies on it.

use super::procfs::read_file;

/// The name of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The path of its cgroup, as `/proc/PID/cgroup` shows it.
    pub cgroup: String,
    /// Its full ID or name, if the path has the form that a known container runtime uses.
    pub id: Option<String>,
}

/// The length of the container IDs of Docker, containerd, CRI-O and Podman.
const ID_LENGTH: usize = 64;

/// The number of digits of an ID that these tools show.
const SHORT_LENGTH: usize = 12;

impl Container {
    /// Reads `/proc/PID/cgroup`. Returns `None` if the process has ended or may not be inspected.
    pub fn of(pid: i32) -> Option<Container> {
        let mut text = Vec::new();
        read_file(pid, "cgroup", &mut text).ok()?;
        Container::parse(&String::from_utf8_lossy(&text))
    }

    fn parse(text: &str) -> Option<Container> {
        let path = |line: &str| line.splitn(3, ':').nth(2).map(str::to_owned);
        let paths: Vec<String> = text.lines().filter_map(path).collect();
        let known = paths.iter().find_map(|path| Some((path, find_id(path)?)));
        match known {
            Some((path, id)) => Some(Container {
                cgroup: path.clone(),
                id: Some(id),
            }),
            // The last line is that of cgroup v2.
            None => Some(Container {
                cgroup: paths.into_iter().last()?,
                id: None,
            }),
        }
    }

    /// Returns the short form of the ID, as container runtimes show it.
    pub fn short_id(&self) -> Option<&str> {
        let id = self.id.as_deref()?;
        Some(match is_id(id) {
            true => &id[..SHORT_LENGTH],
            false => id,
        })
    }
}

/// Finds the outermost component of a path that names a container.
fn find_id(path: &str) -> Option<String> {
    let mut previous = "";
    for component in path.split('/') {
        if let Some(id) = component_id(component, previous) {
            return Some(id);
        }
        previous = component;
    }
    None
}

fn component_id(component: &str, previous: &str) -> Option<String> {
    const RUNTIMES: [&str; 6] = [
        "docker-",
        "cri-containerd-",
        "crio-",
        "libpod-",
        "containerd-",
        "nerdctl-",
    ];
    if component.is_empty() || component == ".." {
        return None;
    }
    if previous == "lxc" {
        return valid_name(component.to_owned());
    }
    if let Some(name) = component.strip_prefix("lxc.payload.") {
        return valid_name(name.to_owned());
    }
    let machine = component
        .strip_prefix("machine-")
        .and_then(|rest| rest.strip_suffix(".scope"));
    let service = component
        .strip_prefix("systemd-nspawn@")
        .and_then(|rest| rest.strip_suffix(".service"));
    if let Some(name) = machine.or(service) {
        return valid_name(unescape(name));
    }
    let id = component.strip_suffix(".scope").unwrap_or(component);
    let id = match id.rsplit_once(":cri-containerd:") {
        Some((_, id)) => id,
        None => RUNTIMES
            .iter()
            .find_map(|runtime| id.strip_prefix(runtime))
            .unwrap_or(id),
    };
    is_id(id).then(|| id.to_owned())
}

/// Returns the name if it is one that runtimes allow, and does not look like anything else that stands for a container:
/// a process ID, or our own place.
fn valid_name(name: String) -> Option<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    (name.chars().all(is_allowed) && !is_number && name != "-").then_some(name)
}

fn is_id(text: &str) -> bool {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == ID_LENGTH && text.bytes().all(is_digit)
}

/// Undoes the escapes of systemd (`systemd.unit(5)`): `\x2d` is a hyphen.
fn unescape(name: &str) -> String {
    let mut pieces = name.split(r"\x");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece.get(..2);
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) if byte.is_ascii_graphic() => {
                text.push(byte.into());
                text.push_str(&piece[2..]);
            }
            _ => {
                text.push_str(r"\x");
                text.push_str(piece);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_recognized_by_the_outermost_known_component() {
        let id = "0123456789abcdef".repeat(4);
        let inner = "f".repeat(64);
        let pod = "pod01234567_89ab_cdef_0123_456789abcdef";
        for (text, expected) in [
            (format!("0::/system.slice/docker-{id}.scope"), Some(&*id)),
            (
                format!("12:pids:/docker/{id}\n0::/system.slice/containerd.service"),
                Some(&*id),
            ),
            (format!("0::/docker/{id}/init.scope"), Some(&*id)),
            (format!("0::/docker/{id}/docker/{inner}"), Some(&*id)),
            (
                format!(
                    "0::/kubepods.slice/kubepods-burstable-{pod}.slice/cri-containerd-{id}.scope"
                ),
                Some(&*id),
            ),
            (
                format!("4:memory:/kubepods/besteffort/{pod}/{id}"),
                Some(&*id),
            ),
            (
                format!("1:name=systemd:/kubepods-{pod}.slice:cri-containerd:{id}"),
                Some(&*id),
            ),
            (
                format!("0::/user.slice/user-1000.slice/libpod-{id}.scope/container"),
                Some(&*id),
            ),
            (format!("0::/kubepods.slice/crio-{id}.scope"), Some(&*id)),
            (format!("0::/machine.slice/libpod-conmon-{id}.scope"), None),
            (
                "0::/lxc.payload.web1/system.slice/nginx.service".into(),
                Some("web1"),
            ),
            ("8:pids:/lxc/web1/x".into(), Some("web1")),
            ("0::/lxc.monitor.web1".into(), None),
            (
                r"0::/machine.slice/machine-deb\x2dtest.scope/payload".into(),
                Some("deb-test"),
            ),
            (
                "0::/machine.slice/systemd-nspawn@deb.service/payload".into(),
                Some("deb"),
            ),
            (format!("0::/../../docker-{id}.scope"), Some(&*id)),
            ("0::/system.slice/ssh.service".into(), None),
            ("0::/".into(), None),
            ("0::/lxc/-".into(), None),
            ("0::/lxc/12".into(), None),
            ("0::/lxc.payload.".into(), None),
            ("0::/lxc.payload.pid:12".into(), None),
            ("0::/lxc.payload.\u{1b}[31mred".into(), None),
            ("0::/lxc/a b".into(), None),
        ] {
            let container = Container::parse(&text).unwrap();
            assert_eq!(container.id.as_deref(), expected, "{text}");
        }
        assert_eq!(Container::parse(""), None);
    }

    #[test]
    fn ids_are_shortened_and_names_are_not() {
        let short = |text: &str| Container::parse(text)?.short_id().map(str::to_owned);
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(
            short(&format!("0::/docker-{id}.scope")).unwrap(),
            "0123456789ab"
        );
        assert_eq!(
            short("0::/lxc/a-long-name-of-a-container").unwrap().len(),
            26
        );
    }

    #[test]
    fn escapes_of_systemd_are_undone() {
        assert_eq!(unescape(r"a\x2db\x5c"), r"a-b\");
        assert_eq!(unescape(r"a\x0ab\xzz\x"), r"a\x0ab\xzz\x");
        assert_eq!(unescape("ä\\xä"), "ä\\xä");
    }
}

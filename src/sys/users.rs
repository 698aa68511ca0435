//! The names of users and groups: `getpwnam(3)`, `getpwuid(3)` and `getgrgid(3)`.
//!
//! glibc asks the services that `nsswitch.conf(5)` names, so it knows the users of LDAP, SSSD and systemd. The static
//! binary contains musl, which reads only `/etc/passwd` and `/etc/group`. For everything else it asks `getent(1)`, which
//! belongs to the C library of the machine.

use nix::unistd::{Gid, Group, Uid, User};
use std::process::{Command, Stdio};

/// Returns the ID of a user, or None if there is no such user.
pub fn user_id(name: &str) -> Option<u32> {
    match User::from_name(name) {
        Ok(Some(user)) => Some(user.uid.as_raw()),
        _ => getent("passwd", name).and_then(|(found, id)| (found == name).then_some(id)),
    }
}

/// Returns the name of a user, or None if the ID has no name.
pub fn user_name(uid: u32) -> Option<String> {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => Some(user.name),
        _ => getent_name("passwd", uid),
    }
}

/// Returns the name of a group, or None if the ID has no name.
pub fn group_name(gid: u32) -> Option<String> {
    match Group::from_gid(Gid::from_raw(gid)) {
        Ok(Some(group)) => Some(group.name),
        _ => getent_name("group", gid),
    }
}

fn getent_name(database: &str, id: u32) -> Option<String> {
    let (name, found) = getent(database, &id.to_string())?;
    // A name can consist of digits too.
    (found == id).then_some(name)
}

/// Returns the name and the ID that `getent` prints for a name or an ID. None if it knows neither, if the machine has no
/// `getent`, and if our own C library has already asked all services.
fn getent(database: &str, key: &str) -> Option<(String, u32)> {
    // No name starts with a hyphen, and getent would take it for an option.
    if !cfg!(target_env = "musl") || key.is_empty() || key.starts_with('-') {
        return None;
    }
    let mut getent = Command::new("getent");
    getent.args([database, key]);
    let output = getent.stdin(Stdio::null()).stderr(Stdio::null()).output();
    parse_entry(str::from_utf8(&output.ok()?.stdout).ok()?)
}

/// Parses an entry of `passwd(5)` or `group(5)`: the name and the ID.
fn parse_entry(line: &str) -> Option<(String, u32)> {
    let mut fields = line.trim_end().split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let id = fields.nth(1)?.parse().ok()?;
    Some((name.to_owned(), id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_an_id() {
        assert_eq!(user_id("root"), Some(0));
        assert_eq!(user_name(0).as_deref(), Some("root"));
        assert_eq!(group_name(0).as_deref(), Some("root"));
    }

    #[test]
    fn unknown_names_and_ids_are_none() {
        for name in ["", "-h", "no-such-user-here", "a:b"] {
            assert_eq!(user_id(name), None, "{name}");
        }
        assert_eq!(user_name(4_000_000_000), None);
        assert_eq!(group_name(4_000_000_000), None);
    }

    #[test]
    fn entries_have_the_name_first_and_the_id_third() {
        for line in [
            "ada:x:1007:100:Ada:/home/ada:/bin/sh\n",
            "ada:*:1007:bob,eve\n",
        ] {
            assert_eq!(parse_entry(line), Some(("ada".into(), 1007)));
        }
        for line in ["", "\n", "ada:x", "ada:x:\n", ":x:7:", "ada:x:-1:"] {
            assert_eq!(parse_entry(line), None, "{line}");
        }
    }
}

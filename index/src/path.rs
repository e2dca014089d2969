//! Rules of paths that differ between systems, as pure functions over text, so that each system's
//! are tested on every other.

/// Whose rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// `/` parts, and case counts.
    Unix,
    /// `/` and `\` part, case does not count, and there are drives, shares and devices.
    Windows,
}

impl System {
    /// The one that this program was built for.
    pub const HERE: System = if cfg!(windows) { System::Windows } else { System::Unix };
}

/// Names that Windows takes for devices, whatever stands behind a dot.
const DEVICES: &[&str] = &["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
/// Devices that are numbered; `¹`, `²` and `³` count as digits.
const NUMBERED: &[&str] = &["COM", "LPT"];

/// The path of `full` below `root`, with `/` between its parts; `None` if it does not lie there.
/// Both are absolute; the root itself is the empty path.
pub fn below(root: &str, full: &str, system: System) -> Option<String> {
    let root = parts(root, system)?;
    let full = parts(full, system)?;
    if full.len() < root.len() {
        return None;
    }
    let same = |(a, b): (&String, &String)| match system {
        System::Unix => a == b,
        System::Windows => a.to_lowercase() == b.to_lowercase(),
    };
    if !root.iter().zip(&full).all(same) {
        return None;
    }
    Some(full[root.len()..].join("/"))
}

/// The parts of an absolute path, drive or share first; `None` for others, and for those that lead
/// upwards.
fn parts(path: &str, system: System) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let rest = match system {
        System::Unix => path.strip_prefix('/')?.to_owned(),
        System::Windows => {
            let path = path.replace('/', "\\");
            // What the system gives for a resolved path, and what people type, are one place.
            let unc = ["\\\\?\\UNC\\", "\\\\?\\unc\\"].iter().find_map(|p| path.strip_prefix(p));
            let plain = match unc {
                Some(share) => format!("\\\\{share}"),
                None => path.strip_prefix("\\\\?\\").unwrap_or(&path).to_owned(),
            };
            if let Some(share) = plain.strip_prefix("\\\\") {
                let mut names = share.splitn(3, '\\');
                let (server, name) = (names.next()?, names.next()?);
                if server.is_empty() || name.is_empty() || matches!(server, "." | "?") {
                    return None;
                }
                out.push(format!("\\\\{server}\\{name}"));
                names.next().unwrap_or_default().to_owned()
            } else {
                let (drive, rest) = plain.split_once(":\\")?;
                let letter = drive.len() == 1 && drive.bytes().all(|b| b.is_ascii_alphabetic());
                if !letter {
                    return None;
                }
                out.push(format!("{}:", drive.to_ascii_uppercase()));
                rest.to_owned()
            }
        }
    };
    let sign = if system == System::Windows { '\\' } else { '/' };
    for part in rest.split(sign) {
        match part {
            "" | "." => {}
            ".." => return None,
            part => out.push(part.to_owned()),
        }
    }
    Some(out)
}

/// Whether a path is absolute and leads nowhere upwards.
pub fn is_full(path: &str, system: System) -> bool {
    parts(path, system).is_some()
}

/// Why a relative path cannot be one of a file on a system: a device, a stream of another file, a
/// name that the system changes.
pub fn unusable(path: &str, system: System) -> Option<&'static str> {
    if system == System::Unix {
        return None;
    }
    path.split(['/', '\\']).filter(|part| !matches!(*part, "" | ".")).find_map(|part| {
        if part.contains(['<', '>', ':', '"', '|', '?', '*']) || part.contains(|c| c < ' ') {
            return Some("holds a sign that no file name has");
        }
        if part.ends_with(['.', ' ']) {
            return Some("has a part that ends with a dot or a space");
        }
        is_device(part).then_some("names a device")
    })
}

fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_uppercase();
    let numbered = NUMBERED.iter().filter_map(|name| stem.strip_prefix(name)).any(|number| {
        let mut chars = number.chars();
        let digit = chars.next().is_some_and(|c| matches!(c, '1'..='9' | '¹' | '²' | '³'));
        digit && chars.next().is_none()
    });
    DEVICES.contains(&stem.as_str()) || numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_says_one_place_in_several_ways() {
        for root in ["C:\\Users\\Ada\\Vault", "c:/users/ada/vault/", "\\\\?\\C:\\Users\\Ada\\Vault"]
        {
            for (full, wanted) in [
                ("C:\\Users\\Ada\\Vault\\Notes\\Tide.md", Some("Notes/Tide.md")),
                ("c:/USERS/ada/vault/Notes/Tide.md", Some("Notes/Tide.md")),
                ("\\\\?\\c:\\Users\\Ada\\Vault\\a.md", Some("a.md")),
                ("C:\\Users\\Ada\\Vault", Some("")),
                ("C:\\Users\\Ada\\Vaulted\\a.md", None),
                ("D:\\Users\\Ada\\Vault\\a.md", None),
                ("C:\\Users\\Ada\\Vault\\..\\secret", None),
                ("C:Users\\Ada\\Vault\\a.md", None),
                ("\\Users\\Ada\\Vault\\a.md", None),
            ] {
                assert_eq!(below(root, full, System::Windows).as_deref(), wanted, "{root} {full}");
            }
        }
        let share = "\\\\nas\\Notes\\vault";
        for full in ["\\\\NAS\\notes\\Vault\\a b.md", "\\\\?\\UNC\\nas\\notes\\vault\\a b.md"] {
            assert_eq!(below(share, full, System::Windows).as_deref(), Some("a b.md"), "{full}");
        }
        assert_eq!(below(share, "\\\\nas\\other\\vault\\a", System::Windows), None);
        let long = format!("\\\\?\\C:\\v\\{}a.md", "long\\".repeat(200));
        assert!(below("C:\\v", &long, System::Windows).is_some_and(|path| path.len() > 900));
        assert!(!is_full("\\\\.\\PhysicalDrive0", System::Windows));
        assert_eq!(below("C:\\Café", "c:\\CAFÉ\\x", System::Windows).as_deref(), Some("x"));
    }

    #[test]
    fn unix_takes_names_as_they_are() {
        for (root, full, wanted) in [
            ("/home/ada/vault", "/home/ada/vault/a/b.md", Some("a/b.md")),
            ("/home/ada/vault/", "/home/ada/vault//a.md", Some("a.md")),
            ("/home/ada/vault", "/home/ada/Vault/a.md", None),
            ("/home/ada/vault", "/home/ada/vault2/a.md", None),
            ("/home/ada/vault", "/home/ada/vault/../x", None),
            ("/", "/etc/x", Some("etc/x")),
            ("/home/ada/vault", "home/ada/vault/a.md", None),
            ("/v", "/v/a\\b.md", Some("a\\b.md")),
        ] {
            assert_eq!(below(root, full, System::Unix).as_deref(), wanted, "{root} {full}");
        }
        assert!(is_full("/x", System::Unix) && !is_full("C:\\x", System::Unix));
    }

    #[test]
    fn names_that_windows_keeps_for_itself() {
        for path in [
            "NUL.md",
            "notes/con",
            "a/AUX.tar.gz",
            "com1",
            "Lpt9.txt",
            "COM¹.md",
            "CONOUT$",
            "a./b",
            "a /b",
            "a:stream",
            "what?.md",
            "nul .md",
            "x|y",
            "tab\tname",
        ] {
            assert!(unusable(path, System::Windows).is_some(), "{path}");
            assert_eq!(unusable(path, System::Unix), None, "{path}");
        }
        for path in ["console.md", "com10", "com", "lpt/a", "null", "a.b/c d.md", "./a", "aux-in"] {
            assert_eq!(unusable(path, System::Windows), None, "{path}");
        }
    }
}

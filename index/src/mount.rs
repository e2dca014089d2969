//! Which file systems tell of changes: on the others, somebody has to look.
//!
//! A file system that lies elsewhere accepts a watch and then speaks of this machine's changes
//! alone. That of a folder is known by its number; those that are mounted below it by the names
//! that the kernel gives them in a list, which asks none of them. Knows nothing of sources.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// File systems whose files others change too, by the number that Linux gives them
/// (`linux/magic.h`, `coreutils/src/stat.c`).
const ELSEWHERE: &[(i64, &str)] = &[
    (0x6969, "nfs"),
    (0x517B, "smb"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb2"),
    // sshfs, rclone, cloud drives, virtiofs and what containers are given of a desktop's folders.
    (0x6573_5546, "fuse"),
    // Windows' drives in WSL.
    (0x0102_1997, "9p"),
    (0x5346_414F, "afs"),
    (0x6B41_4653, "kafs"),
    (0x00C3_6400, "ceph"),
    (0x786F_4256, "vboxsf"),
    (0x7C7C_6673, "prl_fs"),
    (0xBACB_ACBC, "vmhgfs"),
    (0x7375_7245, "coda"),
    (0x564C, "ncp"),
    (0x0BD0_0BD0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x7461_636F, "ocfs2"),
    (0x0116_1970, "gfs2"),
];

/// Further names under which the kernel lists file systems of that sort; those of FUSE may have
/// another name behind a dot (`fuse.sshfs`). What is mounted when it is entered is another one by
/// then.
const ELSEWHERE_TOO: &[&str] = &[
    "nfs4", "smb3", "smbfs", "fuseblk", "virtiofs", "drvfs", "ncpfs", "orangefs", "beegfs",
    "autofs",
];

/// The kernel's list of what is mounted (`proc_pid_mountinfo(5)`); other systems have none.
const MOUNTED: &str = "/proc/self/mountinfo";

/// Whether a file system of this type (`f_type` of `statfs`) tells of every change to its files.
pub fn delivers(f_type: i64) -> bool {
    // Some architectures extend the sign of the 32 bits that it has.
    let f_type = f_type & 0xFFFF_FFFF;
    !ELSEWHERE.iter().any(|(known, _)| *known == f_type)
}

/// Whether the file system of a folder tells of every change to its files; what is not known of it
/// counts for it.
// The type of the field is another one on some architectures.
#[allow(clippy::unnecessary_cast)]
pub fn tells(folder: &Path) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        rustix::fs::statfs(folder).map_or(true, |stat| delivers(stat.f_type as i64))
    }
    #[cfg(target_vendor = "apple")]
    {
        /// `MNT_LOCAL` of `sys/mount.h`.
        const LOCAL: u32 = 0x1000;
        rustix::fs::statfs(folder).map_or(true, |stat| stat.f_flags & LOCAL != 0)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    {
        let _ = folder;
        true
    }
}

/// Asks the file system of a folder for its state: unlike what is known of the folder itself, no
/// kernel remembers that of file systems that lie elsewhere. Hangs if whoever serves it is gone.
pub(crate) fn ask(folder: &Path) {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    let _ = rustix::fs::statfs(folder);
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    let _ = folder;
}

/// File systems mounted below a folder, at any depth, that do not tell of every change: where, and
/// what they are called. None where the system has no list of them.
pub(crate) fn silent_below(folder: &Path) -> Vec<(PathBuf, String)> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let text = std::fs::read(MOUNTED).unwrap_or_default();
        among(&String::from_utf8_lossy(&text), folder)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = folder;
        Vec::new()
    }
}

/// What the kernel says is mounted, and when that changes: kept, since it is asked every second.
#[derive(Debug)]
pub(crate) struct Mounted {
    /// The kernel's list, open: it tells whoever holds it of a change once.
    list: Option<File>,
    text: Mutex<String>,
}

impl Mounted {
    /// As it is now; of nothing where the system has no list.
    pub(crate) fn new() -> Self {
        let mounted = Mounted { list: File::open(MOUNTED).ok(), text: Mutex::default() };
        mounted.read();
        mounted
    }

    /// Looks whether something was mounted or taken away since.
    pub(crate) fn look(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(list) = &self.list {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            let mut asked = [PollFd::new(list, PollFlags::PRI)];
            if poll(&mut asked, Some(&Timespec::default())).is_ok_and(|n| n > 0) {
                self.read();
            }
        }
    }

    fn read(&self) {
        let text = self.list.as_ref().and_then(|_| std::fs::read(MOUNTED).ok()).unwrap_or_default();
        *self.text() = String::from_utf8_lossy(&text).into_owned();
    }

    fn text(&self) -> MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was mounted below a folder at the last look, at any depth: one for each, equal as long
    /// as nothing else is mounted there.
    pub(crate) fn below(&self, folder: &Path) -> Vec<String> {
        lines_below(&self.text(), folder)
    }
}

/// The lines of the kernel's list that stand for what is mounted below a folder.
fn lines_below(list: &str, folder: &Path) -> Vec<String> {
    let below = |line: &&str| mounted(line).is_some_and(|(at, _)| is_below(&at, folder));
    list.lines().filter(below).map(str::to_owned).collect()
}

fn is_below(at: &Path, folder: &Path) -> bool {
    at != folder && at.starts_with(folder)
}

/// File systems below a folder by the kernel's list, as [`silent_below`].
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(dead_code))]
fn among(list: &str, folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found: Vec<(PathBuf, String)> = Vec::new();
    for (at, name) in list.lines().filter_map(mounted) {
        if !is_below(&at, folder) {
            continue;
        }
        // What is mounted later at a place hides what was there.
        found.retain(|(known, _)| *known != at);
        if !delivers_as(&name) {
            found.push((at, name));
        }
    }
    found
}

/// Where a line of the list mounts something, and what that is called: the fifth field, and the
/// first one behind a dash that stands alone.
fn mounted(line: &str) -> Option<(PathBuf, String)> {
    let (before, behind) = line.split_once(" - ")?;
    let at = before.split(' ').nth(4)?;
    let name = behind.split(' ').next().filter(|name| !name.is_empty())?;
    Some((PathBuf::from(plain(at)), plain(name)))
}

/// A field as it is meant: spaces and the like stand in it as a backslash and three octal digits.
fn plain(field: &str) -> String {
    let bytes = field.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let code = (bytes[at] == b'\\').then(|| field.get(at + 1..at + 4)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 4;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// As [`delivers`], by the name that the kernel lists.
fn delivers_as(name: &str) -> bool {
    // A part behind a dot says which program serves a file system of FUSE.
    let sort = name.split('.').next().unwrap_or(name);
    !ELSEWHERE.iter().any(|(_, known)| *known == sort) && !ELSEWHERE_TOO.contains(&sort)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel writes it: optional fields between the sixth and the dash, escapes.
    const LIST: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:26 / /vault/media rw shared:15 master:2 - nfs4 nas:/media rw,vers=4.2
31 22 0:27 / /vault/with\\040space\\134 rw - fuse.sshfs ada@host:/ rw,user_id=0
32 22 0:28 / /vault/tmp rw shared:9 - tmpfs tmpfs rw
33 22 0:29 / /vaults/other rw - cifs //nas/other rw
34 22 0:30 / /vault/twice rw - autofs systemd-1 rw
35 34 8:2 / /vault/twice rw - ext4 /dev/sdb1 rw
36 22 0:31 / /vault/late rw - ext4 /dev/sdc1 rw
37 36 0:32 / /vault/late rw - 9p drvfs rw
38 22 0:33 / /home rw - nfs nas:/home rw

a line of a later kernel
39 22 0:34 / /vault/- rw - - x
";

    #[test]
    fn what_is_mounted_below_a_folder_is_known_by_its_name() {
        let found = |folder: &str| {
            let found = among(LIST, Path::new(folder)).into_iter();
            found.map(|(at, name)| format!("{} {name}", at.display())).collect::<Vec<_>>()
        };
        let below = ["/vault/media nfs4", "/vault/with space\\ fuse.sshfs", "/vault/late 9p"];
        assert_eq!(found("/vault"), below);
        assert_eq!(found("/vault/media"), Vec::<String>::new(), "its own is asked by its number");
        assert_eq!(found("/vault/tmp"), Vec::<String>::new());
        assert_eq!(found("/vaults"), ["/vaults/other cifs"]);
        assert_eq!(found("/").len(), below.len() + 2);
    }

    #[test]
    fn what_is_mounted_later_is_another_list_for_the_folders_above_alone() {
        let of = |list: &str, folder: &str| lines_below(list, Path::new(folder));
        let later = format!("{LIST}40 22 0:35 / /vault/tmp/deep rw - ext4 /dev/sdd1 rw\n");
        assert_ne!(of(LIST, "/vault"), of(&later, "/vault"));
        assert_ne!(of(LIST, "/vault/tmp"), of(&later, "/vault/tmp"));
        assert_eq!(of(LIST, "/vault/media"), of(&later, "/vault/media"));
        assert_eq!(of(LIST, "/vaults"), of(&later, "/vaults"));
        let other = LIST.replace("/dev/sdc1", "/dev/sde1");
        assert_ne!(of(LIST, "/vault"), of(&other, "/vault"));
    }

    #[test]
    fn escapes_are_read_and_what_is_none_stays() {
        for (field, meant) in [
            ("/a\\040b\\011c\\012d\\134e", "/a b\tc\nd\\e"),
            ("/\\303\\251t\\303\\251", "/été"),
            ("/a\\9b\\", "/a\\9b\\"),
            ("/é\\04", "/é\\04"),
        ] {
            assert_eq!(plain(field), meant, "{field}");
        }
    }

    #[test]
    fn file_systems_that_lie_elsewhere_are_known_by_their_numbers() {
        for f_type in [0x6969, 0x6573_5546, 0x0102_1997, 0xFE53_4D42] {
            assert!(!delivers(f_type), "{f_type:#x}");
        }
        assert!(!delivers(i64::from(0xFF53_4D42_u32 as i32)), "with its sign extended");
        // ext, btrfs, xfs, tmpfs, overlayfs, zfs
        for f_type in [0xEF53, 0x9123_683E, 0x5846_5342, 0x0102_1994, 0x794C_7630, 0x2FC1_2FC1] {
            assert!(delivers(f_type), "{f_type:#x}");
        }
    }
}

//! Which file systems tell of changes: on the others, somebody has to look.
//!
//! A file system that lies elsewhere accepts a watch and then speaks of this machine's changes
//! alone. Knows nothing of sources.

use std::path::Path;

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

#[cfg(test)]
mod tests {
    use super::*;

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

//! Whether the machine runs on its battery, where the system says so (Linux). Elsewhere it is taken
//! to be plugged in.

use std::path::Path;

/// The battery is what it runs on.
pub fn is_on_battery() -> bool {
    on_battery(Path::new("/sys/class/power_supply"))
}

/// By the folder of power supplies: there is a battery that is discharging, and no line that is on.
fn on_battery(supplies: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(supplies) else { return false };
    let mut discharging = false;
    for supply in entries.flatten().map(|entry| entry.path()) {
        let says = |file: &str| std::fs::read_to_string(supply.join(file)).unwrap_or_default();
        match says("type").trim() {
            "Mains" | "USB" if says("online").trim() == "1" => return false,
            // Mice and pens have batteries too; they say so.
            "Battery" if says("scope").trim() != "Device" => {
                discharging |= says("status").trim() == "Discharging";
            }
            _ => {}
        }
    }
    discharging
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discharging_battery_counts_and_a_mouse_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let put = |supply: &str, file: &str, text: &str| {
            std::fs::create_dir_all(dir.path().join(supply)).unwrap();
            std::fs::write(dir.path().join(supply).join(file), text).unwrap();
        };
        assert!(!on_battery(dir.path()) && !on_battery(&dir.path().join("none")));
        for (file, text) in
            [("type", "Battery\n"), ("status", "Discharging\n"), ("scope", "Device")]
        {
            put("mouse", file, text);
        }
        assert!(!on_battery(dir.path()));
        put("BAT0", "type", "Battery\n");
        put("BAT0", "status", "Discharging\n");
        assert!(on_battery(dir.path()));
        put("AC", "type", "Mains\n");
        put("AC", "online", "1\n");
        assert!(!on_battery(dir.path()));
        put("AC", "online", "0\n");
        assert!(on_battery(dir.path()));
    }
}

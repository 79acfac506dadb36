//! What the system counts of this process, as Prometheus' clients name it; read from /proc, where there is one.

use std::fs;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, getrlimit};

/// What is not known is None.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    pub cpu: Option<Duration>,
    /// Since 1970.
    pub started: Option<Duration>,
    pub resident_bytes: Option<u64>,
    pub open_files: Option<u64>,
    pub max_files: Option<u64>,
}

impl Process {
    /// As it is now.
    pub fn look() -> Process {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The second field is the command's name in parentheses, which may hold anything.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
        // By their numbers in proc(5), of which the third is the first one here.
        let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<u64>().ok());
        let ticks =
            |count: u64| Duration::from_millis(count.saturating_mul(1_000) / clock_ticks_per_second().max(1));
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        let boot = boot.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        let (boot, page): (Option<u64>, _) = (boot, rustix::param::page_size() as u64);
        Process {
            cpu: field(14).zip(field(15)).map(|(user, system)| ticks(user.saturating_add(system))),
            started: boot.zip(field(22)).map(|(boot, after)| Duration::from_secs(boot) + ticks(after)),
            resident_bytes: field(24).map(|pages| pages.saturating_mul(page)),
            // One of them is the folder's that is read here.
            open_files: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|found| (found.count() as u64).saturating_sub(1)),
            max_files: getrlimit(Resource::Nofile).current,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::posix_ns;

    #[test]
    fn a_process_knows_what_it_takes() {
        let file = fs::File::open("/proc/self/stat").expect("opened");
        let Process { cpu, started, resident_bytes, open_files, max_files } = Process::look();
        let (started, now) = (started.expect("a start"), Duration::from_nanos(posix_ns()));
        let age = now.abs_diff(started);
        assert!(age < Duration::from_secs(86_400), "{age:?}");
        assert!(cpu.is_some_and(|cpu| cpu < age + Duration::from_secs(3_600)), "{cpu:?}");
        assert!(resident_bytes.is_some_and(|bytes| bytes > 100_000 && bytes < 1 << 40), "{resident_bytes:?}");
        assert!(open_files.is_some_and(|count| count >= 4), "{open_files:?}");
        assert!(max_files.is_none_or(|most| open_files.is_some_and(|count| count <= most)));
        drop(file);
    }
}

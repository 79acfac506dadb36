//! `/metrics`: the status in the text format of Prometheus, version 0.0.4.

use std::time::Duration;

use crate::limits::DURATION_BUCKETS_US;
use crate::protocol::Rule;
use crate::status::{Count, Counts, JournalStatus, LinkStatus, Process, Status};
use crate::tally::{App, Ended, Reason, SummedPhones, SummedTimes};

/// All families, each with its help and its type.
pub fn text(status: &Status) -> String {
    let mut text = Text(String::with_capacity(4_096));
    text.family("herd_build_info", "gauge", "Which version this is; always 1.");
    text.sample("herd_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    text.one("herd_clients", "gauge", "Clients that are known.", status.clients as f64);
    let help = "Readers of /v1/events and of WATCH.";
    text.one("herd_event_subscribers", "gauge", help, status.watchers as f64);
    text.one("herd_record_bytes", "gauge", "Bytes of all records.", status.record_bytes as f64);
    text.one("herd_news_total", "counter", "Records that were news.", status.news as f64);
    text.one("herd_forgotten_total", "counter", "Records that were forgotten.", status.forgotten as f64);
    text.one(
        "herd_flood_batches_total",
        "counter",
        "Batches of news handed to links.",
        status.flood_batches as f64,
    );
    connections(&mut text, status);
    let hall = &status.hall;
    text.family("herd_slots_taken", "gauge", "Slots for connections that are taken, by whom.");
    for (whose, count) in [("guest", hall.guests), ("on_trial", hall.on_trial), ("herd", hall.herd)] {
        text.sample("herd_slots_taken", &[("by", whose)], count as f64);
    }
    text.one(
        "herd_unsent_bytes",
        "gauge",
        "Bytes of replies that clients have not read.",
        hall.unsent_bytes as f64,
    );
    text.one(
        "herd_places_lookups_waiting",
        "gauge",
        "Lookups that wait for a thread.",
        hall.lookups_waiting as f64,
    );
    text.family("herd_places_lookups_total", "counter", "Lookups of places, by what came of them.");
    for (result, count) in &hall.lookups {
        text.sample("herd_places_lookups_total", &[("result", result)], *count as f64);
    }
    text.one(
        "herd_log_dropped_total",
        "counter",
        "Records of the log that were dropped.",
        hall.log_dropped as f64,
    );
    // Without a neighbour there is nothing to say, and a family without a sample is none.
    let mut links = |name: &str, help: &str, value: fn(&LinkStatus) -> f64| {
        if !status.links.is_empty() {
            text.family(name, "gauge", help);
        }
        status.links.iter().for_each(|link| text.sample(name, &[("neighbour", &link.name)], value(link)));
    };
    links("herd_link_up", "Whether the link to a neighbour is up.", |link| {
        f64::from(u8::from(link.lag.is_up))
    });
    let help = "Clients of which a neighbour is not known to have the latest record.";
    links("herd_link_lag_clients", help, |link| link.lag.clients as f64);
    let help = "Since when a neighbour is not known to have everything.";
    links("herd_link_lag_seconds", help, |link| link.lag.time.as_secs_f64());
    text.family("herd_commands_total", "counter", "What was asked, by door, and what came of it.");
    for (asked, summed) in &status.traffic {
        for (result, count) in [("done", summed.done), ("refused", summed.refused)] {
            let labels = [("door", asked.door()), ("command", asked.name()), ("result", result)];
            text.sample("herd_commands_total", &labels, count as f64);
        }
    }
    let help = "From when a command was read to when it was answered.";
    text.family("herd_command_duration_seconds", "histogram", help);
    for (asked, summed) in &status.traffic {
        let labels = [("door", asked.door()), ("command", asked.name())];
        text.histogram("herd_command_duration_seconds", &labels, &summed.times);
    }
    text.family("herd_refused_lines_total", "counter", "What was refused, by rule.");
    for rule in Rule::ALL {
        let count =
            status.refused_lines.iter().find(|(refused, _)| *refused == rule).map_or(0, |(_, count)| *count);
        text.sample("herd_refused_lines_total", &[("rule", &format!("{rule:?}"))], count as f64);
    }
    let degraded = f64::from(u8::from(status.journal == JournalStatus::Degraded));
    text.one("herd_journal_degraded", "gauge", "Whether the journal cannot be written.", degraded);
    if let Some((syncs, failures)) = &status.journal_work {
        let name = "herd_journal_sync_duration_seconds";
        text.family(name, "histogram", "How long the disk took for a sync of the journal.");
        text.histogram(name, &[], syncs);
        let help = "Writes and syncs of the journal that failed.";
        text.one("herd_journal_errors_total", "counter", help, *failures as f64);
    }
    if let Some(bytes) = status.journal_bytes {
        text.one("herd_journal_bytes", "gauge", "Bytes of the journal's files.", bytes as f64);
    }
    phones(&mut text, &status.phones);
    text.family("herd_oddities_total", "counter", "What goes wrong now and then, by what it is.");
    for (what, count) in oddities(&status.counts) {
        text.sample("herd_oddities_total", &[("what", what)], count.total as f64);
    }
    process(&mut text, &status.process);
    text.0
}

fn connections(text: &mut Text, status: &Status) {
    text.family("herd_connections", "gauge", "Connections that are open, by door.");
    for (door, summed) in &status.connections {
        text.sample("herd_connections", &[("door", door.name())], summed.open() as f64);
    }
    text.family("herd_connections_opened_total", "counter", "Connections that were let in, by door.");
    for (door, summed) in &status.connections {
        text.sample("herd_connections_opened_total", &[("door", door.name())], summed.opened as f64);
    }
    let help = "Connections that ended, by door and by how.";
    text.family("herd_connections_closed_total", "counter", help);
    for (door, summed) in &status.connections {
        for (ended, count) in Ended::ALL.into_iter().zip(summed.closed) {
            let labels = [("door", door.name()), ("reason", ended.name())];
            text.sample("herd_connections_closed_total", &labels, count as f64);
        }
    }
}

fn phones(text: &mut Text, phones: &SummedPhones) {
    text.family("herd_phone_reports_total", "counter", "Positions that phones sent, by app.");
    for (app, count) in App::ALL.into_iter().zip(phones.reports) {
        text.sample("herd_phone_reports_total", &[("app", app.name())], count as f64);
    }
    let help = "What phones sent that does not count, by app and by why.";
    text.family("herd_phone_reports_ignored_total", "counter", help);
    for (app, counts) in App::ALL.into_iter().zip(phones.ignored) {
        for (reason, count) in Reason::ALL.into_iter().zip(counts) {
            let labels = [("app", app.name()), ("reason", reason.name())];
            text.sample("herd_phone_reports_ignored_total", &labels, count as f64);
        }
    }
}

/// By the names that the family's label has for them.
fn oddities(counts: &Counts) -> [(&'static str, Count); 14] {
    // Without `..`, so that none is left out.
    let Counts {
        refused,
        evicted,
        shed,
        starved,
        dropped,
        cut,
        denied,
        past,
        full,
        full_of_notes,
        guessed,
        far_ahead,
        suspect,
        twins_told,
    } = *counts;
    [
        ("connection_refused", refused),
        ("connection_evicted", evicted),
        ("connection_shed", shed),
        ("no_descriptor", starved),
        ("at_line_dropped", dropped),
        ("at_line_cut", cut),
        ("link_denied", denied),
        ("record_past", past),
        ("report_of_a_client_too_many", full),
        ("forgotten_client_too_many", full_of_notes),
        ("tokens_guessed", guessed),
        ("report_far_ahead", far_ahead),
        ("report_far_ahead_of_a_doubtful_clock", suspect),
        ("name_taken_twice", twins_told),
    ]
}

/// By the names that Prometheus' own clients have for them. What the system does not tell is left out.
fn process(text: &mut Text, process: &Process) {
    let Process { cpu, started, resident_bytes, open_files, max_files } = *process;
    let mut one = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            text.one(name, kind, help, value);
        }
    };
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    let number = |count: Option<u64>| count.map(|count| count as f64);
    one("process_cpu_seconds_total", "counter", "CPU time of all threads.", seconds(cpu));
    let help = "When the process started, since 1970.";
    one("process_start_time_seconds", "gauge", help, seconds(started));
    one("process_resident_memory_bytes", "gauge", "Memory that is resident.", number(resident_bytes));
    one("process_open_fds", "gauge", "Descriptors that are open.", number(open_files));
    one("process_max_fds", "gauge", "Descriptors that may be open.", number(max_files));
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.0.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let begin = if index == 0 { '{' } else { ',' };
            self.0.push_str(&format!("{begin}{label}=\"{escaped}\""));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        self.0.push_str(&format!(" {value}\n"));
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], times: &SummedTimes) {
        let (mut count, mut buckets) = (0, Vec::new());
        for (most_us, bucket) in DURATION_BUCKETS_US.iter().zip(times.buckets) {
            count += bucket;
            buckets.push(((*most_us as f64 / 1e6).to_string(), count));
        }
        // By the same reading as the buckets, as more may have come meanwhile.
        let all = count + times.beyond;
        buckets.push(("+Inf".to_owned(), all));
        for (most, count) in &buckets {
            let labels = [labels, &[("le", most)]].concat();
            self.sample(&format!("{name}_bucket"), &labels, *count as f64);
        }
        self.sample(&format!("{name}_sum"), labels, times.sum_ns as f64 / 1e9);
        self.sample(&format!("{name}_count"), labels, all as f64);
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

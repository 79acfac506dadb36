//! `/metrics`: the status in the text format of Prometheus, version 0.0.4.

use crate::limits::DURATION_BUCKETS_US;
use crate::protocol::Rule;
use crate::status::{JournalStatus, LinkStatus, Status};
use crate::tally::{Asked, Summed};

/// All families, each with its help and its type.
pub fn text(status: &Status) -> String {
    let mut text = Text(String::with_capacity(4_096));
    text.family("herd_build_info", "gauge", "Which version this is; always 1.");
    text.sample("herd_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    text.one("herd_clients", "gauge", "Clients that are known.", status.clients as f64);
    text.one("herd_record_bytes", "gauge", "Bytes of all records.", status.record_bytes as f64);
    text.one("herd_news_total", "counter", "Records that were news.", status.news as f64);
    text.one("herd_forgotten_total", "counter", "Records that were forgotten.", status.forgotten as f64);
    text.family("herd_connections", "gauge", "Connections that are open, by whose they are.");
    let hall = &status.hall;
    for (whose, count) in [("guest", hall.guests), ("on_trial", hall.on_trial), ("herd", hall.herd)] {
        text.sample("herd_connections", &[("whose", whose)], count as f64);
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
    status.traffic.iter().for_each(|(asked, summed)| text.histogram(*asked, summed));
    text.family("herd_refused_lines_total", "counter", "What was refused, by rule.");
    for rule in Rule::ALL {
        let count =
            status.refused_lines.iter().find(|(refused, _)| *refused == rule).map_or(0, |(_, count)| *count);
        text.sample("herd_refused_lines_total", &[("rule", &format!("{rule:?}"))], count as f64);
    }
    let degraded = f64::from(u8::from(status.journal == JournalStatus::Degraded));
    text.one("herd_journal_degraded", "gauge", "Whether the journal cannot be written.", degraded);
    if let Some(bytes) = status.journal_bytes {
        text.one("herd_journal_bytes", "gauge", "Bytes of the journal's files.", bytes as f64);
    }
    text.0
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

    fn histogram(&mut self, asked: Asked, summed: &Summed) {
        let (door, command) = (("door", asked.door()), ("command", asked.name()));
        let mut count = 0;
        for (most_us, bucket) in DURATION_BUCKETS_US.iter().zip(summed.buckets) {
            count += bucket;
            let most = (*most_us as f64 / 1e6).to_string();
            self.sample(
                "herd_command_duration_seconds_bucket",
                &[door, command, ("le", &most)],
                count as f64,
            );
        }
        let all = (count + summed.beyond) as f64;
        self.sample("herd_command_duration_seconds_bucket", &[door, command, ("le", "+Inf")], all);
        self.sample("herd_command_duration_seconds_sum", &[door, command], summed.sum_ns as f64 / 1e9);
        self.sample("herd_command_duration_seconds_count", &[door, command], all);
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

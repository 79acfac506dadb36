//! Whatever order AT lines come in, the newest by SPEC's total order stays, to the byte.

use crate::harness::{Client, Herd, wait_for};

/// Oldest first: by time as a number, then location, origin, difference.
const LADDER: [&str; 9] = [
    "AT Zulu +9.9 CLIENT +9+9 9.999999999",
    "AT Alpha +0.1 CLIENT +1+1 10",
    "AT Alpha +0.2 CLIENT +1+1 10.0",
    "AT Beta +0.1 CLIENT +1+1 10.00",
    "AT Alpha +0.1 CLIENT +1+2 010",
    "AT Alpha +0.1 CLIENT -1+1 10",
    "AT Alpha +0.1 CLIENT +1+1 10.000000001",
    "AT Alpha -0.1 CLIENT +1+1 10.000000001",
    "AT Alpha +0.1 CLIENT +1+1 00100",
];

#[test]
fn every_pair_of_lines_settles_on_the_newer_in_either_order() {
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], "", &[]);
    let goloman = herd.start("Goloman");
    let mut hands = Client::connect_from(herd.ip("Hands"), goloman.address);
    let mut expected = Vec::new();
    for (i, older) in LADDER.iter().enumerate() {
        for (j, newer) in LADDER.iter().enumerate().skip(i + 1) {
            for (name, pair) in [("up", [older, newer]), ("down", [newer, older])] {
                let client = format!("{name}-{i}-{j}");
                pair.iter().for_each(|line| hands.send(line.replace("CLIENT", &client) + "\n"));
                expected.push((newer.replace("CLIENT", &client), client));
            }
        }
    }
    // A refused line at the end tells that all before it has been taken.
    hands.send("end\n");
    assert_eq!(hands.text_line(), "? end\n");
    for (line, client) in expected {
        assert_eq!(goloman.knows(&client).as_deref(), Some(line.as_str()));
    }
}

#[test]
fn servers_that_heard_the_same_lines_in_any_order_hold_the_same() {
    let names = ["Goloman", "Hands", "Holiday", "Welsh"];
    // Goloman and Hands do not talk with each other, so each hears only from its own neighbour.
    let herd = Herd::new(&names, &[("Goloman", "Holiday"), ("Hands", "Welsh")], "", &[]);
    let servers = [herd.start("Goloman"), herd.start("Hands")];
    let mut random = fastrand::Rng::new();
    let seed = random.get_seed();
    let mut newest = Vec::new();
    let mut links = [("Holiday", &servers[0]), ("Welsh", &servers[1])]
        .map(|(name, server)| Client::connect_from(herd.ip(name), server.address));
    for round in 0..100 {
        let mut rungs: Vec<_> = (0..LADDER.len()).filter(|_| random.bool()).collect();
        let Some(&top) = rungs.last() else { continue };
        newest.push((format!("c{round}"), LADDER[top].replace("CLIENT", &format!("c{round}"))));
        for link in &mut links {
            random.shuffle(&mut rungs);
            for &rung in rungs.iter().chain(rungs.first()) {
                link.send(LADDER[rung].replace("CLIENT", &format!("c{round}")) + "\n");
            }
        }
    }
    for link in &mut links {
        link.send("end\n");
        assert_eq!(link.text_line(), "? end\n");
    }
    for (client, line) in newest {
        for server in &servers {
            assert_eq!(server.knows(&client).as_deref(), Some(line.as_str()), "seed {seed}");
        }
    }
}

#[test]
fn of_two_reports_of_one_time_the_greater_location_and_then_origin_wins_everywhere() {
    let edges = [("Alpha", "Beta"), ("Alpha", "Other"), ("Beta", "Other")];
    let herd = Herd::new(&["Alpha", "Beta", "Other"], &edges, "", &[]);
    // Told apart and alone, so that neither knows of the other's report.
    let line = |name: &str, location: &str| {
        let server = herd.start(name);
        let line = server.ask(&format!("IAMAT c {location} 7\n"));
        assert_eq!(server.stop(), Some(0));
        line.trim_end().to_owned()
    };
    for (first, second) in [("+1+1", "+1+1"), ("+1+2", "+1+1")] {
        let (by_alpha, by_beta) = (line("Alpha", first), line("Beta", second));
        let winner = if first > second { &by_alpha } else { &by_beta };
        let (alpha, beta) = (herd.start("Alpha"), herd.start("Beta"));
        for (server, told) in [(&alpha, &by_alpha), (&beta, &by_beta)] {
            Client::connect_from(herd.ip("Other"), server.address).say(format!("{told}\n"));
        }
        wait_for("both to settle", || {
            let known = [alpha.knows("c"), beta.knows("c")];
            known.iter().all(|known| known.as_ref() == Some(winner)).then_some(())
        });
    }
}

//! Clients that are to be forgotten, where somebody has had as many forgotten as may be.

use super::{alone, ask, get};
use crate::harness::{GOLOMAN_AND_HANDS, Herd, ONE_LINK, wait_for};

const HERE: &str = r#"{"lat":1,"lon":2}"#;

#[test]
fn whoever_is_known_can_be_forgotten_however_many_notes_there_are() {
    for settings in ["max_clients = 3\n", "max_clients = 3\nsync = \"always\"\n"] {
        let (_folder, server) = alone(settings, "");
        let forget = |client: &str| ask(&server, &format!("DELETE /v1/clients/{client}"), "", "");
        let tell = |client: &str| ask(&server, &format!("PUT /v1/clients/{client}"), "", HERE);
        assert_eq!(tell("known").status, 200);
        for client in ["nobody1", "nobody2", "nobody3"] {
            assert_eq!(forget(client).status, 204, "{client}");
        }
        let refused = forget("nobody4");
        let detail = refused.json()["detail"].as_str().expect("a detail").to_owned();
        assert!(refused.status == 503 && detail.contains("forgotten"), "{refused:?}");
        server.wait_for_log("unknown clients are not forgotten in advance");
        assert_eq!((forget("known").status, get(&server, "/v1/clients/known").status), (204, 404));
        assert_eq!(forget("nobody1").status, 204, "its note is there already");
        // One comes back, and is forgotten again.
        assert_eq!((tell("known").status, forget("known").status), (200, 204));
        // Whoever invents clients and has them forgotten comes to an end, too.
        let told: Vec<_> = (0..8).map(|number| (tell(&format!("new{number}")), number)).collect();
        let taken = told.iter().filter(|(told, _)| told.status == 200).count();
        assert_eq!(taken, 2, "{told:?}");
        let refused = &told.last().expect("one").0;
        assert!(refused.status == 503 && refused.body.contains("forgotten"), "{refused:?}");
    }
}

#[test]
fn a_herd_whose_servers_hold_as_many_notes_as_may_be_agrees() {
    let tables = [("Goloman", "http.listen = \"127.0.0.1:0\""), ("Hands", "http.listen = \"127.0.0.1:0\"")];
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "max_clients = 3\n", &tables);
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    for (server, name) in [(&goloman, "g"), (&hands, "h")] {
        assert_eq!(ask(server, &format!("PUT /v1/clients/{name}"), "", HERE).status, 200);
        (0..3).for_each(|number| {
            ask(server, &format!("DELETE /v1/clients/nobody-{name}{number}"), "", "");
        });
    }
    wait_for("both to be equal", || {
        let digest = |server| get(server, "/v1/herd").json()["digest"].clone();
        (digest(&goloman) == digest(&hands)).then_some(())
    });
    // Each is forgotten where it did not report.
    let told = wait_for("g to be known", || {
        Some(get(&hands, "/v1/clients/g").status).filter(|status| *status == 200)
    });
    assert_eq!((told, ask(&hands, "DELETE /v1/clients/g", "", "").status), (200, 204));
    wait_for("g to be gone", || (get(&goloman, "/v1/clients/g").status == 404).then_some(()));
}

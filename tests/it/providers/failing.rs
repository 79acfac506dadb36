//! Providers that fail, and settings with which none can be opened: what a client and an operator are told.

use super::*;

/// What each does wrong, the status it gets, and how often it is asked.
#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn a_stand_in_that_misbehaves() {
    use Status::{InvalidRequest, OverQueryLimit, RequestDenied, UnknownError};
    let text = |text: &str| Act::Reply(200, text.into());
    for (act, status, asked, words) in [
        (Act::Reply(500, b"<html>oops".to_vec()), UnknownError, 2, "HTTP 500"),
        (Act::Reply(503, Vec::new()), UnknownError, 2, "try again"),
        (Act::Reply(429, Vec::new()), OverQueryLimit, 1, "ask less often"),
        (Act::Reply(403, Vec::new()), RequestDenied, 1, "check the key"),
        (Act::Reply(400, Vec::new()), InvalidRequest, 1, "places.url"),
        (text("<html>hotel WLAN</html>"), UnknownError, 1, "cannot be read"),
        (text("{\"places\": 5, \"status\": 5, \"elements\": 5}"), UnknownError, 1, "cannot be read"),
        (Act::Reply(200, b"{\"places\": \"\xff\"}".to_vec()), UnknownError, 1, "cannot be read"),
        (text(""), UnknownError, 1, "cannot be read"),
        // The members of an answer without their names: Google's, the older Google's and that of Overpass.
        (text("[[]]"), UnknownError, 1, "cannot be read"),
        (text("[\"OK\", \"\", []]"), UnknownError, 1, "cannot be read"),
        (text("[[], null]"), UnknownError, 1, "cannot be read"),
        (Act::Truncated(b"{\"pla".to_vec(), 40), UnknownError, 2, "connection failed"),
        (Act::Huge(2 << 20), UnknownError, 1, "over 1 MiB"),
        (Act::Reply(200, vec![b' '; (1 << 20) + 1]), UnknownError, 1, "over 1 MiB"),
        (Act::Close, UnknownError, 2, "connection failed"),
        (Act::Reset, UnknownError, 2, "connection failed"),
        (Act::Gibberish, UnknownError, 1, "HTTP"),
        (Act::Redirect("http://127.0.0.1:1/".to_string()), UnknownError, 1, "redirect"),
    ] {
        for provider in HTTP_PROVIDERS {
            let stand_in = StandIn::start(act.clone());
            let error = open(provider, &stand_in.url("/")).ask(&UCLA).unwrap_err();
            let case = format!("{provider:?} {act:.40?}: {error}");
            assert_eq!(error.status, status, "{case}");
            assert!(error.message.contains(words), "{case}");
            assert_eq!(stand_in.seen().len(), asked, "{case}");
            assert!(!error.message.contains("127.0.0.1"), "{case}");
            let json: Value = serde_json::from_slice(&places::failure_json(&error)).unwrap();
            assert_eq!(json["status"], status.as_str());
            assert_eq!(json["results"], json!([]));
        }
    }
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn one_failure_that_passes_is_not_seen() {
    for provider in HTTP_PROVIDERS {
        for act in [Act::Reply(500, Vec::new()), Act::Close, Act::Reset] {
            let stand_in = StandIn::start(reply(200, &nothing(provider)));
            stand_in.next(act);
            let answer = open(provider, &stand_in.url("/")).ask(&UCLA).unwrap();
            assert!(answer.contains("ZERO_RESULTS"), "{answer}");
            assert_eq!(stand_in.seen().len(), 2);
        }
    }
    let stand_in = StandIn::start(reply(200, &nothing(Provider::GoogleLegacy)));
    stand_in.next(reply(200, &json!({"results": [], "status": "UNKNOWN_ERROR"})));
    open(Provider::GoogleLegacy, &stand_in.url("/")).ask(&UCLA).unwrap();
    assert_eq!(stand_in.seen().len(), 2);
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn nobody_there() {
    for provider in HTTP_PROVIDERS {
        let refusing = Refusing::new();
        let error = open(provider, &refusing.url()).ask(&UCLA).unwrap_err();
        assert_eq!(error.status, Status::UnknownError);
        assert!(error.message.contains("connection failed"), "{error}");
        let stand_in = StandIn::start(Act::Gibberish);
        let https = stand_in.url("/").replace("http:", "https:");
        let error = open(provider, &https).ask(&UCLA).unwrap_err();
        assert_eq!(error.status, Status::UnknownError, "{error}");
    }
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn the_deadline_holds() {
    for provider in HTTP_PROVIDERS {
        for act in [Act::Trickle, Act::Held(200, Vec::new())] {
            let stand_in = StandIn::start(act);
            let opened = open(provider, &stand_in.url("/"));
            let begun = Instant::now();
            let deadline = begun + Duration::from_millis(300);
            let error = opened.places.nearby(&UCLA, deadline).unwrap_err();
            assert!(begun.elapsed() < HANG / 2, "{:?}", begun.elapsed());
            assert!(error.message.contains("no answer within"), "{error}");
            assert_eq!(stand_in.seen().len(), 1);
        }
    }
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn googles_own_refusals() {
    use Status::{InvalidRequest, OverQueryLimit, RequestDenied};
    for (code, status, reason, expected, words) in [
        (400, "INVALID_ARGUMENT", "API_KEY_INVALID", RequestDenied, "HERD_PLACES_KEY"),
        (403, "PERMISSION_DENIED", "SERVICE_DISABLED", RequestDenied, "enable Places API (New)"),
        (403, "PERMISSION_DENIED", "", RequestDenied, "check the key"),
        (429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED", OverQueryLimit, "quota"),
        (400, "INVALID_ARGUMENT", "", InvalidRequest, "places.field_mask"),
    ] {
        let message = "Their\n\nwords.";
        let error =
            json!({"code": code, "message": message, "status": status, "details": [{"reason": reason}]});
        let stand_in = StandIn::start(reply(code, &json!({"error": error})));
        let error = open(Provider::Google, &stand_in.url("/")).ask(&UCLA).unwrap_err();
        assert_eq!(error.status, expected, "{error}");
        assert!(error.said.contains("Their words") && error.message.contains(words), "{error}");
        assert!(!error.message.contains("Their words"), "what they say is the log's: {error}");
    }
    for (status, message, expected, words) in [
        ("OVER_QUERY_LIMIT", "", OverQueryLimit, "quota raised"),
        ("OVER_DAILY_LIMIT", "Billing.", OverQueryLimit, "quota raised"),
        ("REQUEST_DENIED", "The provided API key is invalid.", RequestDenied, "check the key"),
        (
            "REQUEST_DENIED",
            "You’re calling a legacy API, which is not enabled for your project.",
            RequestDenied,
            "places.provider = \"google\"",
        ),
        ("INVALID_REQUEST", "", InvalidRequest, "check places.url"),
        ("SOMETHING_NEW", "", Status::UnknownError, "try again"),
    ] {
        let body = json!({"results": [], "status": status, "error_message": message});
        let stand_in = StandIn::start(reply(200, &body));
        let error = open(Provider::GoogleLegacy, &stand_in.url("/")).ask(&UCLA).unwrap_err();
        assert_eq!(error.status, expected, "{error}");
        assert!(error.message.contains(words), "{error}");
        let said = if message.is_empty() { status } else { message.trim_end_matches('.') };
        assert!(error.said == said && !error.message.contains(said), "what they say is the log's: {error}");
    }
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn the_key_stays_here() {
    capture_log();
    let encoded = "Test-Key%2Fwith%2Bodd%3Dcharacters%250123456789";
    let shown = |text: &str| text.contains("Test-Key") || text.contains("odd") || text.contains(encoded);
    let other = StandIn::start(reply(200, &json!({})));
    for words in [format!("bad key {}", key()), format!("GET /x?key={encoded} refused")] {
        let legacy = json!({"results": [], "status": "REQUEST_DENIED", "error_message": words});
        let error = json!({"code": 400, "status": "INVALID_ARGUMENT", "message": words, "details": []});
        for (provider, act) in [
            (Provider::GoogleLegacy, reply(200, &legacy)),
            (Provider::Google, reply(400, &json!({"error": error}))),
            (Provider::Google, Act::Reply(200, format!("{{\"places\": \"{words}\"}}").into())),
            (Provider::GoogleLegacy, Act::Redirect(other.url("/"))),
            (Provider::Google, Act::Redirect(other.url("/"))),
            (Provider::GoogleLegacy, Act::Reset),
        ] {
            let stand_in = StandIn::start(act);
            let error = open(provider, &stand_in.url("/")).ask(&UCLA).unwrap_err();
            assert!(!shown(&error.message) && !shown(&format!("{error:?}")), "{error}");
        }
        let echo = json!({"results": [{"name": words}], "status": "OK"});
        let stand_in = StandIn::start(reply(200, &echo));
        let answer = open(Provider::GoogleLegacy, &stand_in.url("/")).ask(&UCLA).unwrap();
        assert!(answer.contains("[key]") && !shown(&answer), "{answer}");
    }
    assert!(other.seen().is_empty(), "a redirect was followed");
    let log = LOG.lock().unwrap();
    assert!(log.iter().any(|line| line.contains("once more in")), "the log is not captured");
    assert!(!log.iter().any(|line| shown(line)), "{log:#?}");
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn a_dead_provider_fails_every_lookup_in_time() {
    let stand_in = StandIn::start(Act::Held(200, Vec::new()));
    let opened = open(Provider::Google, &stand_in.url("/"));
    let pool = Pool::start(opened.places.clone(), bounds(Duration::from_millis(500))).unwrap();
    let begun = Instant::now();
    let waiting: Vec<Receiver<String>> =
        (1..=10).map(|bound| submit(&pool, Lookup { bound, ..UCLA })).collect();
    let answers: Vec<String> = waiting.iter().map(|answer| answer.recv_timeout(HANG).unwrap()).collect();
    assert!(begun.elapsed() < HANG / 2, "{:?}", begun.elapsed());
    assert!(answers.iter().all(|answer| answer.contains("UNKNOWN_ERROR")), "{answers:?}");
    for why in ["no answer within", "too many lookups"] {
        assert!(answers.iter().any(|answer| answer.contains(why)), "{why}: {answers:?}");
    }
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn settings_that_cannot_work() {
    let dir = TempDir::new().unwrap();
    let empty = dir.path().join("empty");
    fs::write(&empty, " \n").unwrap();
    let url = "http://127.0.0.1:1/";
    let good = |provider| settings(provider, url, &dir);
    for (settings, words) in [
        (Settings { url: None, ..good(Provider::Overpass) }, "places.url: overpass needs"),
        (Settings { url: Some("example".into()), ..good(Provider::Overpass) }, "write all of it"),
        (Settings { field_mask: Some("id name".into()), ..good(Provider::Google) }, "places.field_mask"),
        (Settings { paths: Vec::new(), ..good(Provider::File) }, "places.path: not set"),
        (Settings { paths: vec![dir.path().join("none")], ..good(Provider::File) }, "No such file"),
    ] {
        let error = places::open(&settings).err().unwrap();
        assert!(error.contains(words), "{error}");
    }
    if env::var_os("HERD_PLACES_KEY").is_some() {
        return; // it comes before every key file
    }
    for provider in [Provider::Google, Provider::GoogleLegacy] {
        for (key_file, words) in [
            (None, "set HERD_PLACES_KEY or places.key_file"),
            (Some(dir.path().join("none")), "places.key_file: "),
            (Some(empty.clone()), "empty"),
        ] {
            let error = places::open(&Settings { key_file, ..good(provider) }).err().unwrap();
            assert!(error.contains(words), "{error}");
        }
    }
}

//! Unit tests: when a link is dead, and when stores are compared.

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn of(news: u64) -> Progress {
    Progress { news, forgotten: 0 }
}

fn digest(lines: &[&str]) -> Digest {
    let mut digest = Digest::default();
    lines.iter().for_each(|line| digest.add(line.as_bytes(), line.as_bytes()));
    digest
}

/// Asks, if it is due, and is answered at once; the parts to be sent.
fn compare(
    session: &mut Session,
    [own, theirs]: [&Digest; 2],
    state: Progress,
    now: Duration,
) -> Option<Option<Parts>> {
    let scope = session.scope_due(state, now)?;
    session.asks(scope, Span::ALL, state, now);
    assert_eq!(session.scope_due(state, now), None, "it is on its way");
    let Heard::Digest(answer) = session.hear(&said(theirs), now) else { panic!("it was asked for") };
    assert_eq!(answer.scope, scope);
    Some(session.compare(own, &answer, state.news, now))
}

fn said(digest: &Digest) -> Vec<u8> {
    let mut line = Vec::new();
    Word::Digest { span: digest.span, count: digest.count, sums: digest.to_hex().as_bytes() }
        .write(&mut line);
    line.trim_ascii_end().to_vec()
}

#[test]
fn a_link_is_dead_after_fifteen_silent_seconds() {
    let mut session = Session::new(Timing::default(), at(0));
    assert!(!session.is_silent(at(15)) && session.is_silent(at(16)));
    assert_eq!([0, 14, 99].map(|now| session.patience(at(now)).as_secs()), [15, 1, 0]);
    assert_eq!(session.hear(b"SEEN 7", at(10)), Heard::Seen(7));
    assert!(!session.is_silent(at(25)) && session.is_silent(at(26)));
    session.alive(at(26));
    assert!(!session.is_silent(at(41)));
}

#[test]
fn stores_are_compared_once_when_all_is_quiet() {
    let mut session = Session::new(Timing::default(), at(0));
    let (own, theirs) = (digest(&["a", "b"]), digest(&["a"]));
    let mut due = |news, now| session.scope_due(of(news), at(now));
    assert_eq!([due(5, 1), due(5, 11)], [None, None]);
    assert_eq!(due(6, 12), None, "there was news");
    assert_eq!(due(6, 23), Some(Scope::All));
    session.asks(Scope::All, Span::ALL, of(6), at(23));
    let mut due = |now| session.scope_due(of(6), at(now));
    assert_eq!([due(24), due(34)], [None, Some(Scope::All)], "on its way, and no answer came");
    let Heard::Digest(answer) = session.hear(&said(&theirs), at(35)) else { panic!("it is the answer") };
    assert_eq!(session.compare(&own, &answer, 7, at(35)), None, "there was news meanwhile");
    let parts = compare(&mut session, [&own, &theirs], of(6), at(36)).flatten().expect("they differ");
    assert!(parts.has(b"b") && !parts.has(b"a"));
    assert_eq!(session.scope_due(of(6), at(46)), None);
    assert_eq!(compare(&mut session, [&own, &own], of(6), at(48)), Some(None), "it is mended");
    assert_eq!(session.scope_due(of(6), at(999)), None, "they are the same");
}

#[test]
fn a_digest_counts_once_and_only_where_it_was_asked_for() {
    let mut session = Session::new(Timing::default(), at(0));
    let line = said(&digest(&["a"]));
    assert_eq!(session.hear(&line, at(1)), Heard::Nothing);
    session.asks(Scope::All, Span { from_s: Some(5), to_s: None }, of(0), at(1));
    assert_eq!(session.hear(&line, at(1)), Heard::Nothing, "it is of more than was asked for");
    let line = String::from_utf8(line).expect("text");
    let cut = line.replacen("- -", "6 9", 1);
    assert_eq!(session.hear(cut.as_bytes(), at(1)), Heard::Nothing, "its end is not for the other to choose");
    let narrower = line.replacen("- -", "6 -", 1);
    let span = Span { from_s: Some(6), to_s: None };
    let heard = session.hear(narrower.as_bytes(), at(1));
    assert!(matches!(&heard, Heard::Digest(answer) if answer.theirs.span == span), "{heard:?}");
    assert_eq!(session.hear(narrower.as_bytes(), at(1)), Heard::Nothing);
}

#[test]
fn with_news_all_the_time_a_difference_is_found_that_stays() {
    let mut session = Session::new(Timing::default(), at(0));
    // What is on its way makes another part differ each time.
    let (lacks, knows) = (digest(&["a"]), digest(&["a", "b"]));
    let mut sent = Vec::new();
    for now in 0..600 {
        let on_its_way = digest(&["a", &format!("c{now}")]);
        if let Some(Some(parts)) = compare(&mut session, [&knows, &on_its_way], of(now), at(now)) {
            assert_eq!(parts, knows.differing(&lacks));
            sent.push(now);
        }
    }
    // The first one 180 s after the start, which takes eight digests, each more than a second after the last.
    assert_eq!(sent, [195, 390, 585]);
}

#[test]
fn with_news_all_the_time_what_is_on_its_way_is_no_difference() {
    let mut session = Session::new(Timing::default(), at(0));
    let mut asked = 0;
    for now in 0..600 {
        let on_its_way = digest(&["a", &format!("c{now}")]);
        if let Some(sent) = compare(&mut session, [&digest(&["a"]), &on_its_way], of(now), at(now)) {
            asked += 1;
            assert_eq!(sent, None);
        }
    }
    assert_eq!(asked, 6, "two digests have no difference in common");
}

#[test]
fn a_share_of_what_differs_is_sent_while_there_is_news_and_the_rest_later() {
    let mut session = Session::new(Timing::default(), at(0));
    let many: Vec<_> = (0..5_000).map(|client| format!("c{client}")).collect();
    let knows = digest(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let mut sent = Vec::new();
    for now in 0..2_000 {
        sent.extend(compare(&mut session, [&knows, &Digest::default()], of(now), at(now)).flatten());
    }
    assert!(sent.len() > 8 && sent.iter().all(|parts| parts.count() == COMPARE_PARTS_MAX));
    let all = sent.into_iter().take(8).reduce(|mut all, parts| {
        all.join(&parts);
        all
    });
    assert_eq!(all.map(|all| all.count()), Some(256));
}

#[test]
fn a_difference_that_stays_is_noted_once_and_looked_at_less_and_less_often() {
    let mut session = Session::new(Timing::default(), at(0));
    let (own, theirs) = (digest(&["a", "b"]), digest(&["a"]));
    let (mut compared, mut noted) = (Vec::new(), Vec::new());
    for now in 0..2_000 {
        if let Some(sent) = compare(&mut session, [&own, &theirs], of(5), at(now)) {
            assert!(sent.is_some());
            compared.push(now);
        }
        if session.takes_note_of_difference(at(now)) {
            noted.push(now);
        }
    }
    assert!(compared.len() > 10 && compared.len() < 20, "{compared:?}");
    assert_eq!(noted, [compared[0] + 60]);
    assert!(session.differs_for_long());
    assert_eq!(compare(&mut session, [&own, &own], of(5), at(2_200)), Some(None));
    assert!(!session.differs_for_long());
}

#[test]
fn what_was_forgotten_since_is_a_reason_to_compare_again_and_a_rare_one() {
    let mut session = Session::new(Timing::default(), at(0));
    let same = digest(&["a"]);
    let of = |forgotten| Progress { news: 0, forgotten };
    assert_eq!(compare(&mut session, [&same, &same], of(0), at(12)), Some(None));
    let mut due = |forgotten, now| session.scope_due(of(forgotten), at(now));
    assert_eq!([due(0, 999), due(1, 13), due(2, 192), due(3, 193)], [None, None, None, Some(Scope::All)]);
}

#[test]
fn refusals_are_reported_once() {
    let mut session = Session::new(Timing::default(), at(0));
    assert_eq!(session.hear(b"? PROOF -", at(1)), Heard::Nothing, "DENIED says more");
    let said = ["? AT x", "? AT y", "DIGEST - - 1 zz"].map(|line| session.hear(line.as_bytes(), at(1)));
    assert_eq!(said, [Heard::Refusal, Heard::Nothing, Heard::Nothing]);
}

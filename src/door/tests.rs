//! Unit tests: doors on byte strings, cut anywhere, in every order of what may happen to them.

use super::*;
use crate::limits::{self, AT_LINE_MAX};
use crate::link::{Identity, KeyRing, Kind, Neighbour, Neighbours};
use crate::node::{Bounds, NeighbourId, Node};
use crate::protocol::{Command, Record, Rule};
use crate::status::HallStatus;

const NOW: Moment = Moment { up: Duration::from_secs(100), posix_ns: 1_520_023_935_182_837_383 };
const MANNERS: Manners = Manners {
    max_line: 128,
    max_unsent: 4_096,
    max_clients: usize::MAX,
    one_shot: false,
    idle_timeout: Some(Duration::from_secs(3_600)),
    greeting: Duration::from_secs(5),
    silent: Duration::from_secs(10),
    drain: Duration::from_secs(1),
    http: None,
};
const STRANGER: &str = "127.0.0.1:5";
const HANDS: &str = "127.0.0.2:5";
const PLAIN: &str = "127.0.0.3:5";

/// A connection's door and all that it needs, without the connection.
struct Visitor {
    core: Core,
    turn: Turn,
    door: Door,
    manners: Manners,
    now: Moment,
    address: SocketAddr,
    heard: Duration,
    unsent: usize,
    is_on_trial: bool,
    said: String,
}

impl Visitor {
    fn from(address: &str) -> Visitor {
        let own = Identity { name: "Goloman".into(), incarnation: 1, conf: 3 };
        let list = [("Hands", Kind::Herd), ("Other", Kind::Plain { refill: false })];
        let list = list.map(|(name, kind)| Neighbour { name: name.into(), kind }).into();
        let beat = Duration::from_secs(5);
        let neighbours = Neighbours::new(own, list, KeyRing::default(), Duration::ZERO, beat);
        for (id, address) in [(0, HANDS), (1, PLAIN)] {
            neighbours.update(NeighbourId(id), &[address.parse().expect("an address")]);
        }
        let core = Core::alone(Node::new("Goloman", Bounds::default()), neighbours);
        let turn = Turn::new(&core, Wire::mute());
        let address = address.parse().expect("an address");
        let door = Door::open_line(address, None, &core, NOW);
        Visitor {
            core,
            turn,
            door,
            manners: MANNERS,
            now: NOW,
            address,
            heard: NOW.up,
            unsent: 0,
            is_on_trial: false,
            said: String::new(),
        }
    }

    fn call(&mut self, call: impl FnOnce(&mut Door, &mut Visit<'_>) -> Option<Question>) -> Option<Question> {
        let Visitor { core, turn, door, manners, now, address, unsent, is_on_trial, .. } = self;
        let mut visit = Visit {
            core,
            manners,
            turn,
            now: *now,
            address: *address,
            unsent: *unsent,
            is_on_trial: *is_on_trial,
            is_stopping: false,
        };
        let question = call(door, &mut visit);
        turn.commit(core, *now);
        self.said += &String::from_utf8_lossy(&std::mem::take(&mut self.turn.out));
        question
    }

    fn read(&mut self, text: &str) -> Option<Question> {
        self.heard = self.now.up;
        self.call(|door, visit| door.read(visit, text.as_bytes()))
    }

    /// Says something, has questions answered until there is none, and returns what was said back.
    fn say(&mut self, text: &str) -> String {
        let mut question = self.read(text);
        while let Some(asked) = question {
            question = self.answer(&asked);
        }
        std::mem::take(&mut self.said)
    }

    fn answer(&mut self, asked: &Question) -> Option<Question> {
        let answer = match asked {
            Question::Places(_) => Answer::Places(b"{}"[..].into()),
            asked => asked.answer(&self.core, HallStatus::default(), self.now),
        };
        self.call(|door, visit| {
            door.answer(visit, answer);
            door.go_on(visit)
        })
    }

    fn end(&mut self) -> Option<Question> {
        self.call(|door, visit| door.end(visit))
    }

    fn deadline(&self) -> Option<(Duration, &'static str)> {
        self.door.deadline(&self.manners, self.heard, Duration::ZERO)
    }

    fn count(&self, rule: Rule) -> bool {
        self.core.tallies.refusals.to_string().contains(rule.words())
    }
}

const KIWI: &str = "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\n";
const AT_KIWI: &str = "AT Goloman +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\n";
const HELLO: &str = "HERD 1 Hands 0000000000000007 00000000000000000000000000000002 0000000000000003\n";

#[test]
fn a_report_and_a_query_are_answered_to_the_byte() {
    let mut visitor = Visitor::from(STRANGER);
    assert_eq!(visitor.say(KIWI), AT_KIWI);
    let asked = visitor.read("WHATSAT kiwi.cs.ucla.edu 10 5\n").expect("a question");
    let lookup = Lookup { latitude_deg: 34.06893, longitude_deg: -118.445127, radius_m: 10_000.0, bound: 5 };
    assert!(matches!(&asked, Question::Places(it) if *it == lookup));
    assert!(visitor.door.waits() && visitor.door.is_owed() && !visitor.door.reads());
    assert!(visitor.answer(&asked).is_none());
    assert_eq!(visitor.said, format!("{AT_KIWI}{{}}\n\n"));
}

#[test]
fn the_nearest_clients_come_as_their_lines_and_are_counted() {
    let mut visitor = Visitor::from(STRANGER);
    assert_eq!(visitor.say("COUNT\nNEAR +34.06-118.44 20037 1000\n"), "COUNT 0\n\n");
    let far = visitor.say("IAMAT far +35-118 1520023934\n");
    let near = visitor.say(KIWI);
    assert_eq!(visitor.say("NEAR +34.06-118.44 20037 1000\nCOUNT\n"), format!("{near}{far}\nCOUNT 2\n"));
    assert_eq!(visitor.say("NEAR +34.06-118.44 20037 1\n"), format!("{near}\n"));
    assert_eq!(visitor.say("NEAR +34.06-118.44 5 1000\n"), format!("{near}\n"));
    assert_eq!(visitor.say("NEAR +34.068930-118.445127 0 5\n"), format!("{near}\n"));
    assert_eq!(visitor.say("NEAR +34.06-118.44 5 0\n"), "\n");
    // It moves, and is found where it is.
    let moved = visitor.say("IAMAT kiwi.cs.ucla.edu -34+179.9999 1520023935\n");
    assert_eq!(visitor.say("NEAR -34-179.9999 1 5\nNEAR +34.06-118.44 5 5\n"), format!("{moved}\n\n"));
    visitor.manners.one_shot = true;
    assert_eq!(visitor.say("COUNT\nCOUNT\n"), "COUNT 2\n");
    assert!(visitor.door.closes().is_some());
}

#[test]
fn what_takes_more_than_a_turn_has_is_found_elsewhere_or_refused_in_its_place() {
    let mut visitor = Visitor::from(STRANGER);
    let at = visitor.say(KIWI);
    let line = "NEAR +34.06-118.44 5 5\n";
    visitor.manners.max_unsent = usize::MAX;
    visitor.turn.begin();
    let many = line.repeat(limits::SEARCHES_PER_TURN as usize);
    assert!(visitor.read(&many).is_none());
    assert_eq!(
        std::mem::take(&mut visitor.said),
        format!("{at}\n").repeat(limits::SEARCHES_PER_TURN as usize)
    );
    let asked = visitor.read(&format!("{line}COUNT\n")).expect("a question");
    assert!(matches!(asked, Question::Near(_)) && visitor.door.waits() && visitor.door.is_owed());
    assert!(visitor.answer(&asked).is_none());
    assert_eq!(std::mem::take(&mut visitor.said), format!("{at}\nCOUNT 1\n"));
    assert!(visitor.read(&format!("{line}COUNT\n")).is_some());
    visitor.call(|door, visit| {
        door.answer(visit, Answer::None);
        door.go_on(visit)
    });
    assert_eq!(std::mem::take(&mut visitor.said), format!("? {line}COUNT 1\n"));
    assert!(visitor.count(Rule::Busy));
    visitor.turn.begin();
    assert!(visitor.read(line).is_none());
}

#[test]
fn without_an_index_everybody_is_looked_at_elsewhere() {
    let mut visitor = Visitor::from(STRANGER);
    let bounds = Bounds { is_indexed: false, ..Bounds::default() };
    visitor.core.node = std::sync::Arc::new(Node::new("Goloman", bounds));
    let at = visitor.say(KIWI);
    assert!(visitor.read("NEAR +34.06-118.44 5 5\n").is_some_and(|asked| visitor.answer(&asked).is_none()));
    assert_eq!(visitor.said, format!("{at}\n"));
}

#[test]
fn who_is_hidden_is_not_counted() {
    const NOW_NS: u64 = 1_520_023_935_000_000_000;
    let mut visitor = Visitor::from(STRANGER);
    let bounds = Bounds { forget_after_s: Some(100), ..Bounds::default() };
    visitor.core.node = std::sync::Arc::new(Node::new("Goloman", bounds));
    for (client, seconds) in [("old", 1_520_023_800), ("a", 1_520_023_900), ("b", 1_520_023_930)] {
        let line = format!("AT Hands +1 {client} +1+1 {seconds}");
        let Ok(Command::At(fields)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
        let _ = visitor.core.node.hear(&Record::write(&fields, &mut Vec::new()), NOW_NS);
    }
    assert_eq!(visitor.say("COUNT\n"), "COUNT 3\n");
    visitor.core.node.let_hide(NOW_NS);
    let asked = visitor.read("COUNT\nNEAR +1+1 1 5\n").expect("a question");
    assert!(matches!(asked, Question::Count) && visitor.door.waits());
    assert!(visitor.answer(&asked).is_none());
    let said = std::mem::take(&mut visitor.said);
    let ids: Vec<_> = said.lines().filter_map(|line| line.split(' ').nth(3)).collect();
    assert!(said.starts_with("COUNT 2\n") && ids == ["a", "b"], "{said}");
    assert!(visitor.read("COUNT\n").is_some());
    visitor.call(|door, visit| {
        door.answer(visit, Answer::None);
        door.go_on(visit)
    });
    assert_eq!(std::mem::take(&mut visitor.said), "? COUNT\n");
    assert!(visitor.count(Rule::Busy));
}

#[test]
fn invalid_commands_come_back_as_they_came() {
    let check = |text: &str, rule: Rule| {
        let mut visitor = Visitor::from(STRANGER);
        let line = text.strip_suffix('\r').unwrap_or(text);
        assert_eq!(visitor.say(&format!("{text}\n")), format!("? {line}\n"));
        assert!(visitor.count(rule), "{text}: {}", visitor.core.tallies.refusals);
    };
    check("  hello\t world  ", Rule::Keyword);
    check("hello\r", Rule::Keyword);
    check("WHATSAT nobody 10 5", Rule::UnknownClient);
    check("AT Goloman +0.1 kiwi +1+1 1", Rule::NotANeighbour);
    check("NEAR kiwi 10 5", Rule::LatitudeSign);
    check("NEAR +34-118 30000 5", Rule::NearRadiusRange);
    check("COUNT all", Rule::CountFields);
    check("AT", Rule::AtFields);
    check("MARK 5", Rule::NotOnALink);
}

#[test]
fn at_lines_of_neighbours_are_learned_in_silence() {
    let check = |address: &str, text: &str, is_whole: bool, is_news: bool| {
        let mut visitor = Visitor::from(address);
        let newline = if is_whole { "\n" } else { "" };
        assert_eq!(visitor.say(&format!("{text}{newline}")), "", "{text}");
        assert!(visitor.end().is_none());
        assert_eq!((visitor.core.node.store.count() == 1, &*visitor.said), (is_news, ""), "{text}");
        visitor.core.tallies
    };
    check(HANDS, "AT Hands +0.1 a +1+1 12", true, true);
    assert_eq!(check(HANDS, "AT Hands +0.1 a +1+1 13", false, false).cut.total(), 1);
    check(PLAIN, "AT Hands +0.1 a +1+1 14", false, true);
    assert_eq!(check(HANDS, "AT Hands +0.1 a +1+1 nan", true, false).dropped.total(), 1);
    assert_eq!(check(HANDS, "AT Hands +0.1 a +1+1 n", false, false).cut.total(), 1);
    check(HANDS, "  ", true, false);
    check(HANDS, "AT  Hands\t+0.1 b +1+1 1", true, true);
}

#[test]
fn a_time_in_milliseconds_is_noticed_and_a_right_one_is_not() {
    for (time, expected) in
        [("1520023934.918963997", 0), ("1520027535", 0), ("1520023934918", 1), ("2147483647", 1)]
    {
        let mut visitor = Visitor::from(STRANGER);
        assert!(visitor.say(&format!("IAMAT a +1+1 {time}\n")).starts_with("AT "));
        // By a clock of before herd was written, which can accuse nobody, it is counted apart.
        let tallies = &visitor.core.tallies;
        assert_eq!((tallies.far_ahead.total(), tallies.suspect.total()), (0, expected), "{time}");
        visitor.now.posix_ns = 1_700_000_000_000_000_000;
        let _ = visitor.say(&format!("IAMAT b +1+1 {time}\n"));
        assert_eq!(visitor.core.tallies.far_ahead.total(), expected, "{time}");
    }
}

#[test]
fn a_line_longer_than_any_record_hides_none_of_those_behind_it() {
    let mut visitor = Visitor::from(HANDS);
    let long = format!("AT Hands +1 {} +1+1 1\n", "x".repeat(AT_LINE_MAX));
    assert_eq!(visitor.say(&format!("{long}AT Hands +1 b +1+1 1\n")), "");
    assert_eq!((visitor.core.tallies.dropped.total(), visitor.core.node.store.count()), (1, 1));
    let record = format!("AT Hands +1 {} +1+1 1\n", "x".repeat(1_000));
    assert_eq!(visitor.say(&record), "", "longer than a client's may be");
    assert_eq!(visitor.core.node.store.count(), 2);
    let mut stranger = Visitor::from(STRANGER);
    let long = "x".repeat(200);
    assert_eq!(stranger.say(&format!("{long}\nhello\n")), format!("? {}\n", &long[..128]));
    assert!(stranger.door.closes().is_some());
}

/// What a neighbour and a client say in good order, and bytes that mean nothing.
fn conversations() -> Vec<(&'static str, String)> {
    let long = "x".repeat(200);
    vec![
        (STRANGER, format!("{KIWI}hello\r\n\nWHATSAT kiwi.cs.ucla.edu 1 1\nWHATSAT nobody 1 1\n{KIWI}rest")),
        (
            STRANGER,
            format!("{KIWI}NEAR +34-118 100 5\nCOUNT\r\nNEAR +34-118 1 5\nCOUNT 1\nNEAR +34-118 1000 5"),
        ),
        (STRANGER, format!("{KIWI}GET / HTTP/1.1\r\n{KIWI}")),
        (STRANGER, format!("{KIWI}{long}\n{KIWI}")),
        (STRANGER, format!("{HELLO}PROOF -\n")),
        (
            HANDS,
            format!(
                "{HELLO}PROOF -\nAT Hands +1 a +1+1 1\nMARK 1\nASK\nTIME 1 0 0 0 0\nMARK 2\nASK\nASK\nAT x\nAT Hands \
                 +1 b +1+1 2\nIAMAT c +1+1 1\nWHATSAT a 1 1\nAT Hands +1 d +1+1 1"
            ),
        ),
        (HANDS, format!("AT Hands +1 {long} +1+1 1\nAT Hands +1 b +1+1 1\nMARK 1\n")),
        (HANDS, format!("{HELLO}MARK 1\nPROOF -\n")),
        (PLAIN, "AT Hands +0.1 a +1+1 14".into()),
    ]
}

/// What a conversation comes to: what was said, what is known, whether it is to close.
fn outcome(mut visitor: Visitor) -> (String, Vec<u8>, Option<&'static str>) {
    let mut question = visitor.end();
    while let Some(asked) = question {
        question = visitor.answer(&asked);
    }
    let (mut known, mut walk) = (Vec::new(), crate::store::Walk::all());
    while walk.step(&visitor.core.node.store, &mut known) {}
    let mut lines: Vec<_> = known.split_inclusive(|&byte| byte == b'\n').collect();
    lines.sort();
    // Every greeting has a nonce of its own.
    let said = visitor.said.lines().filter(|line| !line.starts_with("HERD "));
    (said.collect::<Vec<_>>().join("\n"), lines.concat(), visitor.door.closes())
}

#[test]
fn whatever_the_cut_the_conversation_comes_to_the_same() {
    for (address, text) in conversations() {
        let mut whole = Visitor::from(address);
        whole.said = whole.say(&text);
        let expected = outcome(whole);
        for cut in 0..=text.len() {
            let mut visitor = Visitor::from(address);
            let (begin, rest) = text.split_at(cut);
            let said = visitor.say(begin) + &visitor.say(rest);
            visitor.said = said;
            assert_eq!(outcome(visitor), expected, "cut at {cut}: {text:?}");
        }
        let mut visitor = Visitor::from(address);
        visitor.said = text.split_inclusive(|_| true).map(|byte| visitor.say(byte)).collect();
        assert_eq!(outcome(visitor), expected, "byte by byte: {text:?}");
    }
}

#[test]
fn questions_without_end_are_answered_one_after_another_and_a_refused_one_is_passed_over() {
    let mut visitor = Visitor::from(HANDS);
    let _ = visitor.say(&format!("{HELLO}PROOF -\n"));
    let mut question = visitor.read(&"ASK - -\n".repeat(1_000));
    let mut refused = 0;
    while question.is_some() {
        refused += 1;
        question = visitor.call(|door, visit| {
            door.answer(visit, Answer::None);
            door.go_on(visit)
        });
    }
    assert_eq!((refused, &*visitor.said), (1_000, ""));
    assert!(visitor.door.reads() && visitor.say("ASK - -\n").starts_with("DIGEST - - 0 "));
}

#[test]
fn a_greeting_has_its_time_however_slowly_it_is_spoken_and_a_link_may_be_silent() {
    let mut visitor = Visitor::from(HANDS);
    let idle = visitor.deadline().expect("one");
    assert_eq!(idle, (NOW.up + Duration::from_secs(3_600), "idle"));
    let _ = visitor.say(HELLO);
    let until = visitor.deadline().expect("one");
    assert_eq!(until.0, NOW.up + MANNERS.greeting);
    visitor.now.up += Duration::from_secs(4);
    let _ = visitor.say("PRO");
    assert_eq!(visitor.deadline(), Some(until));
    let _ = visitor.say("OF -\n");
    assert_eq!(visitor.deadline(), None);
    assert!(visitor.door.take_lasting() && !visitor.door.take_lasting());
}

#[test]
fn a_door_owns_a_buffer_only_while_it_holds_part_of_a_line() {
    let mut visitor = Visitor::from(STRANGER);
    let held = |visitor: &Visitor| match &visitor.door {
        Door::Line(line) => line.input.capacity(),
        Door::Http(_) => 0,
    };
    let (begin, rest) = KIWI.split_at(20);
    for (text, is_held) in
        [(KIWI, false), (begin, true), (rest, false), ("hello\r", true), ("\nhello\n", false)]
    {
        let _ = visitor.say(text);
        assert_eq!(held(&visitor) > 0, is_held, "{text:?}");
    }
}

// --- a model: whatever happens in whatever order, a door says what it owes and nothing else

/// What may happen to a door.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Report,
    Query,
    Near,
    Greeting,
    Proof,
    Ask,
    At,
    Mark,
    Time,
    Half,
    Answered,
    Refused,
    /// The peer takes no more replies, and then it has taken all.
    Full,
    Sent,
    End,
    /// More time passes than a greeting has.
    Late,
    /// Somebody else calls, whom the same server answers.
    Stranger,
}

const ALL: [Happens; 17] = [
    Happens::Report,
    Happens::Query,
    Happens::Near,
    Happens::Greeting,
    Happens::Proof,
    Happens::Ask,
    Happens::At,
    Happens::Mark,
    Happens::Time,
    Happens::Half,
    Happens::Answered,
    Happens::Refused,
    Happens::Full,
    Happens::Sent,
    Happens::End,
    Happens::Late,
    Happens::Stranger,
];

/// How far the greeting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    None,
    Greeted,
    Open,
}

/// What a door must come to, in the plainest words: the lines it was given, and the replies it owes, by first words.
struct Model {
    is_neighbour: bool,
    given: String,
    link: Link,
    /// What it waits to be told.
    asked: Option<Question>,
    /// It asked that, as far as the model can see.
    waits: Option<&'static str>,
    ended: bool,
    closed: bool,
    /// Its time was up, and the room has dropped it.
    gone: bool,
    owed: Vec<&'static str>,
}

impl Model {
    fn new(is_neighbour: bool) -> Model {
        Model {
            is_neighbour,
            given: String::new(),
            link: Link::None,
            asked: None,
            waits: None,
            ended: false,
            closed: false,
            gone: false,
            owed: Vec::new(),
        }
    }

    /// Takes up the lines that were given, for as long as the door may.
    fn go_on(&mut self) {
        while !self.closed && self.waits.is_none() {
            let Some((line, rest)) = self.given.split_once('\n') else { break };
            let (line, rest) = (line.to_owned(), rest.to_owned());
            self.given = rest;
            self.take(&line);
        }
        if self.ended && !self.closed && self.waits.is_none() {
            let last = std::mem::take(&mut self.given);
            if !last.is_empty() {
                self.take(&last);
            }
            self.closed = true;
        }
    }

    fn take(&mut self, line: &str) {
        match (line.split(' ').next().unwrap_or_default(), self.link) {
            _ if line.len() > MANNERS.max_line => {
                self.owed.push("?");
                self.closed = true;
            }
            ("IAMAT", _) if line.split(' ').count() == 4 => self.owed.push("AT"),
            ("WHATSAT", _) => self.waits = Some("AT"),
            ("NEAR", _) => self.owed.push("AT"),
            ("COUNT", _) => self.owed.push("COUNT"),
            ("AT", _) if self.is_neighbour => {}
            ("HERD", Link::None) if self.is_neighbour => {
                self.owed.push("HERD");
                self.link = Link::Greeted;
            }
            ("HERD", _) => self.deny(),
            ("PROOF", Link::Greeted) => self.link = Link::Open,
            ("ASK", Link::Open) => self.waits = Some("DIGEST"),
            ("MARK", Link::Open) => self.owed.push("SEEN"),
            ("TIME", Link::Open) => self.owed.push("TIME"),
            ("PROOF" | "ASK" | "MARK" | "TIME", Link::Greeted | Link::Open) => self.deny(),
            _ => self.owed.push("?"),
        }
    }

    fn deny(&mut self) {
        self.owed.extend(["?", "DENIED"]);
        self.closed = true;
    }

    /// Its question is answered, or it is told that there is no answer.
    fn told(&mut self, reply: Option<&'static str>, is_full: bool) {
        self.owed.extend(reply);
        self.waits = None;
        if !is_full {
            self.go_on();
        }
    }

    fn read(&mut self, visitor: &mut Visitor, text: &str) {
        // A room reads only while the door does, and nothing is unsent.
        if visitor.door.reads() && visitor.unsent == 0 && !self.ended && !self.closed {
            self.given += text;
            self.go_on();
            self.asked = visitor.read(text).or(self.asked.take());
        }
    }

    fn step(&mut self, visitor: &mut Visitor, happens: Happens) {
        let is_full = visitor.unsent > 0;
        match happens {
            _ if self.gone => {}
            Happens::Report => self.read(visitor, "IAMAT a +1+1 1\nIAMAT a +1+1 2\n"),
            Happens::Query => self.read(visitor, "WHATSAT a 1 1\nWHATSAT a 2 2\n"),
            Happens::Near => self.read(visitor, "NEAR +1+1 1 1\nCOUNT\n"),
            Happens::Greeting => self.read(visitor, HELLO),
            Happens::Proof => self.read(visitor, "PROOF -\n"),
            Happens::Ask => self.read(visitor, "ASK - -\nASK - -\nIAMAT a +1+1 3\n"),
            Happens::At => self.read(visitor, "AT Hands +0.1 c +1+1 12\n"),
            Happens::Mark => self.read(visitor, "MARK 1\n"),
            Happens::Time => self.read(visitor, "TIME 1 0 0 0 0\n"),
            Happens::Half => self.read(visitor, "IAMAT b +1+1 1"),
            Happens::Answered => {
                if let Some(asked) = self.asked.take() {
                    let reply = self.waits;
                    self.told(reply, is_full);
                    self.asked = visitor.answer(&asked);
                }
            }
            Happens::Refused => {
                // Places are never refused: their pool answers in their stead.
                if let Some(Question::Digest(_) | Question::Status(_)) = self.asked {
                    self.told(None, is_full);
                    self.asked = visitor.call(|door, visit| {
                        door.answer(visit, Answer::None);
                        door.go_on(visit)
                    });
                }
            }
            Happens::Full => visitor.unsent = MANNERS.max_unsent,
            Happens::Sent => {
                visitor.unsent = 0;
                if visitor.door.is_stalled() {
                    self.go_on();
                    self.asked = visitor.call(|door, visit| door.go_on(visit)).or(self.asked.take());
                }
            }
            Happens::End => {
                if visitor.door.reads() && !is_full && !self.ended && !self.closed {
                    self.ended = true;
                    self.go_on();
                    self.asked = visitor.end().or(self.asked.take());
                }
            }
            Happens::Late => self.wait(visitor),
            Happens::Stranger => visit_as_stranger(visitor),
        }
    }

    /// The room closes a connection whose deadline has come.
    fn wait(&mut self, visitor: &mut Visitor) {
        visitor.now.up += MANNERS.greeting + Duration::from_secs(1);
        let due = visitor.deadline().filter(|(at, _)| *at <= visitor.now.up);
        let is_late = self.link == Link::Greeted && self.waits.is_none() && !self.closed;
        assert_eq!(due.is_some(), is_late && visitor.door.reads(), "{due:?}");
        if let Some((_, why)) = due {
            let before = visitor.core.tallies.denied.total();
            visitor.door.note_timeout(&visitor.core, visitor.address, why, visitor.now.up);
            assert_eq!(visitor.core.tallies.denied.total(), before + 1);
            (self.closed, self.gone) = (true, true);
        }
    }

    fn check(&self, visitor: &Visitor, history: &[Happens]) {
        let door = &visitor.door;
        assert_eq!(self.words(visitor), self.owed, "{history:?}: {}", visitor.said);
        if self.gone {
            return;
        }
        assert_eq!((door.waits(), door.waits()), (self.asked.is_some(), self.waits.is_some()), "{history:?}");
        assert!(!(door.waits() && door.reads()), "{history:?}");
        assert!(door.closes().is_none() || (!door.reads() && !door.waits()), "{history:?}");
        assert!(self.closed || door.closes().is_none(), "{history:?}: closes by itself");
        let is_idle = door.reads() && !door.is_stalled();
        assert!(is_idle || door.waits() || door.closes().is_some() || visitor.unsent > 0, "{history:?}");
    }

    /// The first words of what was said, but for the places.
    fn words<'a>(&self, visitor: &'a Visitor) -> Vec<&'a str> {
        let lines = visitor.said.lines().filter(|line| !line.is_empty() && *line != "{}");
        lines.map(|line| line.split(' ').next().unwrap_or_default()).collect()
    }
}

/// One who is no neighbour reports and tries a neighbour's word, on a connection of their own.
fn visit_as_stranger(visitor: &mut Visitor) {
    let (said, unsent) = (std::mem::take(&mut visitor.said), std::mem::take(&mut visitor.unsent));
    let stranger = STRANGER.parse().expect("an address");
    let door = Door::open_line(stranger, None, &visitor.core, visitor.now);
    let own = std::mem::replace(&mut visitor.door, door);
    let address = std::mem::replace(&mut visitor.address, stranger);
    assert_eq!(visitor.say("IAMAT s +1+1 1\nMARK 1\nWHATSAT s 1 1\n").lines().count(), 5);
    assert!(visitor.door.reads() && !visitor.door.waits());
    (visitor.door, visitor.address, visitor.said, visitor.unsent) = (own, address, said, unsent);
}

/// Every history of up to so many events.
fn explore(address: &str, depth: usize, history: &mut Vec<Happens>) {
    let (mut visitor, mut model) = (Visitor::from(address), Model::new(address == HANDS));
    let _ = visitor.say("IAMAT a +1+1 0\n");
    for &happens in history.iter() {
        model.step(&mut visitor, happens);
        model.check(&visitor, history);
    }
    // In the end, told everything, it has answered everything and is about to close.
    model.step(&mut visitor, Happens::Sent);
    while model.asked.is_some() {
        model.step(&mut visitor, Happens::Answered);
        model.step(&mut visitor, Happens::Sent);
    }
    model.step(&mut visitor, Happens::End);
    while model.asked.is_some() {
        model.step(&mut visitor, Happens::Answered);
    }
    model.check(&visitor, history);
    assert!(model.closed, "{history:?}");
    if history.len() < depth {
        for happens in ALL {
            history.push(happens);
            explore(address, depth, history);
            history.pop();
        }
    }
}

#[test]
fn whatever_happens_in_whatever_order_no_door_stands_still() {
    explore(HANDS, 4, &mut Vec::new());
    explore(STRANGER, 3, &mut Vec::new());
}

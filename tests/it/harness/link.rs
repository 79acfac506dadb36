//! The listening end of a link, played by a test: it opens it as a server would and reads.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use super::HANG;

pub struct LinkEnd {
    pub reader: BufReader<TcpStream>,
}

impl LinkEnd {
    /// Takes the next connection and opens it as the server of this name, which knows nobody.
    pub fn accept(listener: &TcpListener, name: &str) -> LinkEnd {
        LinkEnd::accept_having(listener, name, "0")
    }

    /// The same, as one that has all up to this epoch.
    pub fn accept_having(listener: &TcpListener, name: &str, seen: &str) -> LinkEnd {
        let mut end = LinkEnd::of(listener.accept().expect("the link").0);
        let hello = end.line();
        assert!(hello.starts_with("HERD 1 "), "{hello}");
        end.say(&format!("HERD 1 {name} 0000000000000001 00000000000000000000000000000002 {seen} 0 -\n"));
        assert_eq!(end.line(), "PROOF -\n");
        end
    }

    pub fn of(stream: TcpStream) -> LinkEnd {
        stream.set_read_timeout(Some(HANG)).expect("set");
        LinkEnd { reader: BufReader::new(stream) }
    }

    /// The next line with its newline; empty at the end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a line in time");
        line
    }

    /// The next line that is an AT line. Marks before it are acknowledged.
    pub fn at_line(&mut self) -> String {
        loop {
            let line = self.line();
            match line.strip_prefix("MARK ") {
                Some(epoch) => self.say(&format!("SEEN {epoch}")),
                None => return line,
            }
        }
    }

    pub fn say(&mut self, text: &str) {
        self.reader.get_mut().write_all(text.as_bytes()).expect("sent");
    }
}

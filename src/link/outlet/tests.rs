//! Unit tests: an outlet, over real sockets.

use super::*;
use crate::limits::AT_LINE_MAX;
use std::io::Read;
use std::net::TcpListener;
use std::net::TcpStream;

fn outlet() -> Outlet {
    Outlet::new(NeighbourId(0), "Hands", Kind::Herd, Outbox::default(), Box::new(|| ()))
}

#[test]
fn a_link_that_is_down_is_called_and_one_that_is_up_is_not() {
    let outlet = outlet();
    assert!(!outlet.was_called());
    outlet.call();
    assert!(outlet.was_called() && !outlet.was_called(), "there is somebody to be dialled");
    outlet.open(None, 7, 0, false);
    outlet.call();
    assert!(!outlet.was_called(), "it was up");
}

#[test]
fn what_a_socket_refuses_is_read_from_the_store_and_no_mark_vouches_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let near = Arc::new(TcpStream::connect(listener.local_addr().expect("bound")).expect("connected"));
    let mut wire = Wire::mute();
    let outlet = outlet();
    outlet.open(Some(near.clone()), 7, 0, false);
    assert!(matches!(outlet.next(), Due::Walk(_)));
    outlet.walked();
    // It vouches for what there is, though no epoch was closed yet.
    assert!(matches!(outlet.next(), Due::Lines { bytes, .. } if bytes == b"MARK 0\n"));
    assert!(outlet.seen(0));
    assert!(matches!(outlet.next(), Due::Nothing));
    // As good an error as any other that is neither "later" nor the end of the link.
    near.shutdown(std::net::Shutdown::Write).expect("shut");
    outlet.offer(b"AT lost\n", None, &mut wire);
    outlet.mark(Mark { epoch: 1, total: 1, at: Duration::ZERO });
    assert!(matches!(outlet.next(), Due::Walk(_)));
    assert_eq!(outlet.state().outbox.unseen(), 0, "a mark vouched for what was lost");
}

#[test]
fn what_the_socket_does_not_take_is_left_to_the_links_thread_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let near = Arc::new(TcpStream::connect(listener.local_addr().expect("bound")).expect("connected"));
    let mut far = listener.accept().expect("accepted").0;
    let mut wire = Wire::mute();
    let outlet = outlet();
    let chunk = |number: usize| format!("{number:0width$}\n", width = AT_LINE_MAX).into_bytes();
    outlet.open(Some(near.clone()), 7, 0, false);
    assert!(matches!(outlet.next(), Due::Walk(_)));
    outlet.walked();
    // It vouches for what there is, though no epoch was closed yet.
    assert!(matches!(outlet.next(), Due::Lines { bytes, .. } if bytes == b"MARK 0\n"));
    assert!(outlet.seen(0));
    assert!(matches!(outlet.next(), Due::Nothing));
    // The flooder sends until the socket is full, and from there on everything waits.
    let mut expected = Vec::new();
    let mut offered = 0;
    let (bytes, logged) = loop {
        outlet.offer(&chunk(offered), None, &mut wire);
        expected.extend(chunk(offered));
        offered += 1;
        if let Due::Lines { bytes, logged } = outlet.next() {
            break (bytes, logged);
        }
    };
    assert_eq!(logged, bytes.len(), "what the flooder logged is not logged twice");
    outlet.offer(&chunk(offered), None, &mut wire);
    expected.extend(chunk(offered));
    let Due::Lines { bytes: last, logged: 0 } = outlet.next() else { panic!("it waits behind the rest") };
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut said = Vec::new();
            far.read_to_end(&mut said).map(|_| said)
        });
        std::io::Write::write_all(&mut &*near, &[bytes, last].concat()).expect("sent");
        near.shutdown(std::net::Shutdown::Write).expect("shut");
        assert!(reader.join().expect("joined").expect("read") == expected);
    });
}

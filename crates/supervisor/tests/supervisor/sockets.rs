//! Listening sockets are held for others.

use crate::bed::Bed;
use ondol_core::unix;
use ondol_core::wire::supervision::{Bind, Bound, SocketName};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

fn name(text: &str) -> SocketName {
    SocketName(text.into())
}

fn address(bound: &Bound) -> SocketAddr {
    let Bound::Address(address) = bound else {
        panic!("{bound:?}")
    };
    *address
}

#[test]
fn a_loopback_socket_stays_where_it_is_and_can_be_taken_again() {
    let bed = Bed::new(&[]);
    let edge = name("edge/orders/products");
    let listen = || bed.client.listen(vec![(edge.clone(), Bind::Loopback)]).expect("listen");
    let first = listen();
    assert_eq!(first, listen());
    let at = address(&first[0].1);
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("range");
    let range: Vec<u16> = range
        .split_whitespace()
        .map(|port| port.parse().expect("port"))
        .collect();
    assert!(at.ip().is_loopback() && !(range[0]..=range[1]).contains(&at.port()));
    for life in ["first", "second"] {
        let taken = TcpListener::from(bed.client.take_socket(&edge).expect("take"));
        taken.set_nonblocking(false).expect("blocking");
        let mut client = TcpStream::connect(at).expect("connect");
        let mut accepted = taken.accept().expect("accept").0;
        accepted.write_all(life.as_bytes()).expect("write");
        drop(accepted);
        let mut text = String::new();
        client.read_to_string(&mut text).expect("read");
        assert_eq!(text, life);
    }
    // Nobody has it now, and clients are still let in to wait.
    TcpStream::connect(at).expect("connect");
}

#[test]
fn a_unix_socket_is_private_and_goes_with_its_name() {
    let bed = Bed::new(&[]);
    let edge = name("edge/ondol/payments");
    let bound = bed
        .client
        .listen(vec![(edge.clone(), Bind::Unix("payments.sock".into()))])
        .expect("listen");
    let Bound::Unix(path) = &bound[0].1 else {
        panic!("{bound:?}")
    };
    assert_eq!(
        std::fs::metadata(path).expect("stat").permissions().mode() & 0o777,
        0o600
    );
    let taken = UnixListener::from(bed.client.take_socket(&edge).expect("take"));
    taken.set_nonblocking(false).expect("blocking");
    unix::connect(path).expect("connect").write_all(b"hi").expect("write");
    let mut text = String::new();
    taken
        .accept()
        .expect("accept")
        .0
        .read_to_string(&mut text)
        .expect("read");
    assert_eq!(text, "hi");
    bed.client.retain(Vec::new()).expect("retain");
    assert!(!path.exists());
    assert_eq!(
        bed.client.take_socket(&edge).expect_err("gone").code().as_str(),
        "SV-014"
    );
}

#[test]
fn a_held_address_names_its_holder_and_nothing_else_is_bound() {
    let bed = Bed::new(&[]);
    let held = TcpListener::bind("127.0.0.1:0").expect("bind");
    let at = held.local_addr().expect("address");
    let (free, taken) = (name("edge/a/b"), name("gateway/web"));
    let asked = vec![(free.clone(), Bind::Loopback), (taken, Bind::Address(at.to_string()))];
    let error = bed.client.listen(asked).expect_err("refused");
    assert_eq!(error.code().as_str(), "SV-011");
    assert!(
        error.to_string().contains(&format!("process {} (", std::process::id())),
        "{error}"
    );
    assert_eq!(
        bed.client.take_socket(&free).expect_err("not bound").code().as_str(),
        "SV-014"
    );
}

#[test]
fn what_is_no_address_or_file_name_is_refused() {
    let bed = Bed::new(&[]);
    let binds = ["nonsense", "127.0.0.1", ":x"]
        .map(|text| Bind::Address(text.into()))
        .to_vec();
    let files = ["", "../x.sock", "a/b", "supervisor.sock", ".hidden"]
        .map(|text| Bind::Unix(text.into()))
        .to_vec();
    for bind in binds.into_iter().chain(files) {
        let error = bed.client.listen(vec![(name("x"), bind.clone())]).expect_err("refused");
        assert_eq!(error.code().as_str(), "SV-016", "{bind:?}");
    }
}

#[test]
fn an_address_with_port_0_is_told() {
    let bed = Bed::new(&[]);
    let bound = bed
        .client
        .listen(vec![(name("gateway/web"), Bind::Address("127.0.0.1:0".into()))])
        .expect("listen");
    TcpStream::connect(address(&bound[0].1)).expect("connect");
}

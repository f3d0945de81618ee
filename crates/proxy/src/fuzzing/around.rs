//! What surrounds a head: paths, forwarded addresses, HTTP/2 heads, deadlines.

use super::heads;
use crate::check;
use crate::filter::client::Trusted;
use crate::h1::head::Length;
use crate::h2::convert;
use crate::message::{RequestHead, list_items};
use http::Method;
use ondol_core::path;
use ondol_resilience::deadline;
use std::net::IpAddr;
use std::time::Duration;

/// A target: its path has one form, in which nothing is left that somebody could read in another way.
pub(super) fn path(data: &[u8]) {
    let mut once = String::new();
    let Ok(end) = path::canonical(data, &mut once) else {
        return;
    };
    let (found, query) = once.split_at(end);
    let sent = data
        .iter()
        .position(|b| *b == b'?')
        .map_or(&data[..0], |at| &data[at..]);
    assert_eq!(query.as_bytes(), sent, "a query stays as it is");
    let mut twice = String::new();
    assert_eq!(path::canonical(once.as_bytes(), &mut twice), Ok(end));
    assert_eq!(once, twice);
    if found == "*" {
        return;
    }
    plain(found);
    if let Ok(Some(without)) = path::without_parameters(found) {
        assert!(!without.contains(';'));
        plain(&without);
    }
}

fn plain(found: &str) {
    assert!(found.starts_with('/') && found.bytes().all(|b| b.is_ascii_graphic()) && !found.contains(['\\', '?', '#']));
    assert!(
        !found.contains("//") && !found.split('/').any(|segment| segment == "." || segment == ".."),
        "{found}"
    );
    for triplet in found.split('%').skip(1) {
        let digits = triplet.get(..2).expect("two digits");
        let value = u8::from_str_radix(digits, 16).expect("hexadecimal digits");
        assert!(
            digits.to_ascii_uppercase() == digits && !digits.starts_with('+'),
            "{found}"
        );
        let unreserved = value.is_ascii_alphanumeric() || b"-._~".contains(&value);
        assert!(!unreserved && ![0, b'/', b'\\'].contains(&value), "{found}");
    }
}

const PEERS: [&str; 6] = [
    "203.0.113.7",
    "10.1.2.3",
    "127.0.0.1",
    "fd00::1",
    "::ffff:10.0.0.1",
    "2001:db8::1",
];
const NETWORKS: [&str; 5] = ["10.0.0.0/8", "fd00::/8", "0.0.0.0/0", "192.0.2.9", "2001:db8::/33"];
const CLAIMS: [&str; 6] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "forwarded",
    "x-real-ip",
    "x-original-url",
];

/// Fields that say where a request comes from. First byte: the peer; second: a set of trusted networks; then one line per
/// field, whose first byte says which.
pub(super) fn forwarded(data: &[u8]) {
    let [peer, networks, lines @ ..] = data else { return };
    let peer: IpAddr = PEERS[usize::from(*peer) % PEERS.len()].parse().expect("an address");
    let chosen = NETWORKS.iter().enumerate().filter(|(n, _)| networks & (1 << n) != 0);
    let trusted = Trusted::parse(&chosen.map(|(_, text)| (*text).to_owned()).collect::<Vec<_>>()).expect("networks");
    let mut head = RequestHead::new(Method::GET, "shop.example", "/").expect("valid");
    for line in lines.split(|b| *b == b'\n').take(check::MAX_FIELDS) {
        let Some((which, value)) = line.split_first() else {
            continue;
        };
        if std::str::from_utf8(value).is_ok_and(|text| !text.chars().any(char::is_control)) {
            head.fields
                .push(CLAIMS[usize::from(*which) % CLAIMS.len()], value.trim_ascii());
        }
    }
    let list = |head: &RequestHead| -> Vec<Vec<u8>> {
        head.fields
            .all("x-forwarded-for")
            .flat_map(list_items)
            .map(<[u8]>::to_vec)
            .collect()
    };
    let said = list(&head);
    let client = trusted.resolve(&mut head, peer, "http");
    let chain: Vec<IpAddr> = list(&head)
        .iter()
        .map(|item| std::str::from_utf8(item).expect("text").parse().expect("an address"))
        .collect();
    assert_eq!(
        (chain.first(), chain.last()),
        (Some(&client), Some(&peer.to_canonical()))
    );
    assert!(
        chain[1..].iter().all(|hop| trusted.contains(*hop)),
        "who speaks for another is trusted: {chain:?}"
    );
    // One address per item that was said, from the right; not one more than was said.
    assert!(chain.len() <= said.len() + 1);
    for (address, item) in chain.iter().rev().skip(1).zip(said.iter().rev()) {
        let item = String::from_utf8_lossy(item);
        let shown = [address.to_string(), address.to_canonical().to_string()];
        let bare = item.trim_matches(['"', '[', ']']);
        let same = bare.parse::<IpAddr>().is_ok_and(|said| said.to_canonical() == *address);
        assert!(
            same || shown.iter().any(|text| item.contains(text.as_str())) || item.contains("::"),
            "{item} {address}"
        );
    }
    if trusted.contains(client) {
        assert!(chain.len() == said.len() + 1 || said.len() >= chain.len(), "{chain:?}");
    }
    let proto = head.fields.get_str("x-forwarded-proto").expect("set");
    assert!(["http", "https"].contains(&proto));
    let host = head.fields.get_str("x-forwarded-host").expect("set");
    assert!(check::authority(host.as_bytes()).is_ok());
    if !trusted.contains(peer.to_canonical()) {
        assert_eq!((client, proto, host), (peer.to_canonical(), "http", "shop.example"));
    }
    assert_eq!(head.fields.len(), 3, "nothing else of this kind is left");
}

/// A head of HTTP/2: its method, target and fields, one per line. What gets through means the same in HTTP/1.
pub(super) fn h2_head(data: &[u8]) {
    let mut lines = data.split(|b| *b == b'\n');
    let (method, uri) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut builder = http::Request::builder()
        .method(method)
        .uri(uri)
        .version(http::Version::HTTP_2);
    for line in lines.take(2 * check::MAX_FIELDS) {
        let (name, value) = line.split_at(
            line.iter()
                .skip(1)
                .position(|b| *b == b':')
                .map_or(line.len(), |at| at + 1),
        );
        builder = builder.header(name, value.strip_prefix(b":").unwrap_or(value));
    }
    let Ok((parts, ())) = builder.body(()).map(http::Request::into_parts) else {
        return;
    };
    let mut head = RequestHead::default();
    let Ok(length) = convert::request(&parts, &mut head) else {
        return;
    };
    heads::legal_request(&head);
    assert!(head.fields.all("cookie").count() <= 1);
    heads::same_as_http_1(&head, length.map_or(Length::Chunked, Length::Exact));
    let again = convert::headers(&head.fields);
    assert_eq!(
        again.len(),
        head.fields.len(),
        "every field can be said in HTTP/2 again"
    );
}

/// Spans as two fields write them.
pub(super) fn deadline(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(span) = deadline::parse_millis(text) {
        assert!(text.bytes().all(|b| b.is_ascii_digit()));
        assert_eq!(
            span.as_millis().to_string(),
            if text.trim_start_matches('0').is_empty() {
                "0"
            } else {
                text.trim_start_matches('0')
            }
        );
        // A client's span is added to the clock: that must saturate, not overflow.
        let told = deadline::Deadline::new(Duration::from_secs(1 << 40), Duration::MAX, Some(span));
        assert!(told.0 >= span);
    }
    if let Some(span) = deadline::parse_grpc(text) {
        let (count, unit) = text.split_at(text.len() - 1);
        assert!(
            (1..=8).contains(&count.len()) && count.bytes().all(|b| b.is_ascii_digit()),
            "{text}"
        );
        assert!("HMSmun".contains(unit));
        let again = deadline::parse_grpc(&deadline::to_grpc(span)).expect("what is written is read");
        assert!(again <= span || span < Duration::from_micros(1));
    }
}

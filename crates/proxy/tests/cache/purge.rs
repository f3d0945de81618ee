//! What goes because somebody says so, or because nobody keeps watch over it any more.

use crate::common::*;
use crate::setup::*;
use ondol_core::wire::proxy::{FromProxy, Purge, ToProxy};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::channel;

fn purge(world: &mut World, number: u64, service: Option<&str>, path: Option<&str>) -> u64 {
    let purge = Purge {
        service: service.map(|name| name.parse().expect("a name")),
        path: path.map(str::to_owned),
    };
    match world.controller.tell_word(&ToProxy::Purge { number, purge }) {
        FromProxy::Purged { number: told, dropped } if told == number => dropped,
        word => panic!("{word:?}"),
    }
}

#[test]
fn kept_answers_go_by_service_and_by_path_when_the_controller_says_so() {
    let shop = Shop::start(|_, nth| answer("Cache-Control: max-age=99\r\n", &nth.to_string()));
    let mut world = World::start(vec![caching("/")], shop.address);
    let all = ["/a", "/a?q=1", "/a/b", "/c"];
    let get = |world: &World| all.map(|path| body(&world.get(path, "")).to_owned());
    assert_eq!(get(&world), ["1", "2", "3", "4"]);
    assert_eq!(purge(&mut world, 1, Some("other"), None), 0);
    assert_eq!(get(&world), ["1", "2", "3", "4"]);
    assert_eq!(
        purge(&mut world, 2, None, Some("/a")),
        2,
        "with any query, and not what is below"
    );
    assert_eq!(get(&world), ["5", "6", "3", "4"]);
    assert_eq!(purge(&mut world, 3, Some("shop"), Some("/a/*")), 1);
    assert_eq!(get(&world), ["5", "6", "7", "4"]);
    assert_eq!(purge(&mut world, 4, None, None), 4);
    assert_eq!(get(&world), ["8", "9", "10", "11"]);
    let told = world.controller.report(|report| report.cache.entries == 4);
    assert_eq!(told.cache.evicted, 0, "nothing had to go for others");
}

#[test]
fn a_path_is_purged_however_it_is_written() {
    let shop = Shop::start(|_, nth| answer("Cache-Control: max-age=99\r\n", &nth.to_string()));
    let mut world = World::start(vec![caching("/")], shop.address);
    for (number, asked, path) in [
        (1, "/caf%C3%A9", "/caf%c3%a9"),
        (2, "/a/b", "/a//b"),
        (3, "/a/b", "/%61/./c/../b"),
        (4, "/caf%c3%a9/b", "/caf%c3%a9//*"),
        (5, "/caf%C3%A9/b", "/a/../*"),
    ] {
        let first = body(&world.get(asked, "")).to_owned();
        assert_eq!(body(&world.get(asked, "")), first, "{asked} is kept");
        assert_eq!(purge(&mut world, number, None, Some(path)), 1, "{path}");
        assert_ne!(body(&world.get(asked, "")), first, "{path}");
        assert_eq!(purge(&mut world, 10 + number, None, None), 1);
    }
}

#[test]
fn an_answer_that_was_asked_for_before_a_purge_is_not_kept_after_it() {
    let (let_go, leave) = channel();
    let leave = Mutex::new(leave);
    let shop = Shop::start(move |_, nth| {
        if nth == 1 {
            let _ = leave.lock().expect("lock").recv(); // The test may have ended.
        }
        answer("Cache-Control: max-age=99\r\n", &nth.to_string())
    });
    let mut world = World::start(vec![caching("/")], shop.address);
    let mut early = world.running.client();
    early.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").expect("write");
    until(|| (shop.calls() == 1).then_some(()));
    assert_eq!(purge(&mut world, 1, None, None), 0);
    let_go.send(()).expect("it waits");
    assert_eq!(body(&read_message(&mut early).expect("an answer")), "1");
    assert_eq!((body(&world.get("/a", "")), body(&world.get("/a", ""))), ("2", "2"));
}

#[test]
fn what_changed_while_nothing_was_kept_is_asked_for_again() {
    let shop = Shop::start(|request, nth| match request.starts_with("GET") {
        true => answer("Cache-Control: max-age=99\r\n", &nth.to_string()),
        false => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
    });
    let mut world = World::start(vec![caching("/")], shop.address);
    assert_eq!((body(&world.get("/a", "")), body(&world.get("/a", ""))), ("1", "1"));
    let keeping = world.snapshot.clone();
    for (routes, asks) in [
        (vec![route("/", "shop")], "PUT"),
        (keeping.routes.iter().map(|route| (**route).clone()).collect(), ""),
    ] {
        world.snapshot.generation += 1;
        world.snapshot.routes = routes.into_iter().map(Into::into).collect();
        let told = world.snapshot.clone();
        world.controller.tell(&told);
        if !asks.is_empty() {
            assert_eq!(status(&world.send(asks, "/a", "Content-Length: 0\r\n")), 204);
        }
    }
    assert_eq!(body(&world.get("/a", "")), "3");
}

#[test]
fn one_that_leaves_and_hears_of_no_purge_any_more_keeps_nothing() {
    let shop = Shop::start(|_, nth| answer("Cache-Control: max-age=99\r\n", &nth.to_string()));
    let mut world = World::start(vec![caching("/")], shop.address);
    let get = |client: &mut TcpStream| {
        client.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").expect("write");
        body(&read_message(client).expect("an answer")).to_owned()
    };
    let (mut first, mut second) = (world.running.client(), world.running.client());
    let before = [get(&mut first), get(&mut second), get(&mut first)];
    assert_eq!(before, ["1", "1", "1"]);
    world.running.tell_to_leave();
    while world.controller.word() != (FromProxy::Leaving { reads: true }) {}
    world.controller.send_text(r#"{"of-a-later-version":{}}"#);
    while world.controller.word() != (FromProxy::Leaving { reads: false }) {}
    world.controller.report(|report| report.cache.entries == 0);
    assert_eq!([get(&mut first), get(&mut second)], ["2", "3"]);
}

#[test]
fn what_changes_while_keeping_begins_is_heard_of_a_request_that_began_before() {
    let (let_go, leave) = channel();
    let leave = Mutex::new(leave);
    let shop = Shop::start(move |request, nth| {
        if request.starts_with("GET") {
            return answer("Cache-Control: max-age=99\r\n", &nth.to_string());
        }
        let _ = leave.lock().expect("lock").recv(); // The test may have ended.
        "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
    });
    let mut world = World::start(vec![route("/", "shop")], shop.address);
    let mut early = world.running.client();
    early
        .write_all(b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        .expect("write");
    until(|| (shop.calls() == 1).then_some(()));
    world.snapshot.generation += 1;
    world.snapshot.routes = vec![caching("/").into()];
    world.controller.tell(&world.snapshot);
    assert_eq!((body(&world.get("/a", "")), body(&world.get("/a", ""))), ("2", "2"));
    let_go.send(()).expect("it waits");
    assert_eq!(status(&read_message(&mut early).expect("an answer")), 204);
    assert_eq!((body(&world.get("/a", "")), body(&world.get("/a", ""))), ("3", "3"));
}

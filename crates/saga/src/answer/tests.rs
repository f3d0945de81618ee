//! What an answer of a participant means, case by case.

use super::*;
use crate::plan::Plan;
use crate::testing::definition;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde_json::json;
use std::time::Duration;

const NOW: Timestamp = Timestamp(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT

fn read(status: u16, headers: &[(header::HeaderName, &str)], body: &str) -> Outcome {
    let plan = Plan::compile(definition(&["needs"])).expect("compiles");
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(name.clone(), HeaderValue::from_str(value).expect("valid"));
    }
    let answer = Answer {
        status: StatusCode::from_u16(status).expect("valid"),
        headers: map,
        body: Bytes::from(body.to_owned()),
    };
    outcome(&plan.steps[0], Op::Action, Ok(answer), NOW)
}

#[test]
fn every_status_means_what_the_table_says() {
    let total = json!({ "total": 7 }).as_object().expect("an object").clone();
    assert_eq!(read(201, &[], r#"{"total":7,"more":[1]}"#), Outcome::Done(total));
    for status in [400, 409, 422] {
        assert_eq!(
            read(status, &[], r#"{"reason":"out_of_stock"}"#),
            Outcome::Failed("out_of_stock".into())
        );
        assert_eq!(read(status, &[], "<html>"), Outcome::Failed(status.to_string()));
    }
    for status in [301, 401, 403, 404, 405, 410, 415, 418] {
        assert!(matches!(read(status, &[], ""), Outcome::Misconfigured(_)), "{status}");
    }
    for status in [408, 429, 500, 502, 503, 504] {
        assert_eq!(
            read(status, &[], ""),
            Outcome::Unknown {
                why: status.to_string(),
                after: None
            }
        );
    }
}

#[test]
fn a_service_at_work_is_asked_at_its_location() {
    let running = |poll: Option<&str>, after| Outcome::Running {
        poll: poll.map(str::to_owned),
        after,
    };
    assert_eq!(
        read(202, &[(header::LOCATION, "/jobs/7")], ""),
        running(Some("/jobs/7"), None)
    );
    assert_eq!(
        read(202, &[(header::LOCATION, "http://10.0.0.1:80/jobs/7?x=1")], ""),
        running(Some("/jobs/7?x=1"), None)
    );
    for foreign in ["jobs/7", "//evil/x", "http://evil"] {
        assert_eq!(
            read(202, &[(header::LOCATION, foreign)], ""),
            running(None, None),
            "{foreign}"
        );
    }
    assert_eq!(
        read(425, &[(header::RETRY_AFTER, "3")], ""),
        running(None, Some(Duration::from_secs(3)))
    );
}

#[test]
fn retry_after_is_read_as_seconds_and_as_a_date() {
    let after = |text| match read(503, &[(header::RETRY_AFTER, text)], "") {
        Outcome::Unknown { after, .. } => after.map(|after| after.as_secs()),
        other => panic!("{other:?}"),
    };
    assert_eq!(after("120"), Some(120));
    assert_eq!(after("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
    assert_eq!(after("Wed, 01 Mar 1995 08:49:37 GMT"), Some(115 * 86_400));
    assert_eq!(
        after("Sun, 06 Nov 1994 00:00:00 GMT"),
        Some(0),
        "a moment that has passed is now"
    );
    for nonsense in ["soon", "-1", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov 1994"] {
        assert_eq!(after(nonsense), None, "{nonsense}");
    }
}

#[test]
fn an_answer_that_cannot_be_used_is_said_to_be_so() {
    for body in ["", "<html>", "{}", "[]", "null"] {
        assert!(matches!(read(200, &[], body), Outcome::Unusable(_)), "{body}");
    }
    let long = format!(r#"{{"total":"{}"}}"#, "x".repeat(MAX_KEPT));
    assert!(matches!(read(200, &[], &long), Outcome::Unusable(_)));
}

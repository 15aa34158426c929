//! Error answers: the standard's shape, and nothing inner in them.

use std::time::Duration;

use bytes::Bytes;
use host::problem::{Invalid, Problem};
use http::{Response, StatusCode};
use serde_json::{Value, json};

fn sent(problem: Problem) -> (Response<Bytes>, Value) {
    let response: Response<Bytes> = problem.into_response();
    let body = serde_json::from_slice(response.body()).expect("JSON");
    (response, body)
}

#[test]
fn every_invalid_field_is_in_the_answer() {
    let errors = vec![
        Invalid::new("/username", "is empty"),
        Invalid::new("/user_id", "is missing"),
    ];
    let (response, body) = sent(Problem::validation(errors).request_id("req-1"));
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    assert_eq!(response.headers()["cache-control"], "no-store");
    let expected = json!({
        "type": "/problems/validation",
        "title": "The request is not valid",
        "status": 422,
        "detail": "2 fields are invalid.",
        "retryable": false,
        "request_id": "req-1",
        "errors": [
            {"pointer": "/username", "detail": "is empty"},
            {"pointer": "/user_id", "detail": "is missing"},
        ],
    });
    assert_eq!(body, expected);
}

#[test]
fn what_may_be_retried_says_so_and_when() {
    for (after, header) in [
        (0, "1"),
        (1, "1"),
        (1_000, "1"),
        (1_001, "2"),
        (30_000, "30"),
    ] {
        let (response, body) = sent(Problem::overloaded(Duration::from_millis(after)));
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], header);
        assert_eq!(body["retryable"], true);
    }
    let (response, body) = sent(Problem::internal());
    assert!(!response.headers().contains_key("retry-after"));
    assert_eq!(body["retryable"], false);
    assert_eq!(
        sent(Problem::too_many_requests(Duration::ZERO)).0.status(),
        429
    );
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let (response, body) = sent(Problem::method_not_allowed("GET, HEAD"));
    assert_eq!(response.headers()["allow"], "GET, HEAD");
    assert_eq!(body["status"], 405);
}

#[test]
fn further_members_stand_beside_the_standard_ones() {
    let (_, body) =
        sent(Problem::conflict("The first is still on its way.").with("purchase_id", "00ff"));
    assert_eq!(
        (&body["status"], &body["purchase_id"]),
        (&json!(409), &json!("00ff"))
    );
}

#[test]
fn each_constructor_has_the_status_it_names() {
    let statuses = [
        (Problem::malformed("x"), 400),
        (Problem::not_found(), 404),
        (Problem::not_acceptable("x"), 406),
        (Problem::too_large(16_384), 413),
        (Problem::unsupported_media_type("application/json"), 415),
        (
            Problem::unavailable("/problems/broker", "x", Duration::from_secs(1)),
            503,
        ),
    ];
    for (problem, status) in statuses {
        assert_eq!(problem.status(), status);
        let (response, body) = sent(problem);
        assert_eq!(
            (response.status().as_u16(), &body["status"]),
            (status, &json!(status))
        );
        assert!(
            body["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{body}"
        );
    }
}

#[test]
fn what_is_wrong_with_the_whole_body_is_said_of_the_body() {
    let errors = vec![Invalid::new("", "must be an object, not an array")];
    let (_, body) = sent(Problem::validation(errors));
    assert_eq!(body["detail"], "The body must be an object, not an array.");
}

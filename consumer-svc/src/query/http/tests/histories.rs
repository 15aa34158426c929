//! Histories: pages, ranges, tags, and one read for all who ask the same.

use super::*;

#[tokio::test]
async fn a_history_is_served_with_exact_money_and_a_link_to_the_next_page() {
    let api = api(Ok(3));
    let (status, headers, body) = get(&api, "/purchases/user%20%C3%A9?limit=2").await;
    assert_eq!(status, 200);
    assert_eq!(body["total_spent"].to_string(), "1149.97");
    assert_eq!(body["username"], "john");
    assert_eq!(body["purchases"].as_array().unwrap().len(), 2);
    let cursor = body["next_cursor"].as_str().unwrap();
    let link = format!("<?limit=2&cursor={cursor}>; rel=\"next\"");
    assert_eq!(headers["link"], link);
    let request = PageRequest {
        limit: 2,
        after: None,
        range: Range::WHOLE,
    };
    let asked = vec![("user é".to_owned(), request)];
    assert_eq!(*api.histories.store.asked.lock().unwrap(), asked);
}

#[tokio::test]
async fn a_range_is_kept_from_page_to_page_and_named_by_the_newest_of_all() {
    let api = api(Ok(3));
    let range = Range {
        since: Timestamp::parse("1970-01-01T00:00:00Z").ok(),
        until: Timestamp::parse("1970-01-01T00:00:01Z").ok(),
    };
    let asked = "since=1970-01-01T01:00:00%2B01:00&until=1970-01-01T00:00:01Z";
    let (_, headers, body) = get(&api, &format!("/purchases/u1?limit=2&{asked}")).await;
    assert_eq!(body["username"], "newest john");
    let link = headers["link"].to_str().unwrap();
    let next = &link[1..link.find('>').unwrap()];
    let (status, headers, body) = get(&api, &format!("/purchases/u1{next}")).await;
    assert_eq!((status, &body["next_cursor"]), (200, &Value::Null));
    assert!(!headers.contains_key("link"));
    let ranges: Vec<_> = api
        .histories
        .store
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|(_, page)| page.range)
        .collect();
    assert_eq!(ranges, [range, range]);
}

#[tokio::test]
async fn who_has_the_page_is_told_so_from_the_totals_alone() {
    let api = api(Ok(3));
    let ask = |method: &'static str, query: &'static str, tag: HeaderValue| {
        let request = warp::test::request().method(method);
        let request = request.path(&format!("/purchases/u1{query}"));
        let routes = all_routes(&api);
        async move { request.header("if-none-match", tag).reply(&routes).await }
    };
    let (_, headers, _) = get(&api, "/purchases/u1").await;
    let tag = headers["etag"].clone();
    assert!(tag.as_bytes().starts_with(b"W/\""), "{tag:?} is weak");
    let pages = || api.histories.store.asked.lock().unwrap().len();
    let before = pages();
    for (method, tag) in [
        ("GET", tag.clone()),
        ("HEAD", tag.clone()),
        ("GET", HeaderValue::from_static("*")),
    ] {
        let again = ask(method, "", tag).await;
        assert_eq!((again.status().as_u16(), again.body().len()), (304, 0));
        assert_eq!(
            (&again.headers()["etag"], &again.headers()["cache-control"]),
            (&headers["etag"], &headers["cache-control"])
        );
        assert!(!again.headers().contains_key("content-type"));
    }
    assert_eq!(pages(), before, "no page was read");
    // Another page and another range are other answers.
    for query in [
        "?limit=2",
        "?since=1969-01-01T00:00:00Z",
        "?until=1969-01-01T00:00:00Z",
    ] {
        assert_eq!(
            ask("GET", query, tag.clone()).await.status(),
            200,
            "{query}"
        );
    }
    assert_eq!(
        ask("GET", "", HeaderValue::from_static("\"old\""))
            .await
            .status(),
        200
    );
    // What is not there is not unchanged.
    let nobody = super::api(Ok(0));
    let request = warp::test::request()
        .path("/purchases/u1")
        .header("if-none-match", "*");
    assert_eq!(request.reply(&all_routes(&nobody)).await.status(), 404);
}

#[tokio::test]
async fn one_more_purchase_is_another_tag() {
    let tag = |count| async move {
        let (_, headers, _) = get(&api(Ok(count)), "/purchases/u1").await;
        headers["etag"].clone()
    };
    assert_eq!(tag(3).await, tag(3).await);
    assert_ne!(tag(3).await, tag(4).await);
}

#[tokio::test]
async fn the_same_questions_at_the_same_time_are_one_read() {
    let api = api(Ok(3));
    let one = || get(&api, "/purchases/u1?limit=2");
    // There is one turn: two reads at once would be refused.
    let (a, b, c) = tokio::join!(one(), one(), one());
    assert_eq!([a.0, b.0, c.0], [200; 3]);
    assert!(a.2 == b.2 && b.2 == c.2);
    assert_eq!(api.histories.store.asked.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_joined_a_read_that_had_less_time_asks_again_in_his_own() {
    let mut api = api(Ok(3));
    let fair = Fair::new(3, 1, Duration::from_secs(5));
    Arc::get_mut(&mut api).unwrap().histories.fair = fair.clone();
    let ask = async || get(&api, "/purchases/u1").await.0;
    // A user has one turn at a time, and another range has it.
    let user = UserId::parse("u1").unwrap();
    let turn = fair.totals(&user, fair.deadline()).await.unwrap();
    let joins = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        ask().await
    };
    let goes = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(turn);
    };
    let (first, joined, ()) = tokio::join!(ask(), joins, goes);
    assert_eq!((first, joined), (503, 200));

    // Where nothing gets better by it, that is what all are told.
    let outage = Err(StoreError::Unavailable("away".into()));
    *api.histories.store.answer.lock().unwrap() = outage;
    let all = tokio::join!(ask(), ask(), ask());
    assert_eq!(all, (503, 503, 503));
}

#[tokio::test]
async fn a_range_without_purchases_is_empty_and_not_an_unknown_user() {
    let before = "/purchases/u1?until=1969-01-01T00:00:00Z";
    let (status, _, body) = get(&api(Ok(3)), before).await;
    assert_eq!(status, 200);
    assert_eq!(body["total_purchases"], 0);
    assert_eq!(body["total_spent"].to_string(), "0.0");
    assert_eq!(
        (&body["first_purchase_at"], &body["last_purchase_at"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(body["username"], "newest john");
    assert_eq!(get(&api(Ok(0)), before).await.0, 404);
    let outage = Err(StoreError::Unavailable("away".into()));
    assert_eq!(get(&api(outage), before).await.0, 503);
}

#[tokio::test]
async fn totals_beside_a_further_page_may_be_remembered_and_a_304_never_is() {
    let api = api(Ok(crate::query::fair::LONG));
    let (_, headers, _) = get(&api, "/purchases/u1?limit=1").await;
    let link = headers["link"].to_str().unwrap();
    let next = format!("/purchases/u1{}", &link[1..link.find('>').unwrap()]);
    let (_, headers, further) = get(&api, &next).await;
    let tag = headers["etag"].clone();
    let ask = async || {
        let request = warp::test::request().path(&next);
        let request = request.header("if-none-match", &tag);
        request.reply(&all_routes(&api)).await
    };
    assert_eq!(ask().await.status(), 304);
    // One more, at a place that was passed already.
    *api.histories.store.answer.lock().unwrap() = Ok(crate::query::fair::LONG + 1);
    let (_, _, again) = get(&api, &next).await;
    assert_eq!(again["total_purchases"], further["total_purchases"]);
    assert_eq!(ask().await.status(), 200);
}

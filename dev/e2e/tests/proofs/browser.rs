//! A customer with a browser: real nginx with the image's configuration, both services, the real
//! broker and database. The same steps run against a stand-in for the services in `frontend/tests`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use devstack::free_port;
use devstack::process::Spawn;
use e2e::ground::Ground;
use e2e::http;
use e2e::shop::Shop;
use e2e::until_text;

/// The whole page, from a cold browser, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_buys_and_sees_the_purchase_in_the_history() {
    let shop = Shop::on(Ground::shared().await).await;
    let (producer, _consumer) = shop.open().await;
    let frontend = frontend();
    let run_dir = shop.ground.dir().join(format!("nginx-{}", shop.name));
    let port = free_port();
    let nginx = Spawn::new("nginx", frontend.join("nginx/start.sh"))
        .env("FRONTEND_ROOT", frontend.join("public"))
        .env("FRONTEND_PORT", port.to_string())
        .env("FRONTEND_ADDR", "127.0.0.1")
        .env("PRODUCER_UPSTREAM", producer.http().to_string())
        .env("RUN_DIR", &run_dir)
        .log(shop.ground.dir().join(format!("nginx-{}.log", shop.name)))
        .start()
        .unwrap_or_else(|error| panic!("nginx: {error}"));
    until_text("nginx answers", Duration::from_secs(20), async || {
        let health = http::get(([127, 0, 0, 1], port).into(), "/nginx-health").await;
        match health {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(answer.text()),
            Err(error) => Err(format!("{error:?}")),
        }
    })
    .await;

    let node = std::env::var("NODE").unwrap_or_else(|_| "node".to_owned());
    let browser = Spawn::new("browser", node)
        .arg("--test")
        .arg("--test-reporter=spec")
        .arg("tests/browser.test.mjs")
        .current_dir(&frontend)
        .env("FRONTEND_URL", format!("http://127.0.0.1:{port}"))
        .log(shop.ground.dir().join(format!("browser-{}.log", shop.name)))
        .start()
        .unwrap_or_else(|error| panic!("node: {error}"));
    let ended = browser.wait_exit(PATIENCE).await;
    assert!(
        ended.is_some_and(|status| status.success()),
        "{ended:?}; cargo xtask test provides node, playwright-core and Chromium\n{}\nnginx:\n{}",
        browser.log_tail(80),
        nginx.log_tail(20)
    );
    assert!(
        !shop.documents.all().await.is_empty(),
        "the page bought somewhere else"
    );
}

fn frontend() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../../frontend")
        .canonicalize()
        .unwrap_or_else(|error| panic!("frontend: {error}"))
}

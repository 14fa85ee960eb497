//! Servers that are busy, and patience that ends.

use ctr_tests::faults::{On, Response, Scene, error};
use ctr_tests::scratch::Cmd;

/// An HTTP date so many seconds from now.
fn date(seconds: &str) -> String {
    Cmd::new("date").args(["-u", "-d", seconds, "+%a, %d %b %Y %H:%M:%S GMT"]).ok()
}

fn busy(retry_after: Option<&str>) -> Response {
    let answer = error(429, "TOOMANYREQUESTS", "slow down");
    match retry_after {
        Some(text) => answer.header("Retry-After", text),
        None => answer,
    }
}

// FAULT 44: 429 with Retry-After in seconds, as a date, without, and with text that is neither => waited for as it says, else as we think right, and asked again
#[test]
fn case_44_too_many_requests() {
    // spec: REG-4
    let (past, soon) = (date("-1 day"), date("+1 second"));
    let forms = [
        Some("0"),
        Some("1"),
        None,
        Some("985.86\u{b5}s"),
        Some("-1"),
        Some("soon"),
        Some(&past),
        Some(&soon),
        Some(""),
    ];
    for form in forms {
        for part in ["/manifests/", "/blobs/"] {
            let scene = Scene::new();
            let form = form.map(str::to_owned);
            let told = form.clone();
            scene.server.on(On::get(part).first(1), move |_| busy(told.as_deref()));
            let done = scene.fetch().run();
            assert_eq!(done.code, 0, "{form:?} {part}: {done}");
            scene.assert_whole();
        }
        if form.is_none() {
            // Enough of them.
            let scene = Scene::new();
            scene.server.on(On::get("/manifests/"), move |_| busy(None));
            scene.fetch().fails(1).says("limits requests").says("TOOMANYREQUESTS (slow down)").says("ctr-login");
            assert_eq!(scene.server.log().len(), 3, "--retries 2");
            scene.assert_nothing();
        }
    }
}

// FAULT 44: 429 that asks to wait for 31 years, or until then => it fails at once and tells how long
#[test]
fn case_44_a_wait_without_end() {
    for form in ["1000000000", "99999999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        for part in ["/manifests/", "/blobs/"] {
            let scene = Scene::new();
            scene.server.on(On::get(part), move |_| busy(Some(form)));
            scene.fetch().fails(1).says("asks to wait");
            let asked = scene.server.log();
            let unique: std::collections::BTreeSet<_> = asked.iter().collect();
            assert_eq!(unique.len(), asked.len(), "asked again: {asked:?}");
            scene.assert_nothing();
        }
    }
}

// FAULT 45: 408, 500, 502, 503, 504, with a Retry-After that has passed, and then the answer => asked again, as often as --retries says
#[test]
fn case_45_servers_in_trouble() {
    for status in [408, 500, 502, 503, 504] {
        let scene = Scene::new();
        let past = date("-1 hour");
        scene.server.on(On::get("/v2/demo/manifests").first(1), move |_| {
            Response::new(status).header("Retry-After", &past).body("<html>sorry</html>")
        });
        scene.server.on(On::get(scene.image.big()).first(2), move |_| Response::new(status));
        let done = scene.fetch().run();
        assert_eq!(done.code, 0, "{status}: {done}");
        scene.assert_whole();
    }
    let scene = Scene::new();
    scene.server.on(On::get("/manifests/"), |_| Response::new(503).body("<html>sorry</html>"));
    scene.fetch().fails(1).says("503").says("try again later");
    assert_eq!(scene.server.log().len(), 3, "--retries 2");
    // What does not pass is not asked again.
    for status in [400, 402, 404, 410, 418, 451, 501, 505] {
        let scene = Scene::new();
        scene.server.on(On::get("/manifests/"), move |_| Response::new(status));
        scene.fetch().fails(1);
        assert_eq!(scene.server.log().len(), 1, "{status}");
        scene.assert_nothing();
    }
}

// FAULT 45: everything together takes longer than --timeout: waits, silence => it ends then and says so
#[test]
fn case_45_the_time_is_over() {
    let scene = Scene::new();
    scene.server.on(On::get("/manifests/"), |_| busy(Some("30")));
    let timed = |scene: &Scene| scene.fetch().args(["--timeout", "900ms"]);
    timed(&scene).fails(1).says("the time of 900ms is over");
    scene.assert_nothing();
    let scene = Scene::new();
    scene.server.on(On::get("/manifests/"), |call| call.ordinary().stall_before());
    timed(&scene).fails(1).says("the time of 900ms is over");
    scene.assert_nothing();
}

//! The service that the tests of both versions of HTTP talk to.

use crate::support::Fallible;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use reiver::sync::Semaphore;
use std::convert::Infallible;
use std::sync::Arc;

pub type Body = BoxBody<Bytes, hyper::Error>;

/// What a test and the handlers of `/gate` tell each other.
pub struct Gate {
    /// A permit for each handler that has come to the gate.
    pub entered: Semaphore,
    /// A permit for each that may go on.
    pub open: Semaphore,
    /// A permit for each that has left, because it was let through or because it was dropped.
    pub left: Semaphore,
}

impl Gate {
    pub fn new() -> Arc<Self> {
        let [entered, open, left] = std::array::from_fn(|_| Semaphore::new(0));
        Arc::new(Self { entered, open, left })
    }
}

/// `/hello`, `/echo` (streams what it gets), `/gate`.
pub async fn answer(
    request: Request<Incoming>,
    gate: Arc<Gate>,
) -> Result<Response<Body>, Infallible> {
    Ok(match request.uri().path() {
        "/hello" => Response::new(full("hello")),
        "/echo" => Response::new(request.into_body().boxed()),
        "/gate" => {
            let _left = scopeguard(|| gate.left.add_permits(1));
            gate.entered.add_permits(1);
            gate.open.acquire().await.unwrap().forget();
            Response::new(full("through the gate"))
        }
        _ => {
            let mut reply = Response::new(full("nothing here"));
            *reply.status_mut() = StatusCode::NOT_FOUND;
            reply
        }
    })
}

fn scopeguard(f: impl FnMut()) -> impl Drop {
    struct Guard<F: FnMut()>(F);
    impl<F: FnMut()> Drop for Guard<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    Guard(f)
}

pub fn get(path: &str) -> Request<Body> {
    let body = Empty::new().map_err(|never| match never {}).boxed();
    Request::get(format!("http://localhost{path}")).header("host", "localhost").body(body).unwrap()
}

pub fn post(path: &str, body: Vec<u8>) -> Request<Body> {
    let request = Request::post(format!("http://localhost{path}")).header("host", "localhost");
    request.body(full(body)).unwrap()
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed()
}

/// The body of a reply that must be 200.
pub async fn body(reply: Response<Incoming>) -> Fallible<Bytes> {
    assert_eq!(reply.status(), StatusCode::OK);
    Ok(reply.into_body().collect().await?.to_bytes())
}

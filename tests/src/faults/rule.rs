//! Which requests are answered otherwise, and by what.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::request::Request;
use super::response::Response;
use super::server::Site;

/// Which requests a rule is for: method, a part of the target, and which of those that match.
#[derive(Debug, Clone)]
pub struct On {
    method: Option<&'static str>,
    part: String,
    header: Option<(&'static str, bool)>,
    from: usize,
    to: usize,
    early: Option<usize>,
}

impl On {
    /// Requests of any method whose target (path and query) has this in it.
    pub fn any(part: impl Into<String>) -> Self {
        Self { method: None, part: part.into(), header: None, from: 1, to: usize::MAX, early: None }
    }

    /// Those of this method.
    pub fn method(method: &'static str, part: impl Into<String>) -> Self {
        Self { method: Some(method), ..Self::any(part) }
    }

    /// `GET`.
    pub fn get(part: impl Into<String>) -> Self {
        Self::method("GET", part)
    }

    /// `HEAD`.
    pub fn head(part: impl Into<String>) -> Self {
        Self::method("HEAD", part)
    }

    /// `PUT`.
    pub fn put(part: impl Into<String>) -> Self {
        Self::method("PUT", part)
    }

    /// `POST`.
    pub fn post(part: impl Into<String>) -> Self {
        Self::method("POST", part)
    }

    /// `PATCH`.
    pub fn patch(part: impl Into<String>) -> Self {
        Self::method("PATCH", part)
    }

    /// Only requests with this header.
    pub fn with(mut self, header: &'static str) -> Self {
        self.header = Some((header, true));
        self
    }

    /// Only requests without this header.
    pub fn without(mut self, header: &'static str) -> Self {
        self.header = Some((header, false));
        self
    }

    /// Only the first `count` that match.
    pub fn first(mut self, count: usize) -> Self {
        (self.from, self.to) = (1, count);
        self
    }

    /// Only the `n`th that matches, counted from 1.
    pub fn nth(mut self, n: usize) -> Self {
        (self.from, self.to) = (n, n);
        self
    }

    /// Only the `n`th that matches and those after it.
    pub fn from(mut self, n: usize) -> Self {
        (self.from, self.to) = (n, usize::MAX);
        self
    }

    /// Answers when `count` bytes of the request's body are there, and closes the connection then.
    pub fn early(mut self, count: usize) -> Self {
        self.early = Some(count);
        self
    }

    fn is_for(&self, request: &Request) -> bool {
        self.method.is_none_or(|method| request.method == method)
            && request.target.contains(&self.part)
            && self.header.is_none_or(|(name, there)| request.header(name).is_some() == there)
    }
}

/// A request that is to be answered.
pub struct Call<'a> {
    /// It.
    pub request: &'a Request,
    site: &'a dyn Site,
}

impl<'a> Call<'a> {
    pub(super) fn new(request: &'a Request, site: &'a dyn Site) -> Self {
        Self { request, site }
    }

    /// Does what is asked for and answers as a good server does.
    pub fn ordinary(&self) -> Response {
        self.site.answer(self.request)
    }
}

type Answer = dyn Fn(&Call<'_>) -> Response + Send + Sync;

/// A rule of a server.
pub(super) struct Rule {
    on: On,
    seen: AtomicUsize,
    answer: Box<Answer>,
}

impl Rule {
    pub(super) fn new(on: On, answer: impl Fn(&Call<'_>) -> Response + Send + Sync + 'static) -> Self {
        Self { on, seen: AtomicUsize::new(0), answer: Box::new(answer) }
    }

    /// Whether this request is its. Asked once a request: it counts.
    pub(super) fn takes(&self, request: &Request) -> bool {
        self.on.is_for(request) && {
            let n = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
            (self.on.from..=self.on.to).contains(&n)
        }
    }

    pub(super) fn early(&self) -> Option<usize> {
        self.on.early
    }

    pub(super) fn answer(&self, call: &Call<'_>) -> Response {
        (self.answer)(call)
    }
}

//! A server on loopback for the tests of the login: a function from requests to answers, and a list of what came.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;
use crate::http::{Http, Settings};
use crate::url::{Origin, Scheme};

/// What came.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// `GET /path?query`.
    pub(super) line: String,
    /// The value of `Authorization`, or nothing.
    pub(super) authorization: String,
    pub(super) body: String,
}

/// Status, further headers (`Name: value\r\n`...) and body.
pub(super) type Answer = (u16, String, String);

pub(super) struct Served {
    pub(super) authority: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Served {
    /// Answers every request by `answer`, which gets the authority of the server too, until the test ends.
    pub(super) fn new(answer: impl Fn(&str, &Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let served = Self { authority: authority.clone(), asked: Arc::default() };
        let (asked, answer) = (Arc::clone(&served.asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (asked, answer, authority) = (Arc::clone(&asked), Arc::clone(&answer), authority.clone());
                std::thread::spawn(move || serve(&stream, &asked, |request| answer(&authority, request)));
            }
        });
        served
    }

    /// What came so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The request lines that came so far, without queries.
    pub(super) fn lines(&self) -> Vec<String> {
        self.asked().iter().map(|asked| asked.line.split('?').next().unwrap_or_default().to_owned()).collect()
    }

    pub(super) fn origin(&self) -> Origin {
        Origin::new(Scheme::Http, &self.authority).unwrap()
    }

    /// The login of this server with these credentials.
    pub(super) fn login(&self, store: CredentialStore) -> Arc<Authenticator> {
        let http = Arc::new(Http::new(Settings { retries: 0, ..Settings::default() }));
        Logins::new(Arc::new(store), RealmRules::default()).of(&self.authority, &self.origin(), &http)
    }
}

fn serve(stream: &TcpStream, all: &Mutex<Vec<Asked>>, answer: impl Fn(&Asked) -> Answer) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut asked = Asked::default();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        match line.trim_end().split_once(": ") {
            None => asked.line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned(),
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => asked.authorization = value.to_owned(),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    asked.body = String::from_utf8(body).unwrap();
    all.lock().unwrap().push(asked.clone());
    let (status, headers, body) = answer(&asked);
    let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let mut stream = stream;
    // A client that has seen enough may be gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

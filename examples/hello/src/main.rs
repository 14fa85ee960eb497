//! A small program to pack and run as a first image. It says where it is; then it ends, sleeps, serves or fails, as asked.
//!
//! `hello [sleep SECONDS | serve PORT | exit CODE]`. It needs nothing but the kernel, so the image holds this one file.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

fn main() -> ExitCode {
    describe();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => ExitCode::SUCCESS,
        ["sleep", seconds] => wait(seconds),
        ["serve", port] => serve(port),
        ["exit", code] => code.parse::<u8>().map_or(ExitCode::from(2), ExitCode::from),
        _ => {
            eprintln!("usage: hello [sleep SECONDS | serve PORT | exit CODE]");
            ExitCode::from(2)
        }
    }
}

/// Prints what this program finds around it.
fn describe() {
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    println!("hello from {}", hostname.trim());
    println!("pid {}, of {} in sight", std::process::id(), processes());
    println!("uid {}, gid {}", status("Uid"), status("Gid"));
    println!("capabilities {}, seccomp mode {}", status("CapEff"), status("Seccomp"));
    println!("{} mounts, root holds: {}", lines("/proc/self/mountinfo"), names("/"));
}

/// The first value of a field of /proc/self/status.
fn status(field: &str) -> String {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|values| values.split_whitespace().next()).unwrap_or("unknown").to_owned()
}

fn processes() -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok()).count()
}

fn lines(path: &str) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

fn names(directory: &str) -> String {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names.join(" ")
}

fn wait(seconds: &str) -> ExitCode {
    let Ok(seconds) = seconds.parse() else {
        eprintln!("hello: {seconds:?} is no number of seconds");
        return ExitCode::from(2);
    };
    println!("sleeping {seconds} s");
    sleep(Duration::from_secs(seconds));
    println!("done");
    ExitCode::SUCCESS
}

/// Answers each connection to a loopback port with one line.
fn serve(port: &str) -> ExitCode {
    let listener = match port.parse().map(|port: u16| TcpListener::bind(("127.0.0.1", port))) {
        Ok(Ok(listener)) => listener,
        Ok(Err(error)) => {
            eprintln!("hello: listen on 127.0.0.1:{port}: {error}");
            return ExitCode::FAILURE;
        }
        Err(_) => {
            eprintln!("hello: {port:?} is no port");
            return ExitCode::from(2);
        }
    };
    println!("serving on 127.0.0.1:{port}");
    for mut connection in listener.incoming().flatten() {
        let mut request = [0; 1024];
        let answered = connection
            .read(&mut request)
            .and_then(|_| connection.write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 6\r\n\r\nhello\n"));
        if let Err(error) = answered {
            eprintln!("hello: a connection: {error}");
        }
    }
    ExitCode::SUCCESS
}

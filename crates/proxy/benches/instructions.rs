//! What a request costs the proxy in instructions of its own, the kernel's left out: the guard that keeps a change from
//! making every request dearer unseen.
//!
//! A whole proxy with one worker, its access log, trace, counters and policies runs under callgrind in a process of its own;
//! client and instance are here. Twice, with few and with more requests: the difference is what requests cost, whatever the
//! start costs. Instructions do not depend on what else the machine does, so the figure may be guarded within 3 %. They do
//! depend on the compiler and on the C library: `instructions.txt` names both, and under others the figures are printed and
//! nothing is guarded.
//!
//! `cargo bench -p ondol-proxy --bench instructions`; with `ONDOL_BLESS=1` the figures become the new measure.

#[path = "../tests/common/mod.rs"]
mod common;

use common::{cluster, instance, route, serving, snapshot};
use ondol_core::wire::proxy::{Cache, Protocol};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

const MEASURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
/// What a figure may grow by.
const TOLERANCE: f64 = 0.03;
/// Requests of the two runs, and those of one connection.
const RUNS: [u64; 2] = [500, 3_500];
const EACH: u64 = 500;
/// Bytes of an answer's body.
const BODY: usize = 291;

/// The row of requests that no service sees.
const KEPT: &str = "KEPT";

/// What is asked for; each is a row of the measure.
const CASES: [(&str, &str); 3] = [
    (
        "GET",
        "GET /api/products/0195a1c2-6d1e-7c3a-9f52-0f4b7a1d2e3c?fields=name,price HTTP/1.1\r\n\
         Host: shop.example:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
         Accept: application/json\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
         Cookie: session=0195a1c26d1e7c3a9f520f4b7a1d2e3c; basket=tea*3\r\n\r\n",
    ),
    // From a kept answer: the service is asked once.
    (
        KEPT,
        "GET /api/products/0195a1c2-6d1e-7c3a-9f52-0f4b7a1d2e3c?fields=name,price&kept HTTP/1.1\r\n\
         Host: shop.example:8080\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\r\n",
    ),
    (
        "POST",
        "POST /api/orders HTTP/1.1\r\nHost: shop.example:8080\r\nContent-Type: application/json\r\n\
         Idempotency-Key: 0195a1c2-6d1e-7c3a-9f52-0f4b7a1d2e3c\r\nContent-Length: 23\r\n\r\n{\"product\":\"tea\",\"n\":3}",
    ),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let done = match words.iter().position(|word| word == "serve") {
        Some(at) => serve(&words[at + 1], words[at + 2] == KEPT),
        None => measure(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

/// The proxy alone, in front of an instance at `address`, until its input ends. `keeps`: its answers.
fn serve(address: &str, keeps: bool) -> io::Result<ExitCode> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let dir = tempfile::tempdir()?;
    let mut api = route("/api", "shop");
    api.policy.cache = keeps.then_some(Cache {
        stale_if_error_ms: 60_000,
        stale_while_revalidate_ms: 0,
        shared: false,
    });
    let told = snapshot(vec![api], vec![], vec![cluster("shop", Protocol::Http1, &[address])]);
    let (running, _controller) = serving(dir.path(), &told);
    println!("{}", running.gateway);
    io::stdin().read_to_end(&mut Vec::new())?;
    running.stop();
    Ok(ExitCode::SUCCESS)
}

fn measure() -> io::Result<ExitCode> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("SKIPPED: instructions per request; missing: valgrind");
        return Ok(ExitCode::SUCCESS);
    }
    let body = "x".repeat(BODY);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {BODY}\r\n\r\n{body}");
    let kept = answer.replacen("\r\n", "\r\nCache-Control: max-age=3600\r\n", 1);
    let shop = instance(move |request| match request.contains("&kept") {
        true => kept.clone(),
        false => answer.clone(),
    });
    let mut figures = BTreeMap::new();
    for (name, request) in CASES {
        let [few, more] = RUNS.map(|requests| run(shop, name, request, requests));
        figures.insert(name, (more? - few?) / (RUNS[1] - RUNS[0]));
    }
    judge(&figures)
}

/// The instructions of a proxy that serves so many requests and ends.
fn run(shop: SocketAddr, name: &str, request: &str, requests: u64) -> io::Result<u64> {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("callgrind");
    let mut proxy = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args(["serve", &shop.to_string(), name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut gateway = String::new();
    BufReader::new(proxy.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?).read_line(&mut gateway)?;
    let asked = ask(gateway.trim(), request, requests);
    drop(proxy.stdin.take());
    let ended = proxy.wait()?;
    asked?;
    if !ended.success() {
        return Err(io::Error::other(format!("the proxy under valgrind ended with {ended}")));
    }
    totals(&out)
}

/// Sends one request after the other and reads each answer.
fn ask(gateway: &str, request: &str, requests: u64) -> io::Result<()> {
    let mut answer = vec![0; 64 << 10];
    for connection in 0..requests / EACH {
        let mut stream = TcpStream::connect(gateway)?;
        stream.set_nodelay(true)?;
        for number in 0..EACH {
            stream.write_all(request.as_bytes())?;
            let mut read = 0;
            while !is_whole(&answer[..read]) {
                match stream.read(&mut answer[read..])? {
                    0 => {
                        return Err(io::Error::other(format!(
                            "request {number} of connection {connection} failed"
                        )));
                    }
                    n => read += n,
                }
            }
        }
    }
    Ok(())
}

/// Whether this is a head and the whole body.
fn is_whole(answer: &[u8]) -> bool {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    answer.starts_with(b"HTTP/1.1 200") && end.is_some_and(|end| answer.len() == end + 4 + BODY)
}

fn totals(out: &Path) -> io::Result<u64> {
    let text = std::fs::read_to_string(out)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total
        .and_then(|total| total.trim().parse().ok())
        .ok_or_else(|| io::Error::other("callgrind wrote no totals"))
}

/// What decides which instructions there are: the compiler, and which of its copies the C library takes.
fn made_with() -> io::Result<String> {
    let words = |program: &str, arg: &str| -> io::Result<String> {
        let told = Command::new(program).arg(arg).output()?;
        Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
    };
    let avx2 = std::fs::read_to_string("/proc/cpuinfo")?.contains(" avx2 ");
    Ok(format!(
        "{}, {}, {}",
        words("rustc", "--version")?,
        words("getconf", "GNU_LIBC_VERSION")?,
        if avx2 { "AVX2" } else { "no AVX2" }
    ))
}

/// Compares with the measure, or makes it.
fn judge(figures: &BTreeMap<&str, u64>) -> io::Result<ExitCode> {
    let compiler = made_with()?;
    let known = std::fs::read_to_string(MEASURE).unwrap_or_default();
    let same = known.lines().next() == Some(&*compiler);
    let (mut dearer, mut new) = (false, format!("{compiler}\n"));
    for (case, figure) in figures {
        let _ = writeln!(new, "{case} {figure}"); // Writing to a string cannot fail.
        let line = known
            .lines()
            .find_map(|line| line.strip_prefix(case)?.strip_prefix(' '));
        let before: Option<f64> = line.and_then(|line| line.parse().ok());
        let growth = before.map_or(0.0, |before| *figure as f64 / before - 1.0);
        println!("{case:5} {figure} instructions per request ({:+.1} %)", 100.0 * growth);
        dearer |= growth > TOLERANCE;
    }
    if std::env::var_os("ONDOL_BLESS").is_some() {
        std::fs::write(MEASURE, new)?;
    } else if !same {
        println!(
            "the measure is of {:?}, this is {compiler:?}: nothing is guarded",
            known.lines().next()
        );
    } else if dearer {
        eprintln!(
            "requests have become dearer by more than {:.0} %; if that is meant: ONDOL_BLESS=1 cargo bench -p ondol-proxy --bench instructions",
            100.0 * TOLERANCE
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

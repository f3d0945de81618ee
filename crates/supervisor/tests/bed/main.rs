//! The program of the supervisor's tests: the supervisor itself, its shim, and children that behave in a certain way.

use ondol_core::wire::supervision_client::SupervisorClient;
use ondol_supervisor::{Config, RoleSpec, run, shim};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn main() {
    let mut args = std::env::args();
    let (_, what) = (args.next(), args.next().expect("what to be"));
    let rest: Vec<String> = args.collect();
    match what.as_str() {
        "shim" => shim(std::env::args_os().skip(2)),
        "supervise" => supervise(&rest),
        "nap" => nap(),
        "leave" => leave(),
        "veil" => veil(),
        "fork" => fork(),
        "http" => http(),
        "spam" => spam(&rest),
        "bye" => bye(),
        "stubborn" => stubborn(),
        "serve" => serve(),
        "eat" => eat(),
        other => panic!("no behaviour {other}"),
    }
}

/// `ROOT [no-cgroups] [quota=BYTES] [role=NAME:BEHAVIOUR]… [announcing=NAME:BEHAVIOUR]…`
fn supervise(args: &[String]) {
    let mut config = Config::new(&args[0]);
    let me = std::env::current_exe().expect("own path").display().to_string();
    for arg in &args[1..] {
        match arg.split_once('=') {
            None if arg == "no-cgroups" => config.cgroups = false,
            Some(("quota", bytes)) => config.log_quota = bytes.parse().expect("bytes"),
            Some((kind @ ("role" | "announcing"), role)) => {
                let (name, behaviour) = role.split_once(':').expect("NAME:BEHAVIOUR");
                let argv = vec![me.clone(), behaviour.to_owned()];
                config.roles.push(RoleSpec {
                    name: name.parse().expect("name"),
                    argv,
                    env: Default::default(),
                    announces: kind == "announcing",
                });
            }
            _ => panic!("no option {arg}"),
        }
    }
    if let Err(error) = run(config) {
        eprintln!("{} {error}", error.code());
        std::process::exit(1);
    }
}

/// Waits to be killed.
fn nap() {
    println!("nap {}", std::process::id());
    loop {
        std::thread::park();
    }
}

/// Leaves its session and its environment's end, prints its pid, waits to be killed.
fn leave() {
    rustix::process::setsid().expect("a session of its own");
    nap();
}

/// Goes on without the environment it was given, as programs do that write their title over it, with a child like that.
fn veil() {
    let me = std::env::current_exe().expect("own path");
    if std::env::var_os("ONDOL_BOOT").is_some() {
        use std::os::unix::process::CommandExt;
        panic!("{}", Command::new(me).arg("veil").env_clear().exec());
    }
    let mut child = Command::new(me).arg("nap").spawn().expect("a child");
    println!("nap {}", std::process::id());
    child.wait().expect("a child that naps for ever");
}

/// Starts a child that leaves the session, and one whose parent ends; then waits itself.
fn fork() {
    let me = std::env::current_exe().expect("own path");
    let mut child = Command::new(&me).arg("leave").spawn().expect("a child");
    Command::new("sh")
        .args(["-c", "\"$0\" leave &", &me.display().to_string()])
        .status()
        .expect("a shell");
    println!("nap {}", std::process::id());
    child.wait().expect("a child that naps for ever");
}

/// Serves on `PORT`, or on descriptor 3: the path is answered with 200, or as `/status/N`.
fn http() {
    let listener = match std::env::var("PORT") {
        Ok(port) => TcpListener::bind(("127.0.0.1", port.parse().expect("port"))).expect("bind"),
        Err(_) => handed_on(),
    };
    println!("listens {}", std::process::id());
    for stream in listener.incoming() {
        answer(stream.expect("connection"));
    }
}

fn answer(mut stream: TcpStream) {
    let mut line = String::new();
    // A probe of the port alone sends nothing.
    if BufReader::new(&stream).read_line(&mut line).is_err() || line.is_empty() {
        return;
    }
    let status = line
        .split("/status/")
        .nth(1)
        .and_then(|rest| rest.get(..3))
        .unwrap_or("200");
    let body = std::process::id().to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // The client may be gone.
    let _ = stream.write_all(head.as_bytes());
}

#[allow(unsafe_code, reason = "descriptor 3 is only a number until it is taken")]
fn handed_on() -> TcpListener {
    use std::os::fd::FromRawFd;
    assert_eq!(
        std::env::var("LISTEN_PID").expect("LISTEN_PID"),
        std::process::id().to_string()
    );
    assert_eq!(std::env::var("LISTEN_FDS").expect("LISTEN_FDS"), "1");
    // SAFETY: LISTEN_FDS with our pid says that descriptor 3 is ours, and nothing else in this program takes it.
    unsafe { TcpListener::from_raw_fd(3) }
}

/// `COUNT [WORD]`: so many numbered lines, then the end.
fn spam(args: &[String]) {
    let count: u64 = args[0].parse().expect("count");
    let word = args.get(1).map_or("line", String::as_str);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for number in 0..count {
        writeln!(out, "{word} {number}").expect("write");
    }
}

/// A role that says when it serves, and after SIGUSR1 goes on until there is a file `go`.
fn serve() {
    let (told, leaving) = (on_term(), Arc::new(AtomicBool::new(false)));
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, leaving.clone()).expect("register");
    let life = std::env::var("ONDOL_LIFE").expect("a life").parse().expect("a number");
    let supervisor = SupervisorClient::new(Path::new("."));
    supervisor.serving(life).expect("known");
    println!("serves {}", std::process::id());
    let (is, mut said) = (|flag: &AtomicBool| flag.load(Ordering::SeqCst), false);
    while !(is(&told) || is(&leaving) && Path::new("go").exists()) {
        if is(&leaving) && !std::mem::replace(&mut said, true) {
            println!("leaves {}", std::process::id());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn on_term() -> Arc<AtomicBool> {
    let told = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, told.clone()).expect("register");
    told
}

/// Says `bye` on SIGTERM and ends with 0.
fn bye() {
    let (mut end, told) = std::os::unix::net::UnixStream::pair().expect("pair");
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, told).expect("register");
    println!("here {}", std::process::id());
    end.read_exact(&mut [0]).expect("a signal");
    println!("bye");
}

/// Does not end on SIGTERM.
fn stubborn() {
    let _told = on_term();
    nap();
}

/// Takes memory until it is killed.
fn eat() {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1_u8; 1 << 20]);
    }
}

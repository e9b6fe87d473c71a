//! The S3 server of `moto`, a package of Python, on this machine.
use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
};

/// The Python that runs it.
pub(crate) fn python() -> String {
    env::var("EBERT_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// A running server. It is stopped with the value.
pub(crate) struct Moto {
    server: Child,
    /// Where it listens, on the local address.
    pub(crate) port: u16,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Moto {
    /// Starts the server, and waits until it listens. `None`, with the reason printed, without `moto`.
    ///
    /// The server chooses its port itself. A port that this process found free could have another owner, such as the
    /// test's own proxy, by the time Python has started.
    pub(crate) fn start() -> Option<Self> {
        let python = python();
        let has = Command::new(&python).args(["-c", "import moto.server"]).stderr(Stdio::null()).status();
        if !has.is_ok_and(|status| status.success()) {
            eprintln!("skipped: `{python}` has no moto; `pip install 'moto[server]'` adds it");
            return None;
        }
        let mut server = Command::new(&python);
        server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut server = server.spawn().unwrap();
        let mut said = BufReader::new(server.stderr.take().unwrap()).lines().map(Result::unwrap);
        let port = said.find_map(|line| line.split_once("http://127.0.0.1:")?.1.trim().parse().ok());
        let port = port.expect("the server has no port");
        // It writes a line per request, and stops when the pipe is full.
        thread::spawn(move || said.for_each(drop));
        Some(Self { server, port })
    }
}
